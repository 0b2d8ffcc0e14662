"""Find the key that identifies a delivery: its signed id, `Idempotency-Key`, or a CloudEvents id.

Unsigned headers are used only if no signature covers an id. Otherwise, an attacker could resend one captured request
as several deliveries, each with a new key.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Literal, NamedTuple

from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import BODY_INVALID, RequestRejected

from . import cloudevents
from .signatures import Headers

_QUOTED = r'"((?:[ !#-\[\]-~]|\\["\\]){1,256})"'
_BARE = r"[!#-~]{1,256}"


class KeyPolicy(NamedTuple):
    """Which ids identify the deliveries of HTTP requests.

    ``webhook_auth`` is the setting's value. ``content_key``: none, because each retry has a new id. ``maps_events``:
    the payload mapping is for CloudEvents.
    """

    webhook_auth: str
    content_key: bool = False
    maps_events: bool = False

    @property
    def accepts_unsigned_ids(self) -> bool:
        """Whether an id in an unsigned header or in the body identifies a delivery."""
        return self.webhook_auth in ("bearer", "none") and not self.content_key


def from_request(headers: Headers, signed_id: str | None, policy: KeyPolicy) -> IdempotencyKey | None:
    """Return the key in the headers, or None. Raises RequestRejected if it is malformed or incomplete.

    Sources: draft-ietf-httpapi-idempotency-key-header (an RFC 8941 string; unquoted values are also accepted);
    CloudEvents 1.0, HTTP binding, binary mode. In structured mode, the body contains id and source.
    """
    if not policy.accepts_unsigned_ids:
        return IdempotencyKey("signed", signed_id) if signed_id and not policy.content_key else None
    value = (headers.get("idempotency-key") or "").strip(" \t")
    if value:
        return IdempotencyKey("idempotency-key", _unquoted(value))
    if headers.get("ce-id") is None or cloudevents.is_structured(headers.get("content-type")):
        return None
    attributes: list[str] = []
    errors: list[tuple[str, str]] = []
    for name in ("ce-id", "ce-source"):
        attribute = headers.get(name)
        try:
            attributes.append(cloudevents.from_header(attribute or ""))
        except ValueError as error:
            errors.append((name, "is required" if attribute is None else str(error)))
    if errors:
        raise RequestRejected(BODY_INVALID, errors=tuple(errors))
    event_id, source = attributes
    return from_event(event_id, source)


def candidates(delivery_id: str, headers: Headers, policy: KeyPolicy) -> list[IdempotencyKey]:
    """Return the keys that a delivery with this id can have. The header ``ce-source`` is the source of an event."""
    keys = [IdempotencyKey("direct", delivery_id), IdempotencyKey("ckafka", delivery_id)]
    with suppress(ValueError):  # no event can have this source
        source = cloudevents.from_header(headers.get("ce-source") or "")
        keys.append(from_event(delivery_id, source, "event-bus"))
        if policy.accepts_unsigned_ids or policy.maps_events:
            keys.append(from_event(delivery_id, source))
    if policy.accepts_unsigned_ids:
        keys.append(IdempotencyKey("idempotency-key", delivery_id))
    elif policy.webhook_auth == "standard-webhooks" and not policy.content_key:
        keys.insert(0, IdempotencyKey("signed", delivery_id))
    return keys


def from_event(
    event_id: str, source: str, key_source: Literal["cloudevents", "event-bus"] = "cloudevents"
) -> IdempotencyKey:
    """Return the key of an event, whose id is unique within its source. HTTP requests cannot have a key of the bus."""
    return IdempotencyKey(key_source, f"{len(source)}:{source}{event_id}")


def _unquoted(value: str) -> str:
    if quoted := re.fullmatch(_QUOTED, value):
        return re.sub(r"\\(.)", r"\1", quoted[1])
    if not re.fullmatch(_BARE, value):
        raise RequestRejected(
            BODY_INVALID, errors=(("Idempotency-Key", "must be a string of 1 to 256 ASCII characters"),)
        )
    return value
