"""The file of a SQLite ledger: its tables, connections, transactions and errors.

After an error, the next step reopens the file.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import KEY_CHANGED_WARNING, LedgerUnavailable
from signup_bridge.ledger.keys import Hasher
from signup_bridge.telemetry.logs import log

CLAIMED, UNKNOWN, VERIFIED, REFUSED = range(4)
"""The states of a delivery. From VERIFIED on, the outcome is definitive."""

_SCHEMAS = (
    f"""
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY,   -- grows with time: the oldest are the first
    delivery BLOB NOT NULL,
    content BLOB NOT NULL,
    contact BLOB NOT NULL,
    contact_type INTEGER NOT NULL,
    transient INTEGER NOT NULL,
    state INTEGER NOT NULL,
    until REAL NOT NULL,      -- when it expires as a delivery
    claimed REAL NOT NULL,
    token TEXT,
    lease REAL,               -- the contact is locked until then
    counted REAL,             -- when a code that may have been wrong was sent to the API
    sent REAL, gave_up REAL,  -- the first call, in progress while gave_up is NULL
    sent2 REAL, gave_up2 REAL,
    outcome TEXT, request_id TEXT, resolved INTEGER
);
CREATE UNIQUE INDEX by_delivery ON deliveries (delivery);
CREATE INDEX by_contact ON deliveries (contact, counted);
CREATE INDEX by_lock ON deliveries (contact) WHERE lease IS NOT NULL;
CREATE INDEX by_unknown ON deliveries (content) WHERE state <= {UNKNOWN};
CREATE INDEX by_refusal ON deliveries (state, id) WHERE state >= {VERIFIED};
CREATE TABLE paces (action TEXT PRIMARY KEY, free REAL, at REAL, factor REAL, slowed REAL) WITHOUT ROWID;
CREATE TABLE removals (exact BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE spent (id INTEGER PRIMARY KEY, content BLOB UNIQUE, until REAL);
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID""",
    """
CREATE TABLE sends (id INTEGER PRIMARY KEY, series BLOB NOT NULL, at REAL NOT NULL, token TEXT NOT NULL);
CREATE INDEX by_series ON sends (series, at);
CREATE INDEX by_token ON sends (token);
CREATE INDEX by_age ON sends (at)""",
    """
CREATE INDEX by_call ON deliveries (contact, sent) WHERE sent IS NOT NULL;
CREATE INDEX by_second_call ON deliveries (contact, sent2) WHERE sent2 IS NOT NULL""",
    """
ALTER TABLE deliveries ADD COLUMN retry_at REAL""",
)
"""The statements that turn each version of the file into the next one."""

_REMEDIES = {
    "unable to open": "cannot be opened; its folder must exist and be writable",
    "readonly": "is read-only; give the bridge's user write permission",
    "disk is full": "cannot grow because the disk is full; free some space",
    "disk I/O": "cannot be read or written; check the disk",
    "not a database": "is not a ledger; move the file, or set another path",
    "malformed": "is damaged; move the file. Its records are lost",
    "no such": "is not a ledger of the bridge; move the file, or set another path",
    "locked": "is locked by another process; check which process uses it",
}
"""The problem with the file and its remedy, by a part of SQLite's error message."""

WAL_PAGES = 3000
"""Size of the write-ahead log in pages (12 MiB) at which SQLite copies it into the file and waits for the disk. The
default, 1000 pages, is reached after 90 deliveries."""

WRITER_CACHE, READER_CACHE = 512, 64
"""Page cache of a connection in KiB. Keys are spread over the whole file, which the kernel also caches: a cache four
times as large saves no processor time. There are as many readers as threads, and each reads one row at a time."""

T = TypeVar("T")


class _Connection(sqlite3.Connection):
    file_id: tuple[int, int] | None = None
    busy_timeout: int | None = None  # in milliseconds

    def limit_busy_timeout(self, deadline: Deadline) -> None:
        """Let statements wait for another process until the deadline, or up to 0.25 s less."""
        left = int(deadline.remaining() * 1000)
        timeout = left - left % 250 if left > 1000 else left  # rounded, so that most steps need no statement
        if self.busy_timeout != timeout:
            self.execute(f"PRAGMA busy_timeout = {timeout}")
            self.busy_timeout = timeout


class Database:
    """The file at ``path``, shared by threads and processes. ``hasher`` is called when the file is opened."""

    def __init__(self, path: Path, hasher: Callable[[], Hasher]) -> None:
        self._path = path
        self._hasher = hasher
        self._readers: list[_Connection] = []  # the idle ones
        self._writer: list[_Connection] = []  # at most one, whose cache stays valid while no other process writes
        # Writers of one process wait for this lock. SQLite would make them sleep and poll.
        self._write_lock = threading.Lock()
        self._open_lock = threading.Lock()
        weakref.finalize(self, _close, self._readers, self._writer)

    def read(self, step: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        """Run a function that only reads, without a lock unless the file must be opened. Raises LedgerUnavailable."""
        with self._connection(self._readers, deadline) as db:
            return step(db)

    def write(self, step: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        """Run a function in a transaction that starts before the deadline. Raises LedgerUnavailable."""
        with self._lock(self._write_lock, deadline, "was locked for too long; reduce the load, or check the disk"):
            with self._connection(self._writer, deadline) as db:
                db.limit_busy_timeout(deadline)
                db.execute("BEGIN IMMEDIATE")
                result = step(db)
                db.execute("COMMIT")
            return result

    def close(self) -> None:
        _close(self._readers, self._writer)

    @contextmanager
    def _connection(self, idle: list[_Connection], deadline: Deadline) -> Iterator[_Connection]:
        """Yield an idle or new connection. An error closes the connection, which rolls back its transaction."""
        try:
            db = self._take(idle) or self._open(WRITER_CACHE if idle is self._writer else READER_CACHE, deadline)
            try:
                yield db
            except BaseException:
                db.close()
                raise
        except sqlite3.Error as error:
            message = str(error)
            remedy = next((text for part, text in _REMEDIES.items() if part in message), f"cannot be used: {message}")
            raise LedgerUnavailable(f"LEDGER_URL: {self._path} {remedy}") from None
        idle.append(db)

    def _take(self, idle: list[_Connection]) -> _Connection | None:
        """Return an idle connection to the file that is now at the path; an earlier file may have been moved."""
        file_id = _file_id(self._path)
        with suppress(IndexError):
            while True:
                db = idle.pop()
                if db.file_id == file_id:
                    return db
                db.close()
        return None

    def _open(self, cache_size: int, deadline: Deadline) -> _Connection:
        fingerprint = self._hasher().fingerprint
        with self._lock(self._open_lock, deadline, "could not be opened in time; reduce the load, or check the disk"):
            # SQLite copies the permissions of a new file to its additional files. An existing file must not be opened
            # here, because closing it would release this process's locks on it, as POSIX specifies.
            with suppress(OSError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            timeout = deadline.remaining()
            db = sqlite3.connect(
                self._path, timeout=timeout, isolation_level=None, check_same_thread=False, factory=_Connection
            )
            try:
                db.row_factory = sqlite3.Row
                _write_ahead(db, deadline)
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
                db.execute(f"PRAGMA cache_size = -{cache_size}")
                self._prepare(db, fingerprint)
            except BaseException:
                db.close()
                raise
            db.file_id = _file_id(self._path)
        return db

    @contextmanager
    def _lock(self, lock: threading.Lock, deadline: Deadline, failure: str) -> Iterator[None]:
        acquired = lock.acquire(timeout=deadline.remaining())
        try:
            if not (acquired and deadline.remaining()):
                raise LedgerUnavailable(f"LEDGER_URL: {self._path} {failure}")
            yield
        finally:
            if acquired:
                lock.release()

    def _prepare(self, db: sqlite3.Connection, fingerprint: bytes) -> None:
        """Create missing tables, and log a warning if the key has changed."""
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(_SCHEMAS):
            raise LedgerUnavailable(
                f"LEDGER_URL: {self._path} was written by a later version of the bridge; use that version, or move "
                "the file"
            )
        for schema in _SCHEMAS[version:]:
            for statement in schema.split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_SCHEMAS)}")
        stored = db.execute("SELECT value FROM meta WHERE name = 'key check'").fetchone()
        if stored is None or stored[0] != fingerprint:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('key check', ?)", (fingerprint,))
        db.execute("COMMIT")
        if stored is not None and stored[0] != fingerprint:
            log.warning(KEY_CHANGED_WARNING)


def _file_id(path: Path) -> tuple[int, int] | None:
    """Return the device and inode, which differ for a new file of the same name; None if there is no file."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


def _write_ahead(db: sqlite3.Connection, deadline: Deadline) -> None:
    """Enable the write-ahead log. SQLite does not wait for another process that enables it at the same time."""
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or not deadline.remaining():
                raise
            time.sleep(0.02)


def _close(*idle: list[_Connection]) -> None:
    for connections in idle:
        with suppress(IndexError):
            while True:
                connections.pop().close()
