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


class Met(NamedTuple):
    """What a delivery meets: its own ``row``; whether its contact is ``busy`` or is to be taken off the list first
    (``removal``); whether there is an ``unknown`` outcome with this content, or the content is ``spent``; how many
    ``wrong`` codes its contact had, and the action's ``pace``.
    """

    row: sqlite3.Row | None
    busy: bool
    removal: bool
    unknown: bool
    spent: bool
    wrong: int
    pace: Pace


def meet(db: sqlite3.Connection, keys: Keys, action: str, now: float, *, counted_since: float) -> Met:
    """One question for all of it: each costs more than what it asks for."""
    question = f"""
        SELECT deliveries.*,
               EXISTS (SELECT 1 FROM deliveries WHERE contact = :contact AND lease > :now AND lease <= :longest
                       AND delivery != :delivery) AS met_busy,
               EXISTS (SELECT 1 FROM removals WHERE exact = :exact) AS met_removal,
               EXISTS (SELECT 1 FROM deliveries
                       WHERE content = :content AND state <= {UNKNOWN} AND until > :now) AS met_unknown,
               EXISTS (SELECT 1 FROM spent WHERE content = :content AND until > :now) AS met_spent,
               (SELECT count(*) FROM deliveries WHERE contact = :contact AND counted > :since) AS met_wrong,
               free, at, factor, slowed
        FROM (SELECT 1) LEFT JOIN deliveries ON deliveries.delivery = :delivery LEFT JOIN paces ON action = :action"""
    given = {
        "action": action,
        "contact": keys.contact,
        "content": keys.content,
        "delivery": keys.delivery,
        "exact": keys.exact,
        "longest": now + LEASE_LIMIT,
        "now": now,
        "since": counted_since,
    }
    found: sqlite3.Row = db.execute(question, given).fetchone()
    return Met(
        None if found["id"] is None else found,
        busy=bool(found["met_busy"]),
        removal=bool(found["met_removal"]),
        unknown=bool(found["met_unknown"]),
        spent=bool(found["met_spent"]),
        wrong=found["met_wrong"],
        pace=Pace() if found["free"] is None else Pace(*found[-4:]),
    )


def counted_once(db: sqlite3.Connection, keys: Keys, counted: float | None, at: float) -> float:
    """When it counts as a wrong code: at its first time, which is forgotten as a delivery."""
    if counted is None:
        return at
    once = "UPDATE deliveries SET counted = NULL WHERE contact = ? AND content = ? AND counted = ?"
    db.execute(once, (keys.contact, keys.content, counted))
    return counted


def owned(db: sqlite3.Connection, keys: Keys, token: str) -> sqlite3.Row | None:
    """The delivery, if the token is still its owner; a lease that ran out takes nothing away by itself."""
    row = find(db, keys.delivery)
    return row if row is not None and row["token"] == token and row["state"] == CLAIMED else None


_UNTIL = "until = :now + CASE WHEN transient THEN :transient ELSE :ttl END"
_OVER = "CASE WHEN sent IS NULL THEN NULL ELSE coalesce(gave_up, lease, sent) END"
_OVER2 = "CASE WHEN sent2 IS NULL THEN NULL ELSE coalesce(gave_up2, lease, sent2) END"

END = f"""
    UPDATE deliveries SET state = :state, token = NULL, lease = NULL, {_UNTIL},
        outcome = :outcome, request_id = :request_id, resolved = :resolved,
        counted = CASE WHEN :counts THEN counted END,
        sent = CASE WHEN sent2 IS NULL THEN coalesce(:sent, sent) ELSE sent END,
        gave_up = CASE WHEN sent2 IS NULL THEN coalesce(:gave_up, {_OVER}) ELSE {_OVER} END,
        sent2 = CASE WHEN sent2 IS NOT NULL THEN coalesce(:sent, sent2) END,
        gave_up2 = CASE WHEN sent2 IS NOT NULL THEN coalesce(:gave_up, {_OVER2}) END
    WHERE delivery = :delivery AND token = :token AND state = {CLAIMED}"""
"""How the owner of a delivery ends its work: ``sent`` and ``gave_up`` are those of the last call, if it made one."""

END_OTHERS = f"""
    UPDATE deliveries SET state = :state, token = NULL, lease = NULL, {_UNTIL},
        outcome = :outcome, request_id = :request_id, resolved = :resolved, gave_up = {_OVER}, gave_up2 = {_OVER2}
    WHERE content = :content AND state <= {UNKNOWN}"""
"""Whatever else was unknown about its content is known then, too."""


def known(row: sqlite3.Row | None, keys: Keys, now: float, *, resends: bool = False) -> Claim | None:
    """The answer when the delivery is known and nobody need work on it.

    One that asks anew (``resends``) when it comes again after a while, and was claimed before the clock was set back,
    would be replayed for as long: it is not known.
    """
    if row is None or row["until"] <= now:
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
