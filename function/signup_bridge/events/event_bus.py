"""Events of the cloud's own bus (EventBridge): each is one delivery, in a direct invocation.

An event has the members of a CloudEvents event. Its ``data`` is the body, or contains the body's JSON in ``msgBody``,
as the connectors of message queues write it. The bus retries an invocation that raises.
Source: Tencent Cloud EventBridge's documentation of the event structure and of connectors.
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
    """An event of the bus: a key of its id within its source, and the bytes of a request body."""

    key: IdempotencyKey
    body: bytes


def looks_like_event(event: object) -> bool:
    """Return whether an invocation without another trigger's members comes from a bus, even if it is incomplete."""
    return isinstance(event, dict) and "specversion" in event and "data" in event


def parse(event: dict[Any, Any]) -> BusEvent | None:
    """Return the event; None if a member is missing, invalid, or nested too deeply.

    The event's ``type`` is not that of the contact.
    """
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

    Raises BatchRetry if a retry may have a different outcome. An invalid event is logged.
    """
    result = service.call(event.body, "bus", time_left, event.key)
    outcome = result.outcome
    if is_retryable(outcome):
        log.warning("event retry requested", extra={"fields": {"outcome": outcome.code}})
        raise BatchRetry(f"{outcome.code}; send the event again")
    if outcome in _UNREADABLE:
        log.error("invalid event", extra={"fields": {"outcome": outcome.code}})
    return {"outcome": result.public_outcome.code}
