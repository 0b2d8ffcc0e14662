"""The rows of a SQLite ledger: what one says of a delivery, and of an action's pace."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.ledger import (
    COMPETING_MARGIN,
    CONTENT_REPLAY,
    LEASE_LIMIT,
    MAX_COMPETING_CALLS,
    CallWindow,
    Claim,
    InFlight,
    KeyMismatch,
    Record,
    Replay,
)
from signup_bridge.ledger.keys import Keys

from .database import CLAIMED, UNKNOWN, VERIFIED


class Statement:
    """SQL whose parameters are named here and given to SQLite in their order.

    Python's module lets go of the interpreter for each name that it looks up and each column that it fetches, and where
    threads wait for the interpreter that is what a statement costs.
    """

    def __init__(self, sql: str) -> None:
        self._names = re.findall(r":(\w+)", sql)
        self._sql = re.sub(r":\w+", "?", sql)

    def execute(self, db: sqlite3.Connection, given: Mapping[str, Any]) -> sqlite3.Cursor:
        return db.execute(self._sql, [given[name] for name in self._names])


def find(db: sqlite3.Connection, delivery: bytes) -> sqlite3.Row | None:
    """The row of a delivery."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM deliveries WHERE delivery = ?", (delivery,)).fetchone()
    return row


_KNOWN = Statement(f"""
    SELECT CASE WHEN content != :content THEN 'key-mismatch'
                WHEN state >= {VERIFIED} THEN 'replay' ELSE 'in-flight' END,
           outcome, request_id, resolved
    FROM deliveries
    WHERE delivery = :delivery AND until > :now
        AND CASE WHEN content != :content THEN TRUE
                 WHEN state >= {VERIFIED} THEN NOT (transient AND claimed > :now + 1)
                 ELSE state = {CLAIMED} AND lease > :now AND lease <= :now + {LEASE_LIMIT} END""")


def existing_claim(db: sqlite3.Connection, keys: Keys, now: float) -> Claim | None:
    """The answer when the delivery is known and nobody need work on it.

    A content that was claimed before the clock was set back would be replayed for as long: it is not known until
    `bring_back` has set its time right.
    """
    given = {"content": keys.content, "delivery": keys.delivery, "now": now}
    found = _KNOWN.execute(db, given).fetchone()
    if found is None:
        return None
    kind, outcome, request_id, resolved = found
    if kind == "replay":  # what has the same content has the same type
        return Replay(Record(outcome, request_id, bool(resolved), keys.contact_type))
    return InFlight() if kind == "in-flight" else KeyMismatch()


