"""The messages that a SQLite ledger counts, so that their guards hold over all who share the file.

Each message stands once under each series that it belongs to, by the token of whoever sent it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from signup_bridge.ledger import SEND_LIMIT_WINDOW, SendLimit


def blocking_limit(db: sqlite3.Connection, guards: Sequence[SendLimit], now: float) -> tuple[float, str] | None:
    """The longest wait in seconds, and whose it is, when a guard lets no message out now."""
    waits = []
    for guard in guards:
        # What seems to be still to come was written before the clock was set back: it counts from now.
        db.execute("UPDATE sends SET at = ? WHERE series = ? AND at > ?", (now, guard.counter_key, now))
        full = db.execute(
            "SELECT at FROM sends WHERE series = ? AND at > ? ORDER BY at DESC LIMIT 1 OFFSET ?",
            (guard.counter_key, now - guard.window, guard.limit - 1),
        ).fetchone()
        if full:
            waits.append((full["at"] + guard.window - now, guard.name))
    return max(waits, default=None)


def add(db: sqlite3.Connection, guards: Sequence[SendLimit], token: str, now: float) -> None:
    """Count one message, and forget as many as may be gone."""
    series = {guard.counter_key for guard in guards}
    db.executemany("INSERT INTO sends (series, at, token) VALUES (?, ?, ?)", [(one, now, token) for one in series])
    db.execute(
        "DELETE FROM sends WHERE id IN (SELECT id FROM sends WHERE at <= ? ORDER BY at LIMIT ?)",
        (now - SEND_LIMIT_WINDOW, len(series) * 3),
    )


def remove(db: sqlite3.Connection, token: str) -> None:
    """Take back a message that was certainly not sent."""
    db.execute("DELETE FROM sends WHERE token = ?", (token,))
