"""An event of the cloud's own bus (EventBridge): one delivery, which the bus brings by a direct invocation.

It has the members of a CloudEvent, of which ``data`` is the body, or holds it as text in ``msgBody``, as connectors of
message queues put it. The bus takes whatever returns for delivered, and brings again what raises. Source: Tencent Cloud
EventBridge's documents on event structure and connectors.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from . import cloudevents
from .ckafka import Ended, Redeliver
from .logs import log
from .outcomes import BODY_INVALID, BODY_MALFORMED, BODY_TOO_LARGE, SEND_LIMITED

_UNREADABLE = (BODY_INVALID, BODY_MALFORMED, BODY_TOO_LARGE)
_ATTRIBUTES = ("specversion", "id", "source", "type")


class Message(NamedTuple):
    """``id`` is the event's within its source; ``body`` what it tells."""

    id: str
    body: bytes


def is_event(event: object) -> bool:
    """Whether an invocation that has no other trigger's marks is a bus's event."""
    if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
        return False
    return all(isinstance(event.get(name), str) for name in _ATTRIBUTES)


def message(event: dict[Any, Any]) -> Message:
    """The event's message; the event's own ``type`` is no contact's, and is not in it."""
    data = event["data"]
    text = data["msgBody"] if isinstance(data.get("msgBody"), str) else json.dumps(data, ensure_ascii=False)
    return Message(cloudevents.name(event["id"], event["source"]), text.encode("utf-8", "surrogatepass"))


def check(ended: Ended) -> None:
    """Raise `Redeliver` when the event may end otherwise next time; log one that can never be right."""
    outcome = ended.outcome
    if outcome.retryable and outcome is not SEND_LIMITED:
        log.warning("the event should be sent again", extra={"fields": {"outcome": outcome.code}})
        raise Redeliver(f"{outcome.code}: send the event again")
    if outcome in _UNREADABLE:
        log.error("an event that cannot be read", extra={"fields": {"outcome": outcome.code}})
