"""CKafka batches: each record is one delivery, whose body is the message.

If the function raises, the platform sends the whole batch again, up to 10,000 times; it cannot retry a part of it. So
definitive outcomes stay in the ledger, and `BatchRetry` is raised only if a record may end differently next time. A
record that can never be valid does not block those after it, nor does a code that a send limit rejects, perhaps for an
hour: the person requests it again.

Source of the shape: Tencent Cloud SCF's documents on CKafka triggers.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from signup_bridge.core.clock import Deadline
from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import SEND_LIMITED, Outcome
from signup_bridge.telemetry.logs import log

from .service_caller import ServiceCaller


class BatchRetry(Exception):  # noqa: N818  not an error: the only way to request a retry
    """Requests that the platform sends the whole batch, or the bus's event, again."""


class Message(NamedTuple):
    """One record. ``id`` is ``topic-partition-offset``, None if one of these is invalid."""

    id: str | None
    body: Any


def parse_records(records: object) -> list[Message] | None:
    """Return the messages of a CKafka event's ``Records``; None if they are another trigger's, or none.

    An invalid record among others becomes a message that is rejected.
    """
    if not isinstance(records, list):
        return None
    contents = [record.get("Ckafka") if isinstance(record, dict) else None for record in records]
    return [_message(content) for content in contents] if any(isinstance(one, dict) for one in contents) else None


def _message(record: object) -> Message:
    if not isinstance(record, dict):
        return Message(None, None)
    topic, partition, offset = (record.get(name) for name in ("topic", "partition", "offset"))
    is_valid = isinstance(topic, str) and type(partition) is int and type(offset) is int
    return Message(f"{topic}-{partition}-{offset}" if is_valid else None, record.get("msgBody"))


def process_batch(batch: list[Message], service: ServiceCaller, deadline: Deadline) -> dict[str, Any]:
    """Process the messages in order, and return their number by outcome.

    No message starts without a whole budget left. Raises BatchRetry at the end if a message may end differently next
    time, or did not start.
    """
    public_outcomes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    retryable = 0
    # With a time-out that is too short for one budget, every invocation must still make progress.
    min_time = min(service.budget, deadline.total / 2)
    for position, message in enumerate(batch):
        if not 0 < deadline.remaining() >= min_time:
            outcomes["not-begun"] = len(batch) - position
            retryable += outcomes["not-begun"]
            break
        body = message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else b""
        key = IdempotencyKey("ckafka", message.id) if message.id is not None else None
        result = service.call(body, "message", deadline.remaining(), key)
        public_outcomes[result.public_outcome.code] += 1
        outcomes[result.outcome.code] += 1
        retryable += is_retryable(result.outcome)
        record = {"record": message.id} if message.id else {}
        log.info("record", extra={"fields": {**record, "outcome": result.outcome.code}})
    if retryable:
        fields = {"records": len(batch), "outcomes": dict(outcomes)}
        log.warning("the batch should be sent again", extra={"fields": fields})
        raise BatchRetry(f"{retryable} of {len(batch)} records may end otherwise: send the batch again")
    return {"records": len(batch), "ends": dict(public_outcomes)}


def is_retryable(outcome: Outcome) -> bool:
    """Return whether the platform should send the record or event again."""
    return outcome.retryable and outcome is not SEND_LIMITED
