"""What a SQLite ledger deletes: expired records, and the oldest refusals when the file is full.

It keeps claims, unknown outcomes, and the calls that other deliveries' unknown outcomes are reconciled by.
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
PRUNE_BATCH = 500
"""Records that pruning deletes in one transaction."""

_STEP_TIME = 0.5
"""Seconds that must be left for pruning to start another transaction."""

SWEEP_EVERY, SWEEP_ROWS = 8, 24
"""Insertions between two sweeps, and rows of a table that a sweep reads: more than were inserted."""

SIZE_CHECK_EVERY = 64
"""Insertions between two checks of the file's size."""


class Retention:
    """Deletes what the policy no longer keeps. ``size_limit`` is in bytes of records."""

    def __init__(self, policy: Policy, clock: Clock, size_limit: int) -> None:
        self._policy = policy
        self._clock = clock
        self._max_pages = size_limit // _PAGE
        self._insertions = 0

    def prune(self, database: Database, deadline: Deadline) -> int:
        """Delete all expired records, or as many as fit in the deadline; return the number of deliveries."""
        pruned = after = 0
        while deadline.remaining() > _STEP_TIME:
            # Found by a reader and deleted in small batches, so that deliveries do not wait long.
            expired = database.read(partial(self._expired, after=after), deadline)
            pruned += database.write(partial(self._delete, ids=expired), deadline)
            if len(expired) < PRUNE_BATCH:
                break
            after = expired[-1]
        return pruned

    def _expired(self, db: sqlite3.Connection, after: int) -> list[int]:
        """Return the ids of the next deliveries that nothing needs any more."""
        now = self._clock.time()
        query = "SELECT id FROM deliveries WHERE id > ? AND until <= ? AND claimed <= ? ORDER BY id LIMIT ?"
        return [id_ for (id_,) in db.execute(query, (after, now, now - self._policy.retention, PRUNE_BATCH))]

    def _delete(self, db: sqlite3.Connection, ids: list[int]) -> int:
        """Delete these unless the id is another delivery's by now; and used codes that have expired."""
        now = self._clock.time()
        deleted = 0
        for id_ in ids:
            deleted += db.execute(
                "DELETE FROM deliveries WHERE id = ? AND until <= ? AND claimed <= ?",
                (id_, now, now - self._policy.retention),
            ).rowcount
        db.execute("DELETE FROM spent WHERE id IN (SELECT id FROM spent WHERE until <= ? LIMIT ?)", (now, PRUNE_BATCH))
        return deleted

    def sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Count an insertion; now and then delete some old expired records, or refusals if the file is full."""
        self._insertions += 1
        if self._insertions % SWEEP_EVERY == 1:
            self._sweep_table(db, "deliveries", "until <= ? AND claimed <= ?", (now, now - self._policy.retention))
            self._sweep_table(db, "spent", "until <= ?", (now,))
        if self._insertions % SIZE_CHECK_EVERY == 1 and self._is_full(db):
            self._delete_oldest(db)

    def _sweep_table(self, db: sqlite3.Connection, table: str, expired: str, parameters: tuple[float, ...]) -> None:
        oldest = f"SELECT * FROM {table} ORDER BY id LIMIT {SWEEP_ROWS}"
        ids = db.execute(f"SELECT id FROM ({oldest}) WHERE {expired}", parameters).fetchall()
        db.executemany(f"DELETE FROM {table} WHERE id = ?", ids)

    def _is_full(self, db: sqlite3.Connection) -> bool:
        (pages,), (free,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count"))
        return bool(pages - free > self._max_pages)

    def _delete_oldest(self, db: sqlite3.Connection) -> None:
        """Delete the oldest refusals; if there are none, the oldest verified deliveries."""
        oldest = "SELECT id FROM deliveries WHERE state = ? ORDER BY id LIMIT 256"
        for state in (REFUSED, VERIFIED):
            if db.execute(f"DELETE FROM deliveries WHERE id IN ({oldest})", (state,)).rowcount:
                return
