"""CKafka's batches: each record is one delivery, whose body is the message.

In comes an event's list of records, out comes what became of them. The platform sends the whole batch again when the
function raises, up to 10,000 times, and knows no answer for a part of it; so what is decided stays in the ledger, and
`Redeliver` is raised only when a record may end otherwise next time. What can never be right must not stop those behind
it, nor may a code that the guards hold back, for an hour perhaps: whoever wants it asks again.

Source of the shape: Tencent Cloud SCF's documents on CKafka triggers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from signup_bridge.core.outcomes import SEND_LIMITED, Outcome
from signup_bridge.telemetry.logs import log


class BatchRetry(Exception):  # noqa: N818  not a mistake: the only way to have it sent again
    """The platform should send the whole batch, or the bus's event, again."""


class Message(NamedTuple):
    """One record: ``id`` is its place, ``topic-partition-offset``, None when it has none; ``body`` the message."""

    id: str | None
    body: Any


class RecordResult(NamedTuple):
    """What became of one message: what may be told of it, and for the log how it ended."""

    told: Outcome
    outcome: Outcome


def parse_records(records: object) -> list[Message] | None:
    """The messages of a CKafka event's ``Records``; None when they are another trigger's, or nothing.

    What is no record among others is a message that can never be right.
    """
    if not isinstance(records, list):
        return None
    found = [record.get("Ckafka") if isinstance(record, dict) else None for record in records]
    if not any(isinstance(record, dict) for record in found):
        return None
    return [_message(record) if isinstance(record, dict) else Message(None, None) for record in found]


def _message(record: dict[Any, Any]) -> Message:
    topic, partition, offset = (record.get(name) for name in ("topic", "partition", "offset"))
    placed = isinstance(topic, str) and type(partition) is int and type(offset) is int
    return Message(f"{topic}-{partition}-{offset}" if placed else None, record.get("msgBody"))


def process_batch(
    batch: list[Message], verify: Callable[[Message], RecordResult], *, has_time: Callable[[], bool]
) -> Counter[str]:
    """Verify each message in order; how many ended how.

    None is begun unless ``may_begin`` says that its whole budget is left. Raises Redeliver when all have had their turn
    and one may end otherwise, or was not begun.
    """
    told: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    retryable = 0
    for before, message in enumerate(batch):
        if not has_time():
            ends["not-begun"] = len(batch) - before
            retryable += ends["not-begun"]
            break
        ended = verify(message)
        told[ended.told.code] += 1
        ends[ended.outcome.code] += 1
        if ended.outcome.retryable and ended.outcome is not SEND_LIMITED:
            retryable += 1
        place = {"record": message.id} if message.id else {}
        log.info("record", extra={"fields": {**place, "outcome": ended.outcome.code}})
    if retryable:
        log.warning("the batch should be sent again", extra={"fields": {"records": len(batch), "ends": dict(ends)}})
        raise BatchRetry(f"{retryable} of {len(batch)} records may end otherwise: send the batch again")
    return told
