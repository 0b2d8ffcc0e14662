"""Under which id a delivery is known: the one that its signature covers, `Idempotency-Key`, or a CloudEvents id.

In come the headers of a request whose sender is known. Only where a bearer token, or nothing, vouches for them do they
name an id: a captured request that is sent again under five new keys must stay one delivery.
"""

from __future__ import annotations

import re
from contextlib import suppress

from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import BODY_INVALID, RequestRejected
from signup_bridge.settings import Settings

from . import cloudevents
from .signatures import Headers

_UNSIGNED = ("bearer", "none")
"""Where no signature covers an id, and so a header's is taken."""

_QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\]){1,256})"')
_BARE = re.compile(r"[!#-~]{1,256}")


def accepts_unsigned_ids(configured: Settings) -> bool:
    """Whether the sender may name a delivery by an id that no signature covers."""
    return configured.webhook_auth in _UNSIGNED and not configured.profile.content_key


def from_request(headers: Headers, signed_id: str | None, configured: Settings) -> IdempotencyKey | None:
    """The delivery's id, None when its body tells it. Raises Refusal for one that is malformed or incomplete."""
    if accepts_unsigned_ids(configured):
        return from_headers(headers)
    return IdempotencyKey("signed", signed_id) if signed_id and not configured.profile.content_key else None


def candidates(delivery_id: str, headers: Headers, configured: Settings) -> list[IdempotencyKey]:
    """Under which keys a delivery of this id can be remembered; ``ce-source`` is the source of a CloudEvents id."""
    keys = [IdempotencyKey("direct", delivery_id), IdempotencyKey("ckafka", delivery_id)]
    trusted = accepts_unsigned_ids(configured)
    with suppress(ValueError):  # no event has such a source
        source = cloudevents.from_header(headers.get("ce-source") or "")
        keys.append(from_bus_event(delivery_id, source))
        if trusted or (configured.mapping and configured.mapping.event):
            keys.append(from_event(delivery_id, source))
    if trusted:
        keys.append(IdempotencyKey("idempotency-key", delivery_id))
    elif configured.webhook_auth == "standard-webhooks" and not configured.profile.content_key:
        keys.insert(0, IdempotencyKey("signed", delivery_id))
    return keys


def from_headers(headers: Headers) -> IdempotencyKey | None:
    """The id in the headers, None when there is none. Raises Refusal for one that is malformed or incomplete.

    Sources: draft-ietf-httpapi-idempotency-key-header (a string of RFC 8941; bare ones are taken, too); CloudEvents
    1.0, HTTP binding, binary mode, where ``id`` is unique within ``source``. In structured mode the body has them.
    """
    given = (headers.get("idempotency-key") or "").strip(" \t")
    if given:
        return IdempotencyKey("idempotency-key", _idempotency_key(given))
    if headers.get("ce-id") is None or cloudevents.is_structured(headers.get("content-type")):
        return None
    attributes, errors = [], []
    for name in ("ce-id", "ce-source"):
        value = headers.get(name)
        try:
            attributes.append(cloudevents.from_header(value or ""))
        except ValueError as error:
            errors.append((name, "is missing" if value is None else str(error)))
    if errors:
        raise RequestRejected(BODY_INVALID, errors=tuple(errors))
    return from_event(*attributes)


def from_event(event_id: str, source: str) -> IdempotencyKey:
    """The key of a CloudEvents event."""
    return IdempotencyKey("cloudevents", cloudevents.qualified_id(event_id, source))


def from_bus_event(event_id: str, source: str) -> IdempotencyKey:
    """The key of an event of the cloud's own bus; no HTTP sender can name one."""
    return IdempotencyKey("event-bus", cloudevents.qualified_id(event_id, source))


def _idempotency_key(given: str) -> str:
    if quoted := _QUOTED.fullmatch(given):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if not _BARE.fullmatch(given):
        raise RequestRejected(
            BODY_INVALID, errors=(("Idempotency-Key", "must be a string of 1 to 256 ASCII characters"),)
        )
    return given
