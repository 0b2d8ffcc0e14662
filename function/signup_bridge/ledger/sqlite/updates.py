"""The writes of a SQLite ledger. Each function runs in its caller's transaction."""

from __future__ import annotations

import sqlite3
from typing import Any

from signup_bridge.core import outcomes
from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.ledger import CONTENT_REPLAY, Settlement
from signup_bridge.ledger.keys import Keys

from .database import CLAIMED, REFUSED, UNKNOWN, VERIFIED


def insert(db: sqlite3.Connection, keys: Keys, columns: dict[str, Any]) -> None:
    """Insert a row with the keys and other ``columns``."""
    names = ", ".join(columns)
    values = (keys.delivery, keys.content, keys.contact, keys.contact_type, keys.body_keyed, *columns.values())
    db.execute(
        f"INSERT INTO deliveries (delivery, content, contact, contact_type, transient, {names}) "
        f"VALUES (?{', ?' * (len(values) - 1)})",
        values,
    )


def take_over(db: sqlite3.Connection, id_: int, token: str, *, now: float, lease: float, until: float) -> None:
    """Make the token the owner of a delivery with an unknown outcome."""
    db.execute(
        "UPDATE deliveries SET state = ?, token = ?, claimed = ?, lease = ?, until = ?, "
        "gave_up = CASE WHEN sent IS NULL THEN NULL ELSE coalesce(gave_up, lease) END, "
        "gave_up2 = CASE WHEN sent2 IS NULL THEN NULL ELSE coalesce(gave_up2, lease) END WHERE id = ?",
        (CLAIMED, token, now, lease, until, id_),
    )


