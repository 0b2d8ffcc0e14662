"""CKafka batches: each record is one delivery, whose body is the message.

If the function raises, the platform retries the whole batch, up to 10,000 times; it cannot retry a part of it.
Definitive outcomes therefore stay in the ledger, and `BatchRetry` is raised only if the retry of a record may have a
different outcome. Neither an invalid record nor a code that a send limit rejects blocks the records after it: a limit
can last an hour, and the person can request the code again.

Source of the format: Tencent Cloud SCF's documentation of CKafka triggers.
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
    """Requests that the platform retries the whole batch, or the event of the bus."""


class Message(NamedTuple):
    """One record. ``id`` is ``topic-partition-offset``, None if one of these is invalid."""

    id: str | None
    body: Any


def parse_records(records: object) -> list[Message] | None:
    """Return the messages in a CKafka event's ``Records``; None if there are none, or if they are another trigger's.

    An invalid record among valid ones becomes a message that is rejected.
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

    A message starts only if a whole budget is left. Raises BatchRetry at the end if the retry of a message may have a
    different outcome, or if a message did not start.
    """
    public_outcomes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    retryable = 0
    # Every invocation must make progress, even if the function's timeout is shorter than the budget.
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
        log.warning("batch retry requested", extra={"fields": fields})
        raise BatchRetry(f"{retryable} of {len(batch)} records must be retried; send the batch again")
    return {"records": len(batch), "ends": dict(public_outcomes)}


def is_retryable(outcome: Outcome) -> bool:
    """Return whether the platform should retry the record or event."""
    return outcome.retryable and outcome is not SEND_LIMITED