def detach(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Forget it as a delivery; its calls are history that others' unknown outcomes are judged by."""
    db.execute(
        "UPDATE deliveries SET delivery = randomblob(16), state = max(state, ?), lease = NULL, "
        "gave_up = coalesce(gave_up, lease), gave_up2 = coalesce(gave_up2, lease) WHERE id = ?",
        (VERIFIED, row["id"]),
    )


class ClaimContext(NamedTuple):
    """What a delivery meets: its own ``row``; whether times of its own, or of its contact's wrong codes, are ``ahead``
    and must be brought back; whether its contact is ``busy`` or is to be taken off the list first
    (``removal``); whether there is an ``unknown`` outcome with this content, or the content is ``spent``; how many
    ``wrong`` codes its contact had, and the action's ``pace``.
    """

    row: sqlite3.Row | None
    ahead: bool
    busy: bool
    removal: bool
    unknown: bool
    spent: bool
    wrong: int
    pace: RateLimiterState


_MEET = Statement(f"""
    SELECT deliveries.id,
           (EXISTS (SELECT 1 FROM deliveries WHERE contact = :contact AND counted > :now)
            OR coalesce(transient AND state >= {VERIFIED} AND claimed > :now + 1, 0))
           || EXISTS (SELECT 1 FROM deliveries WHERE contact = :contact AND lease > :now AND lease <= :longest
                   AND delivery != :delivery)
           || EXISTS (SELECT 1 FROM removals WHERE exact = :exact)
           || EXISTS (SELECT 1 FROM deliveries WHERE content = :content AND state <= {UNKNOWN} AND until > :now)
           || EXISTS (SELECT 1 FROM spent WHERE content = :content AND until > :now),
           (SELECT count(*) FROM
               (SELECT 1 FROM deliveries WHERE contact = :contact AND counted > :since LIMIT :enough)),
           free, at, factor, slowed
    FROM (SELECT 1) LEFT JOIN deliveries ON deliveries.delivery = :delivery LEFT JOIN paces ON action = :action""")


def load_claim_context(
    db: sqlite3.Connection, keys: Keys, action: str, now: float, *, counted_since: float, enough: int
) -> ClaimContext:
    """One question for all of it, and one column for each yes and no: each costs more than what it asks for.

    No more than ``enough`` wrong codes are counted.
    """
    given = {
        "action": action,
        "contact": keys.contact,
        "content": keys.content,
        "delivery": keys.delivery,
        "enough": enough,
        "exact": keys.exact,
        "longest": now + LEASE_LIMIT,
        "now": now,
        "since": counted_since,
    }
    id_, met, wrong, *pace = _MEET.execute(db, given).fetchone()
    ahead, busy, removal, unknown, spent = (digit == "1" for digit in met)
    return ClaimContext(
        None if id_ is None else find(db, keys.delivery),
        ahead=ahead,
        busy=busy,
        removal=removal,
        unknown=unknown,
        spent=spent,
        wrong=wrong,
        pace=RateLimiterState() if pace[0] is None else RateLimiterState(*pace),
    )


def bring_back(db: sqlite3.Connection, keys: Keys, now: float) -> None:
    """Count from now what was written before the clock was set back: the contact's wrong codes, and the time for which
    the delivery is replayed.
    """
    db.execute("UPDATE deliveries SET counted = ? WHERE contact = ? AND counted > ?", (now, keys.contact, now))
    db.execute(
        "UPDATE deliveries SET claimed = ?, until = min(until, ?) "
        f"WHERE delivery = ? AND transient AND state >= {VERIFIED} AND claimed > ?",
        (now, now + CONTENT_REPLAY, keys.delivery, now + 1),
    )


def move_count(db: sqlite3.Connection, keys: Keys, counted: float | None, at: float) -> float:
    """When it counts as a wrong code: at its first time, which is forgotten as a delivery."""
    if counted is None:
        return at
    once = "UPDATE deliveries SET counted = NULL WHERE contact = ? AND content = ? AND counted = ?"
    db.execute(once, (keys.contact, keys.content, counted))
    return counted


def clear_wrong(db: sqlite3.Connection, keys: Keys, since: float, most: int) -> None:
    """Count no wrong code of the contact any more that was counted after ``since``, of the last ``most``."""
    last = "SELECT id FROM deliveries WHERE contact = ? AND counted > ? ORDER BY counted DESC LIMIT ?"
    db.execute(f"UPDATE deliveries SET counted = NULL WHERE id IN ({last})", (keys.contact, since, most))


def owned(db: sqlite3.Connection, keys: Keys, token: str) -> sqlite3.Row | None:
    """The delivery, if the token is still its owner; a lease that ran out takes nothing away by itself."""
    mine = f"SELECT * FROM deliveries WHERE delivery = ? AND token = ? AND state = {CLAIMED}"
    row: sqlite3.Row | None = db.execute(mine, (keys.delivery, token)).fetchone()
    return row


_UNTIL = "until = :now + CASE WHEN transient THEN :transient ELSE :ttl END"
_OVER = "CASE WHEN sent IS NULL THEN NULL ELSE coalesce(gave_up, lease, sent) END"
_OVER2 = "CASE WHEN sent2 IS NULL THEN NULL ELSE coalesce(gave_up2, lease, sent2) END"

SETTLE = Statement(f"""
    UPDATE deliveries SET state = :state, token = NULL, lease = NULL, {_UNTIL},
        outcome = :outcome, request_id = :request_id, resolved = :resolved,
        counted = CASE WHEN :counts THEN counted END,
        sent = CASE WHEN sent2 IS NULL THEN coalesce(:sent, sent) ELSE sent END,
        gave_up = CASE WHEN sent2 IS NULL THEN coalesce(:gave_up, {_OVER}) ELSE {_OVER} END,
        sent2 = CASE WHEN sent2 IS NOT NULL THEN coalesce(:sent, sent2) END,
        gave_up2 = CASE WHEN sent2 IS NOT NULL THEN coalesce(:gave_up, {_OVER2}) END
    WHERE delivery = :delivery AND token = :token AND state = {CLAIMED}""")
"""How the owner of a delivery ends its work: ``sent`` and ``gave_up`` are those of the last call, if it made one."""

SETTLE_DUPLICATES = Statement(f"""
    UPDATE deliveries SET state = :state, token = NULL, lease = NULL, {_UNTIL},
        outcome = :outcome, request_id = :request_id, resolved = :resolved, gave_up = {_OVER}, gave_up2 = {_OVER2}
    WHERE content = :content AND state <= {UNKNOWN}""")
"""Whatever else was unknown about its content is known then, too."""


def is_live(row: sqlite3.Row, now: float) -> bool:
    return row["lease"] is not None and now < row["lease"] <= now + LEASE_LIMIT


def record(row: sqlite3.Row) -> Record:
    return Record(row["outcome"], row["request_id"], bool(row["resolved"]), row["contact_type"])


def calls(row: sqlite3.Row) -> Iterator[CallWindow]:
    """The calls of a delivery; one that was never seen to end is over with its lease."""
    for sent, gave_up in ((row["sent"], row["gave_up"]), (row["sent2"], row["gave_up2"])):
        if sent is not None:
            yield CallWindow(sent, max(sent, gave_up if gave_up is not None else row["lease"] or sent))


_AROUND = [
    f"SELECT * FROM deliveries WHERE contact = ? AND {sent} BETWEEN ? AND ? ORDER BY {sent} DESC LIMIT ?"
    for sent in ("sent", "sent2")
]


def rivals(
    db: sqlite3.Connection, keys: Keys, calls_of_content: Iterable[CallWindow], since: float
) -> tuple[CallWindow, ...] | None:
    """The calls of the same contact with another content, around those of the content that left after ``since``; None
    when there are more than `RIVALS`.
    """
    found: dict[int, sqlite3.Row] = {}
    for call in calls_of_content:
        if call.sent_at <= since:
            continue
        around = (
            keys.contact,
            call.sent_at - LEASE_LIMIT - COMPETING_MARGIN,
            call.gave_up_at + COMPETING_MARGIN,
            MAX_COMPETING_CALLS + 1,
        )
        near = [row for query in _AROUND for row in db.execute(query, around)]
        if len(near) > MAX_COMPETING_CALLS:
            return None
        found |= {row["id"]: row for row in near if row["content"] != keys.content}
    return tuple(call for row in found.values() for call in calls(row))


def pace(db: sqlite3.Connection, action: str) -> RateLimiterState:
    row = db.execute("SELECT free, at, factor, slowed FROM paces WHERE action = ?", (action,)).fetchone()
    return RateLimiterState(*row) if row else RateLimiterState()


def save(db: sqlite3.Connection, action: str, pace: RateLimiterState) -> None:
    db.execute(
        "INSERT OR REPLACE INTO paces VALUES (?, ?, ?, ?, ?)",
        (action, pace.free, pace.at, pace.throttled_factor, pace.throttled_at),
    )
