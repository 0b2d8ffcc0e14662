"""Delete expired records from a SQLite ledger, and the oldest rejections if the file is full.

Claims, unknown outcomes, and calls that are needed to reconcile other deliveries' unknown outcomes are kept.
"""

from __future__ import annotations

import sqlite3
from functools import partial

from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.ledger import Policy

from .database import REFUSED, VERIFIED, Database

SIZE_LIMIT = 230 * 1024 * 1024
"""Maximum size of the records in bytes, so that the file and its write-ahead log (`WAL_PAGES`) stay below 256 MB."""

PRUNE_BATCH = 500
"""Records that pruning deletes in one transaction."""

_STEP_TIME = 0.5
"""Seconds that must be left for pruning to start another transaction."""

SWEEP_EVERY, SWEEP_ROWS = 8, 24
"""Insertions between two sweeps, and rows of a table that a sweep reads, which must be more."""

SIZE_CHECK_EVERY = 64
"""Insertions between two checks of the file's size."""

_EXPIRED = "until <= ? AND claimed <= ?"
"""The condition of expired deliveries. Its parameters are `Retention._expiry_times`."""


class Retention:
    """Deletes the records that the policy does not keep. ``size_limit`` is the maximum size of records in bytes."""

    def __init__(self, policy: Policy, clock: Clock, size_limit: int) -> None:
        self._policy = policy
        self._clock = clock
        self._max_pages = size_limit // 4096
        self._insertions = 0

    def prune(self, database: Database, deadline: Deadline) -> int:
        """Delete all expired records, or as many as fit in the deadline; return the number of deliveries."""
        pruned = after = 0
        while deadline.remaining() > _STEP_TIME:
            # Reading first and deleting in small batches keeps the write lock short.
            ids = database.read(partial(self._expired_ids, after=after), deadline)
            pruned += database.write(partial(self._delete, ids=ids), deadline)
            if len(ids) < PRUNE_BATCH:
                break
            after = ids[-1]
        return pruned

    def _expiry_times(self, now: float) -> tuple[float, float]:
        return now, now - self._policy.retention

    def _expired_ids(self, db: sqlite3.Connection, after: int) -> list[int]:
        query = f"SELECT id FROM deliveries WHERE id > ? AND {_EXPIRED} ORDER BY id LIMIT ?"
        return [id_ for (id_,) in db.execute(query, (after, *self._expiry_times(self._clock.time()), PRUNE_BATCH))]

    def _delete(self, db: sqlite3.Connection, ids: list[int]) -> int:
        """Delete expired used codes, and these deliveries unless a new delivery has the id."""
        now = self._clock.time()
        db.execute("DELETE FROM spent WHERE id IN (SELECT id FROM spent WHERE until <= ? LIMIT ?)", (now, PRUNE_BATCH))
        parameters = [(id_, *self._expiry_times(now)) for id_ in ids]
        return db.executemany(f"DELETE FROM deliveries WHERE id = ? AND {_EXPIRED}", parameters).rowcount

    def sweep(self, db: sqlite3.Connection, now: float) -> None:
        """Count an insertion. At intervals, delete some expired records, or rejections if the file is full."""
        self._insertions += 1
        if self._insertions % SWEEP_EVERY == 1:
            self._sweep_table(db, "deliveries", _EXPIRED, self._expiry_times(now))
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
        """Delete the oldest rejections; if there are none, the oldest verified deliveries."""
        oldest = "SELECT id FROM deliveries WHERE state = ? ORDER BY id LIMIT 256"
        for state in (REFUSED, VERIFIED):
            if db.execute(f"DELETE FROM deliveries WHERE id IN ({oldest})", (state,)).rowcount:
                return
