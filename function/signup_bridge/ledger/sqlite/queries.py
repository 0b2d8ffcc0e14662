"""What a SQLite ledger reads: the row of a delivery, what a claim depends on, the calls of a contact."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.ledger import (
    COMPETING_MARGIN,
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


def find(db: sqlite3.Connection, delivery: bytes) -> sqlite3.Row | None:
    """Return the row of a delivery."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM deliveries WHERE delivery = ?", (delivery,)).fetchone()
    return row


def find_owned(db: sqlite3.Connection, keys: Keys, token: str) -> sqlite3.Row | None:
    """Return the row of a delivery if the token still owns it; the end of a lease alone takes nothing away."""
    query = f"SELECT * FROM deliveries WHERE delivery = ? AND token = ? AND state = {CLAIMED}"
    row: sqlite3.Row | None = db.execute(query, (keys.delivery, token)).fetchone()
    return row


_EXISTING_CLAIM = f"""
    SELECT CASE WHEN content != :content THEN 'key-mismatch'
                WHEN state >= {VERIFIED} THEN 'replay' ELSE 'in-flight' END,
           outcome, request_id, resolved
    FROM deliveries
    WHERE delivery = :delivery AND until > :now
        AND CASE WHEN content != :content THEN TRUE
                 WHEN state >= {VERIFIED} THEN NOT (transient AND claimed > :now + 1)
                 ELSE state = {CLAIMED} AND lease > :now AND lease <= :now + {LEASE_LIMIT} END"""


def existing_claim(db: sqlite3.Connection, keys: Keys, now: float) -> Claim | None:
    """Return the claim of a delivery that is settled or in progress, or whose id has another content.

    One without an id that was claimed before the clock was set back would be replayed for too long: it is ignored until
    `updates.correct_future_times` has corrected its time.
    """
    parameters = {"content": keys.content, "delivery": keys.delivery, "now": now}
    row = db.execute(_EXISTING_CLAIM, parameters).fetchone()
    if row is None:
        return None
    kind, outcome, request_id, resolved = row
    if kind == "replay":  # the same content has the same type
        return Replay(Record(outcome, request_id, bool(resolved), keys.contact_type))
    return InFlight() if kind == "in-flight" else KeyMismatch()


class ClaimContext(NamedTuple):
    """What a claim depends on.

    ``row`` is the delivery's own. ``has_future_times``: times of its own, or of its contact's wrong codes, were written
    before the clock was set back. ``contact_busy``: another delivery for the contact is in progress.
    ``release_pending``: the contact must be taken off the account's list first. ``unknown``: the outcome of a delivery
    with the same content is unknown. ``code_used``: the content was verified, and its contact taken off the list.
    ``wrong_codes`` is their number, ``rate`` the state of the action's rate limiter.
    """

    row: sqlite3.Row | None
    has_future_times: bool
    contact_busy: bool
    release_pending: bool
    unknown: bool
    code_used: bool
    wrong_codes: int
    rate: RateLimiterState


_CLAIM_CONTEXT = f"""
    SELECT deliveries.id,
           (EXISTS (SELECT 1 FROM deliveries WHERE contact = :contact AND counted > :now)
            OR coalesce(transient AND state >= {VERIFIED} AND claimed > :now + 1, 0))
           || EXISTS (SELECT 1 FROM deliveries WHERE contact = :contact AND lease > :now AND lease <= :max_lease
                   AND delivery != :delivery)
           || EXISTS (SELECT 1 FROM removals WHERE exact = :contact_exact)
           || EXISTS (SELECT 1 FROM deliveries WHERE content = :content AND state <= {UNKNOWN} AND until > :now)
           || EXISTS (SELECT 1 FROM spent WHERE content = :content AND until > :now),
           (SELECT count(*) FROM
               (SELECT 1 FROM deliveries WHERE contact = :contact AND counted > :counted_since LIMIT :max_wrong)),
           free, at, factor, slowed
    FROM (SELECT 1) LEFT JOIN deliveries ON deliveries.delivery = :delivery LEFT JOIN paces ON action = :action"""


