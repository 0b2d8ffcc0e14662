"""Events of the cloud's own bus (EventBridge): each is one delivery, by a direct invocation.

It has the members of a CloudEvent. Its ``data`` is the body, or holds the body's JSON in ``msgBody``, as connectors of
message queues write it. The bus counts an invocation that returns as delivered, and retries one that raises.
Source: Tencent Cloud EventBridge's documents on event structure and connectors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from signup_bridge.core import strict_json
from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import BODY_INVALID, BODY_MALFORMED, BODY_TOO_LARGE
from signup_bridge.inbound import cloudevents, idempotency_key
from signup_bridge.telemetry.logs import log

from .ckafka import BatchRetry, is_retryable
from .service_caller import ServiceCaller

_UNREADABLE = (BODY_INVALID, BODY_MALFORMED, BODY_TOO_LARGE)
_ATTRIBUTES = ("specversion", "id", "source", "type")


class BusEvent(NamedTuple):
    """An event of the bus: its id within its source, as a key, and the bytes of a request body."""

    key: IdempotencyKey
    body: bytes


def looks_like_event(event: object) -> bool:
    """Return whether an invocation without another trigger's members comes from a bus, complete or not."""
    return isinstance(event, dict) and "specversion" in event and "data" in event


def parse(event: dict[Any, Any]) -> BusEvent | None:
    """Return the event, whose ``type`` is not the contact's; None if a member is missing, invalid, or too deep."""
    data = event["data"]
    if not isinstance(data, dict) or not all(isinstance(event.get(name), str) for name in _ATTRIBUTES):
        return None
    try:
        event_id, source = map(cloudevents.check_attribute, (event["id"], event["source"]))
        body = data.get("msgBody")
        return BusEvent(
            idempotency_key.from_event(event_id, source, "event-bus"),
            body.encode("utf-8", "surrogatepass") if isinstance(body, str) else strict_json.dumps(data),
        )
    except ValueError:
        return None


def members(event: dict[Any, Any]) -> list[str]:
    """Return the known members of an incomplete event, for the log."""
    return sorted({*_ATTRIBUTES, "data"} & set(event))


def process(event: BusEvent, service: ServiceCaller, time_left: float) -> dict[str, Any]:
    """Process an event within ``time_left`` seconds and return its outcome. The platform authorizes its publisher.

    Raises BatchRetry if a retry may end differently; logs an event that can never be valid.
    """
    result = service.call(event.body, "bus", time_left, event.key)
    outcome = result.outcome
    if is_retryable(outcome):
        log.warning("the event should be sent again", extra={"fields": {"outcome": outcome.code}})
        raise BatchRetry(f"{outcome.code}: send the event again")
    if outcome in _UNREADABLE:
        log.error("an event that cannot be read", extra={"fields": {"outcome": outcome.code}})
    return {"outcome": result.public_outcome.code}
