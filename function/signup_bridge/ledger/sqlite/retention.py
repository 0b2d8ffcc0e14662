"""What is deleted from a SQLite ledger: what has expired, and the oldest refusals when the file is full.

It must never delete a claim, an unknown outcome, or a call that others' unknown outcomes are judged by.
"""

from __future__ import annotations

import sqlite3
from functools import partial

from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.ledger import Policy

from .database import REFUSED, VERIFIED, Database

SIZE_LIMIT = 230 * 1024 * 1024
"""Bytes of records, so that the file and its write-ahead log (`WAL_PAGES`) stay under 256 MB."""

_PAGE = 4096
_BATCH = 500
"""Records that pruning deletes in one step."""

_STEP_TIME = 0.5
"""Seconds without which pruning begins no other step."""

SWEEP_EVERY, SWEEP_ROWS = 8, 24
"""Every how many insertions it is swept, and how many rows of a table are forgotten then: faster than they come."""

SIZE_CHECK_EVERY = 64
"""Every how many insertions it is measured whether the file is full."""


class Retention:
    """``size_limit`` is in bytes of records."""

    def __init__(self, policy: Policy, clock: Clock, size_limit: int) -> None:
        self._policy = policy
        self._clock = clock
        self._pages = size_limit // _PAGE
        self._inserted = 0

    def prune(self, file: Database, deadline: Deadline) -> int:
        """Delete all that has expired, as much as can be by the deadline; how many deliveries."""
        pruned = after = 0
        while deadline.remaining() > _STEP_TIME:
            # Found first, and deleted a few at a time: nobody who has a delivery waits for long.
            found = file.read(partial(self._expired, after=after), deadline)
            pruned += file.write(partial(self._delete, found=found), deadline)
            if len(found) < _BATCH:
                break
            after = found[-1][0]
        return pruned

    def _expired(self, db: sqlite3.Connection, after: int) -> list[tuple[int]]:
        """The next deliveries that nothing is judged by any more."""
        now = self._clock.time()
        return db.execute(
            "SELECT id FROM deliveries WHERE id > ? AND until <= ? AND claimed <= ? ORDER BY id LIMIT ?",
            (after, now, now - self._policy.retention, _BATCH),
        ).fetchall()

    def _delete(self, db: sqlite3.Connection, found: list[tuple[int]]) -> int:
        """Delete them, unless one of the ids is another delivery's by now; and spent pairs whose time is over."""
        now = self._clock.time()
        deleted = 0
        for (id_,) in found:
            deleted += db.execute(
                "DELETE FROM deliveries WHERE id = ? AND until <= ? AND claimed <= ?",
                (id_, now, now - self._policy.retention),
            ).rowcount
        db.execute("DELETE FROM spent WHERE id IN (SELECT id FROM spent WHERE until <= ? LIMIT ?)", (now, _BATCH))
        return deleted

    def sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Now and then forget a few of what has expired, which is at the front; and when the file is full, the oldest
        refusals.
        """
        self._inserted += 1
        if self._inserted % SWEEP_EVERY != 1:
            return
        for table, over, given in (
            ("deliveries", "until <= ? AND claimed <= ?", (now, now - self._policy.retention)),
            ("spent", "until <= ?", (now,)),
        ):
            first = f"SELECT * FROM {table} ORDER BY id LIMIT {SWEEP_ROWS}"
            expired = db.execute(f"SELECT id FROM ({first}) WHERE {over}", given).fetchall()
            db.executemany(f"DELETE FROM {table} WHERE id = ?", expired)
        if self._inserted % SIZE_CHECK_EVERY != 1:
            return
        (pages,), (free,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count"))
        if pages - free <= self._pages:
            return
        for state in (REFUSED, VERIFIED):
            oldest = (
                "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries WHERE state = ? ORDER BY id LIMIT 256)"
            )
            if db.execute(oldest, (state,)).rowcount:
                return
