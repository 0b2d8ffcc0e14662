"""Count messages in a SQLite ledger, so that send limits hold for all processes that share the file.

Each message has one row for each of its counters, with the token of its owner.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from signup_bridge.ledger import SEND_LIMIT_WINDOW, SendLimit


def blocking_limit(db: sqlite3.Connection, limits: Sequence[SendLimit], now: float) -> tuple[float, str] | None:
    """Return the longest wait in seconds and the name of its limit; None if no limit is reached."""
    waits = []
    for limit in limits:
        # A future time was written before the clock was set back. It counts from now on.
        db.execute("UPDATE sends SET at = ? WHERE series = ? AND at > ?", (now, limit.counter_key, now))
        oldest = db.execute(
            "SELECT at FROM sends WHERE series = ? AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?",
            (limit.counter_key, now - limit.window, limit.limit - 1),
        ).fetchone()
        if oldest:
            waits.append((oldest["at"] + limit.window - now, limit.name))
    return max(waits, default=None)


def add(db: sqlite3.Connection, limits: Sequence[SendLimit], token: str, now: float) -> None:
    """Count one message, and delete more expired rows than are inserted."""
    counters = {limit.counter_key for limit in limits}
    db.executemany("INSERT INTO sends (series, at, token) VALUES (?, ?, ?)", [(key, now, token) for key in counters])
    db.execute(
        "DELETE FROM sends WHERE id IN (SELECT id FROM sends WHERE at <= ? ORDER BY at LIMIT ?)",
        (now - SEND_LIMIT_WINDOW, len(counters) * 3),
    )


def remove(db: sqlite3.Connection, token: str) -> None:
    """Stop counting a message that was not sent."""
    db.execute("DELETE FROM sends WHERE token = ?", (token,))