def load_claim_context(
    db: sqlite3.Connection, keys: Keys, action: str, now: float, *, counted_since: float, max_wrong: int
) -> ClaimContext:
    """Return what a claim depends on, with at most ``max_wrong`` wrong codes.

    One statement reads it, with one column for all flags: a statement or a column costs more than what it reads.
    """
    parameters = {
        "action": action,
        "contact": keys.contact,
        "contact_exact": keys.contact_exact,
        "content": keys.content,
        "counted_since": counted_since,
        "delivery": keys.delivery,
        "max_lease": now + LEASE_LIMIT,
        "max_wrong": max_wrong,
        "now": now,
    }
    id_, flags, wrong_codes, *rate = db.execute(_CLAIM_CONTEXT, parameters).fetchone()
    has_future_times, contact_busy, release_pending, unknown, code_used = (flag == "1" for flag in flags)
    return ClaimContext(
        None if id_ is None else find(db, keys.delivery),
        has_future_times=has_future_times,
        contact_busy=contact_busy,
        release_pending=release_pending,
        unknown=unknown,
        code_used=code_used,
        wrong_codes=wrong_codes,
        rate=RateLimiterState() if rate[0] is None else RateLimiterState(*rate),
    )


def is_in_progress(row: sqlite3.Row, now: float) -> bool:
    return row["lease"] is not None and now < row["lease"] <= now + LEASE_LIMIT


def record(row: sqlite3.Row) -> Record:
    return Record(row["outcome"], row["request_id"], bool(row["resolved"]), row["contact_type"])


def calls(row: sqlite3.Row) -> Iterator[CallWindow]:
    """Yield the calls of a delivery; one without a recorded end is over with its lease."""
    for sent, gave_up in ((row["sent"], row["gave_up"]), (row["sent2"], row["gave_up2"])):
        if sent is not None:
            yield CallWindow(sent, max(sent, gave_up if gave_up is not None else row["lease"] or sent))


def unknown_calls(db: sqlite3.Connection, content: bytes, now: float) -> tuple[CallWindow, ...]:
    """Return the calls of the deliveries of a content whose outcome is unknown."""
    query = f"SELECT * FROM deliveries WHERE content = ? AND state <= {UNKNOWN} AND until > ?"
    return tuple(call for row in db.execute(query, (content, now)).fetchall() for call in calls(row))


_CALLS_AROUND = [
    f"SELECT * FROM deliveries WHERE contact = ? AND {sent} BETWEEN ? AND ? ORDER BY {sent} DESC LIMIT ?"
    for sent in ("sent", "sent2")
]


def competing_calls(
    db: sqlite3.Connection, keys: Keys, calls_of_content: Iterable[CallWindow], since: float
) -> tuple[CallWindow, ...] | None:
    """Return the contact's calls with other contents around those of the content that left after ``since``.

    None if there are more than `MAX_COMPETING_CALLS` around one call.
    """
    found: dict[int, sqlite3.Row] = {}
    for call in calls_of_content:
        if call.sent_at <= since:
            continue
        parameters = (
            keys.contact,
            call.sent_at - LEASE_LIMIT - COMPETING_MARGIN,
            call.gave_up_at + COMPETING_MARGIN,
            MAX_COMPETING_CALLS + 1,
        )
        near = [row for query in _CALLS_AROUND for row in db.execute(query, parameters)]
        if len(near) > MAX_COMPETING_CALLS:
            return None
        found |= {row["id"]: row for row in near if row["content"] != keys.content}
    return tuple(call for row in found.values() for call in calls(row))


def count_unknown(db: sqlite3.Connection, now: float) -> int:
    """Return the number of deliveries whose outcome is unknown and that are not in progress."""
    query = (
        f"SELECT count(*) FROM deliveries WHERE state <= {UNKNOWN} AND until > :now "
        "AND (lease IS NULL OR lease <= :now OR lease > :max_lease)"
    )
    (count,) = db.execute(query, {"now": now, "max_lease": now + LEASE_LIMIT}).fetchone()
    return int(count)


def rate_state(db: sqlite3.Connection, action: str) -> RateLimiterState:
    """Return the state of an action's rate limiter."""
    row = db.execute("SELECT free, at, factor, slowed FROM paces WHERE action = ?", (action,)).fetchone()
    return RateLimiterState(*row) if row else RateLimiterState()