def detach(db: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Remove the delivery's id from a row. The row stays, because its calls may reconcile other deliveries."""
    db.execute(
        "UPDATE deliveries SET delivery = randomblob(16), state = max(state, ?), lease = NULL, "
        "gave_up = coalesce(gave_up, lease), gave_up2 = coalesce(gave_up2, lease) WHERE id = ?",
        (VERIFIED, row["id"]),
    )


def correct_future_times(db: sqlite3.Connection, keys: Keys, now: float) -> None:
    """Set future times to now, which were written before the clock was set back: wrong codes, and starts of replays."""
    db.execute("UPDATE deliveries SET counted = ? WHERE contact = ? AND counted > ?", (now, keys.contact, now))
    db.execute(
        "UPDATE deliveries SET claimed = ?, until = min(until, ?) "
        f"WHERE delivery = ? AND transient AND state >= {VERIFIED} AND claimed > ?",
        (now, now + CONTENT_REPLAY, keys.delivery, now + 1),
    )


def move_count(db: sqlite3.Connection, keys: Keys, counted: float | None, at: float) -> float:
    """Return when the delivery counts as a wrong code: at that of its detached row (``counted``), or else ``at``."""
    if counted is None:
        return at
    update = "UPDATE deliveries SET counted = NULL WHERE contact = ? AND content = ? AND counted = ?"
    db.execute(update, (keys.contact, keys.content, counted))
    return counted


def clear_wrong_codes(db: sqlite3.Connection, keys: Keys, since: float, limit: int) -> None:
    """Stop counting the contact's wrong codes after ``since``, of the last ``limit``."""
    last = "SELECT id FROM deliveries WHERE contact = ? AND counted > ? ORDER BY counted DESC LIMIT ?"
    db.execute(f"UPDATE deliveries SET counted = NULL WHERE id IN ({last})", (keys.contact, since, limit))


def begin_second_call(db: sqlite3.Connection, id_: int, at: float) -> None:
    db.execute("UPDATE deliveries SET sent2 = ?, counted = coalesce(counted, ?) WHERE id = ?", (at, at, id_))


_UNTIL = "until = :now + CASE WHEN transient THEN :content_replay ELSE :ttl END"
_OVER = "CASE WHEN sent IS NULL THEN NULL ELSE coalesce(gave_up, lease, sent) END"
_OVER2 = "CASE WHEN sent2 IS NULL THEN NULL ELSE coalesce(gave_up2, lease, sent2) END"

SETTLE = f"""
    UPDATE deliveries SET state = :state, token = NULL, lease = NULL, {_UNTIL},
        outcome = :outcome, request_id = :request_id, resolved = :resolved,
        counted = CASE WHEN :counts THEN counted END,
        sent = CASE WHEN sent2 IS NULL THEN coalesce(:sent, sent) ELSE sent END,
        gave_up = CASE WHEN sent2 IS NULL THEN coalesce(:gave_up, {_OVER}) ELSE {_OVER} END,
        sent2 = CASE WHEN sent2 IS NOT NULL THEN coalesce(:sent, sent2) END,
        gave_up2 = CASE WHEN sent2 IS NOT NULL THEN coalesce(:gave_up, {_OVER2}) END
    WHERE delivery = :delivery AND token = :token AND state = {CLAIMED}"""
"""Settle the owner's delivery. ``sent`` and ``gave_up`` are the times of its last call, if it made one."""

SETTLE_DUPLICATES = f"""
    UPDATE deliveries SET state = :state, token = NULL, lease = NULL, {_UNTIL},
        outcome = :outcome, request_id = :request_id, resolved = :resolved, gave_up = {_OVER}, gave_up2 = {_OVER2}
    WHERE content = :content AND state <= {UNKNOWN}"""
"""Settle the other deliveries with the same content and an unknown outcome."""


def settlement_parameters(keys: Keys, token: str, settlement: Settlement, *, now: float, ttl: float) -> dict[str, Any]:
    """Return the parameters of `SETTLE` and `SETTLE_DUPLICATES`."""
    record = settlement.record
    verified = record is not None and record.outcome in (outcomes.VERIFIED.code, outcomes.SENT.code)
    return {
        "content": keys.content,
        "content_replay": settlement.content_replay if record else ttl,
        "counts": record is None or (settlement.counts_as_wrong and not verified),
        "delivery": keys.delivery,
        "gave_up": settlement.gave_up_at and now - settlement.gave_up_at.seconds(),
        "now": now,
        "outcome": record and record.outcome,
        "request_id": record and record.api_request_id,
        "resolved": record and record.resolved,
        "sent": settlement.sent_at and now - settlement.sent_at.seconds(),
        "state": UNKNOWN if record is None else VERIFIED if verified else REFUSED,
        "token": token,
        "ttl": ttl,
    }


def begin_release(db: sqlite3.Connection, keys: Keys, token: str, *, lease: float, until: float) -> None:
    """Lock a verified contact until ``lease`` for its release. Its code is marked as used until ``until``."""
    db.execute("UPDATE deliveries SET token = ?, lease = ? WHERE delivery = ?", (token, lease, keys.delivery))
    db.execute("INSERT OR IGNORE INTO removals VALUES (?)", (keys.contact_exact,))
    db.execute("INSERT OR REPLACE INTO spent (content, until) VALUES (?, ?)", (keys.content, until))


def finish_release(db: sqlite3.Connection, row: sqlite3.Row, keys: Keys, *, removed: bool) -> None:
    if removed:
        db.execute("DELETE FROM removals WHERE exact = ?", (keys.contact_exact,))
    if row["state"] >= VERIFIED:
        db.execute("UPDATE deliveries SET token = NULL, lease = NULL WHERE id = ?", (row["id"],))


def release_claim(db: sqlite3.Connection, row: sqlite3.Row, *, now: float, until: float) -> None:
    """Undo the claim of an owned delivery whose last call was not processed."""
    if row["sent"] is None or row["gave_up"] is not None:
        db.execute(
            "UPDATE deliveries SET state = ?, token = NULL, lease = NULL, until = ?, "
            "sent2 = CASE WHEN gave_up2 IS NULL THEN NULL ELSE sent2 END WHERE id = ?",
            (UNKNOWN, until, row["id"]),
        )
    elif row["counted"] is not None and row["counted"] < min(row["claimed"], now):
        # An earlier wrong code still counts.
        columns = "delivery = randomblob(16), state = ?, token = NULL, lease = NULL, sent = NULL"
        db.execute(f"UPDATE deliveries SET {columns} WHERE id = ?", (REFUSED, row["id"]))
    else:
        db.execute("DELETE FROM deliveries WHERE id = ?", (row["id"],))


def save_rate_state(db: sqlite3.Connection, action: str, state: RateLimiterState) -> None:
    db.execute("INSERT OR REPLACE INTO paces VALUES (?, ?, ?, ?, ?)", (action, *state))
