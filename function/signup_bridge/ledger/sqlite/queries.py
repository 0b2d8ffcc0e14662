"""The reads of a SQLite ledger: the row of a delivery, the context of a claim, the calls of a contact."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from signup_bridge.core.actions import CREATE
from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.ledger import (
    COMPETING_MARGIN,
    LEASE_LIMIT,
    MAX_COMPETING_CALLS,
    CallWindow,
    Claim,
    InFlight,
    KeyMismatch,
    Policy,
    Record,
    Replay,
)
from signup_bridge.ledger.keys import Keys

from .database import CLAIMED, UNKNOWN, VERIFIED


def find(db: sqlite3.Connection, delivery: bytes) -> sqlite3.Row | None:
    row: sqlite3.Row | None = db.execute("SELECT * FROM deliveries WHERE delivery = ?", (delivery,)).fetchone()
    return row


def find_owned(db: sqlite3.Connection, keys: Keys, token: str) -> sqlite3.Row | None:
    """Return the row of a delivery if the token still owns it, even after its lease expired."""
    query = f"SELECT * FROM deliveries WHERE delivery = ? AND token = ? AND state = {CLAIMED}"
    row: sqlite3.Row | None = db.execute(query, (keys.delivery, token)).fetchone()
    return row


def existing_claim(row: sqlite3.Row | None, keys: Keys, now: float) -> Claim | None:
    """Return the claim of a delivery that is settled or in progress, or whose id was used with different content.

    A delivery without an id that was claimed before the clock was set back would be replayed for too long. It is
    ignored until `updates.correct_future_times` has corrected its time.
    """
    if row is None or row["until"] <= now:
        return None
    if row["content"] != keys.content:
        return KeyMismatch()
    if row["state"] >= VERIFIED:
        return None if row["transient"] and row["claimed"] > now + 1 else Replay(record(row, now))
    return InFlight() if row["state"] == CLAIMED and is_in_progress(row, now) else None


class ClaimContext(NamedTuple):
    """The state that a claim depends on. The flags are in the order of `_CLAIM_CONTEXT`.

    ``row`` is the delivery's own, ``wrong_codes`` the number of its contact's wrong codes, ``rate`` the state of the
    action's rate limiter. ``has_future_times``: times of the row, or of the wrong codes, were written before the clock
    was set back. ``contact_busy``: another delivery for the contact is in progress. ``release_pending``: the contact
    must first be removed from the account's contact list. ``unknown``: the outcome of a delivery with the same content
    is unknown. ``code_used``: the content was verified, and its contact was removed from the list.
    """

    row: sqlite3.Row | None
    wrong_codes: int
    rate: RateLimiterState
    has_future_times: bool
    contact_busy: bool
    release_pending: bool
    unknown: bool
    code_used: bool


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


def load_claim_context(db: sqlite3.Connection, keys: Keys, policy: Policy, now: float) -> ClaimContext:
    """Return the context of the claim of a verification, with at most ``policy.wrong_codes`` wrong codes.

    One statement with one column for all flags reads it, because each statement and each column adds a fixed cost.
    """
    parameters = keys._asdict() | {
        "action": CREATE,
        "counted_since": now - policy.wrong_code_window,
        "max_lease": now + LEASE_LIMIT,
        "max_wrong": policy.wrong_codes,
        "now": now,
    }
    id_, flags, wrong_codes, *rate = db.execute(_CLAIM_CONTEXT, parameters).fetchone()
    row = None if id_ is None else find(db, keys.delivery)
    state = RateLimiterState() if rate[0] is None else RateLimiterState(*rate)
    return ClaimContext(row, wrong_codes, state, *(flag == "1" for flag in flags))


def is_in_progress(row: sqlite3.Row, now: float) -> bool:
    return row["lease"] is not None and now < row["lease"] <= now + LEASE_LIMIT


def record(row: sqlite3.Row, now: float) -> Record:
    retry_after = None if row["retry_at"] is None else max(0.0, row["retry_at"] - now)
    return Record(row["outcome"], row["request_id"], bool(row["resolved"]), row["contact_type"], retry_after)


def end_of_exhaustion(db: sqlite3.Connection, keys: Keys, policy: Policy, now: float) -> float:
    """Return the time at which the contact will have less than ``policy.wrong_codes`` wrong codes."""
    query = "SELECT counted FROM deliveries WHERE contact = ? AND counted > ? ORDER BY counted DESC LIMIT 1 OFFSET ?"
    parameters = (keys.contact, now - policy.wrong_code_window, policy.wrong_codes - 1)
    (counted,) = db.execute(query, parameters).fetchone()
    return float(counted) + policy.wrong_code_window


def calls(row: sqlite3.Row) -> Iterator[CallWindow]:
    """Yield the calls of a delivery. A call without a recorded end is assumed to end with its lease."""
    for sent, gave_up in ((row["sent"], row["gave_up"]), (row["sent2"], row["gave_up2"])):
        if sent is not None:
            yield CallWindow(sent, max(sent, gave_up if gave_up is not None else row["lease"] or sent))


def unknown_calls(db: sqlite3.Connection, content: bytes, now: float) -> tuple[CallWindow, ...]:
    """Return the calls of all deliveries with this content and an unknown outcome."""
    query = f"SELECT * FROM deliveries WHERE content = ? AND state <= {UNKNOWN} AND until > ?"
    return tuple(call for row in db.execute(query, (content, now)).fetchall() for call in calls(row))


_CALLS_AROUND = [
    f"SELECT * FROM deliveries WHERE contact = ? AND {sent} BETWEEN ? AND ? ORDER BY {sent} DESC LIMIT ?"
    for sent in ("sent", "sent2")
]


def competing_calls(
    db: sqlite3.Connection, keys: Keys, calls_of_content: Iterable[CallWindow], since: float
) -> tuple[CallWindow, ...] | None:
    """Return the contact's calls with different content around the given calls that started after ``since``.

    Return None if there are more than `MAX_COMPETING_CALLS` around one call.
    """
    found: dict[int, sqlite3.Row] = {}
    for call in calls_of_content:
        if call.sent_at <= since:
            continue
        earliest, latest = call.sent_at - LEASE_LIMIT - COMPETING_MARGIN, call.gave_up_at + COMPETING_MARGIN
        parameters = (keys.contact, earliest, latest, MAX_COMPETING_CALLS + 1)
        near = [row for query in _CALLS_AROUND for row in db.execute(query, parameters)]
        if len(near) > MAX_COMPETING_CALLS:
            return None
        found |= {row["id"]: row for row in near if row["content"] != keys.content}
    return tuple(call for row in found.values() for call in calls(row))


def count_unknown(db: sqlite3.Connection, now: float) -> int:
    """Return the number of deliveries with an unknown outcome that are not in progress."""
    query = (
        f"SELECT count(*) FROM deliveries WHERE state <= {UNKNOWN} AND until > :now "
        "AND (lease IS NULL OR lease <= :now OR lease > :max_lease)"
    )
    (count,) = db.execute(query, {"now": now, "max_lease": now + LEASE_LIMIT}).fetchone()
    return int(count)


def rate_state(db: sqlite3.Connection, action: str) -> RateLimiterState:
    row = db.execute("SELECT free, at, factor, slowed FROM paces WHERE action = ?", (action,)).fetchone()
    return RateLimiterState(*row) if row else RateLimiterState()
