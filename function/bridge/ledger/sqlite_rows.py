"""The rows of a SQLite ledger: what one says of a delivery, and of an action's pace."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from bridge.pacing import Pace

from . import LEASE_LIMIT, Claim, Interval, Record
from .keys import Keys
from .sqlite_file import CLAIMED, UNKNOWN, VERIFIED


def find(db: sqlite3.Connection, delivery: bytes) -> sqlite3.Row | None:
    """The row of a delivery."""
    row: sqlite3.Row | None = db.execute("SELECT * FROM deliveries WHERE delivery = ?", (delivery,)).fetchone()
    return row


def forget(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Forget it as a delivery; its calls are history that others' unknown outcomes are judged by."""
    db.execute(
        "UPDATE deliveries SET delivery = randomblob(16), state = max(state, ?), lease = NULL, "
        "gave_up = coalesce(gave_up, lease), gave_up2 = coalesce(gave_up2, lease) WHERE id = ?",
        (VERIFIED, row["id"]),
    )


class Around(NamedTuple):
    """What a new delivery meets: whether its contact is ``busy``, is to be taken off the list first (``removal``), has
    an ``unknown`` outcome with this content, or spent this content (``spent``); and how many ``wrong`` codes it had.
    """

    busy: int
    removal: int
    unknown: int
    spent: int
    wrong: int


def around(db: sqlite3.Connection, keys: Keys, now: float, since: float) -> Around:
    """What there is around a new delivery, by one question for all; wrong codes are counted ``since`` a time."""
    question = f"""
        SELECT EXISTS (SELECT 1 FROM deliveries WHERE contact = :contact AND lease > :now AND lease <= :longest
                       AND delivery != :delivery),
               EXISTS (SELECT 1 FROM removals WHERE exact = :exact),
               EXISTS (SELECT 1 FROM deliveries WHERE content = :content AND state <= {UNKNOWN} AND until > :now),
               EXISTS (SELECT 1 FROM spent WHERE content = :content AND until > :now),
               (SELECT count(*) FROM deliveries WHERE contact = :contact AND counted > :since)"""
    given = {
        "contact": keys.contact,
        "content": keys.content,
        "delivery": keys.delivery,
        "exact": keys.exact,
        "longest": now + LEASE_LIMIT,
        "now": now,
        "since": since,
    }
    return Around(*db.execute(question, given).fetchone())


def counted_once(db: sqlite3.Connection, keys: Keys, counted: float | None, at: float) -> float:
    """When it counts as a wrong code: at its first time, which is forgotten as a delivery."""
    if counted is None:
        return at
    once = "UPDATE deliveries SET counted = NULL WHERE contact = ? AND content = ? AND counted = ?"
    db.execute(once, (keys.contact, keys.content, counted))
    return counted


def owned(db: sqlite3.Connection, keys: Keys, token: str) -> sqlite3.Row | None:
    """The delivery, if the token is still its owner."""
    row = find(db, keys.delivery)
    return row if row is not None and is_owner(row, token) else None


def is_owner(row: sqlite3.Row, token: str) -> bool:
    """Whether the token is still its owner; a lease that ran out takes nothing away by itself."""
    return bool(row["token"] == token and row["state"] == CLAIMED)


def known(row: sqlite3.Row, keys: Keys, now: float, *, resends: bool = False) -> Claim | None:
    """The answer when the delivery is known and nobody need work on it.

    One that asks anew (``resends``) when it comes again after a while, and was claimed before the clock was set back,
    would be replayed for as long: it is not known.
    """
    if row["until"] <= now:
        return None
    if row["content"] != keys.content:
        return Claim("reused", now)
    if row["state"] >= VERIFIED:
        if resends and row["transient"] and row["claimed"] > now + 1:
            return None
        return Claim("replay", now, record=record(row))
    return Claim("in-flight", now) if row["state"] == CLAIMED and is_live(row, now) else None


def is_live(row: sqlite3.Row, now: float) -> bool:
    return row["lease"] is not None and now < row["lease"] <= now + LEASE_LIMIT


def record(row: sqlite3.Row) -> Record:
    return Record(row["outcome"], row["request_id"], bool(row["resolved"]), row["contact_type"])


def calls(row: sqlite3.Row) -> Iterator[Interval]:
    """The calls of a delivery; one that was never seen to end is over with its lease."""
    for sent, gave_up in ((row["sent"], row["gave_up"]), (row["sent2"], row["gave_up2"])):
        if sent is not None:
            yield Interval(sent, max(sent, gave_up if gave_up is not None else row["lease"] or sent))


def rivals(db: sqlite3.Connection, keys: Keys) -> tuple[Interval, ...]:
    """The calls of the same contact with another content."""
    rows = db.execute("SELECT * FROM deliveries WHERE contact = ? AND content != ?", (keys.contact, keys.content))
    return tuple(call for row in rows for call in calls(row))


def pace(db: sqlite3.Connection, action: str) -> Pace:
    row = db.execute("SELECT free, at, factor, slowed FROM paces WHERE action = ?", (action,)).fetchone()
    return Pace(*row) if row else Pace()


def save(db: sqlite3.Connection, action: str, pace: Pace) -> None:
    db.execute(
        "INSERT OR REPLACE INTO paces VALUES (?, ?, ?, ?, ?)", (action, pace.free, pace.at, pace.factor, pace.slowed)
    )
