"""The file of a SQLite ledger: its tables, its connections, and what to do when it cannot be used.

In goes a function of a connection, which is run alone in a transaction, or only reads. A file that cannot be used is
told clearly, and looked at again at the next verb.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import KEY_CHANGED_WARNING, LedgerUnavailable
from signup_bridge.ledger.keys import Hasher
from signup_bridge.telemetry.logs import log

CLAIMED, UNKNOWN, VERIFIED, REFUSED = range(4)
"""The states of a delivery; from VERIFIED on its outcome is definitive."""

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
    until REAL NOT NULL,      -- when it is forgotten as a delivery
    claimed REAL NOT NULL,
    token TEXT,
    lease REAL,               -- the contact is locked until then
    counted REAL,             -- when it was called with what may have been a wrong code
    sent REAL, gave_up REAL,  -- the first call, open without the second time; none when it found an unknown one
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
)
"""What makes each version of the file of the one before."""

_REMEDIES = {
    "unable to open": "cannot be opened; its folder must exist and be writable",
    "readonly": "cannot be written; give the bridge's user the right to",
    "disk is full": "cannot grow; the disk is full",
    "disk I/O": "cannot be read or written; look at the disk",
    "not a database": "is no ledger; move it away",
    "malformed": "is damaged; move it away: what it remembers is lost",
    "no such": "is no ledger of the bridge; move it away",
    "locked": "was not free in time; another process holds it",
}
"""By a sign in SQLite's own words, what is wrong with the file and what to do."""

WAL_PAGES = 3000
"""Pages of the write-ahead log, 12 MiB, after which SQLite writes them into the file, which is when it waits for the
disk. Its own 1000 are full after 90 deliveries."""

WRITER_CACHE, READER_CACHE = 2000, 256
"""KiB of pages that a connection holds. There are as many readers as threads, and each asks for one row at a time."""

T = TypeVar("T")


class _Connection(sqlite3.Connection):
    """A connection that knows which file it is to, whatever that is called by now, and for how many milliseconds it
    waits for another process.
    """

    file: tuple[int, int] | None = None
    patience: int | None = None

    def wait_until(self, deadline: Deadline) -> None:
        """Wait no longer, and not much less, for another process."""
        left = int(deadline.remaining() * 1000)
        wanted = left - left % 250 if left > 1000 else left  # most claims and settlements then want the same
        if self.patience != wanted:
            self.execute(f"PRAGMA busy_timeout = {wanted}")
            self.patience = wanted


class _PendingWrite:
    """A function that waits for its transaction. When that is ``over`` there is a ``result``, or else an ``error``."""

    def __init__(self, verb: Callable[[sqlite3.Connection], Any], deadline: Deadline, error: Exception) -> None:
        self.verb = verb
        self.deadline = deadline
        self.over = threading.Event()
        self.result: Any = None
        self.error: Exception | None = error


class Database:
    """The file at ``path``, shared by threads and processes. ``hasher`` is asked for when it is opened."""

    def __init__(self, path: Path, hasher: Callable[[], Hasher]) -> None:
        self._path = path
        self._hasher = hasher
        # Those of readers; and the writers' one, whose cache stays good, since nobody else of this process writes.
        self._idle: list[_Connection] = []
        self._writer: list[_Connection] = []
        # Writers of one process stand in line here; SQLite would let them sleep and try again.
        self._line = threading.Lock()
        self._waiting: deque[_PendingWrite] = deque()
        self._opening = threading.Lock()
        weakref.finalize(self, _close, self._idle, self._writer)

    def read(self, verb: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        """Run a function that only reads, which waits for nobody once the file is open. Raises LedgerUnavailable."""
        with self._connection(self._idle, deadline) as db:
            return verb(db)

    def write(self, verb: Callable[[sqlite3.Connection], T], deadline: Deadline) -> T:
        """Run a function in a transaction, alone, begun before the deadline. Raises LedgerUnavailable.

        Who is first in line does so for all who wait, one after the other, and commits once: that costs more than most
        of what they do. Nobody goes on before it is committed.
        """
        work = _PendingWrite(verb, deadline, LedgerUnavailable(f"LEDGER_URL: {self._path} was not free in time"))
        self._waiting.append(work)
        if self._line.acquire(timeout=deadline.remaining()):
            try:
                if not work.over.is_set():
                    self._do_all()
            finally:
                self._line.release()
        else:
            try:
                self._waiting.remove(work)
            except ValueError:  # it is being done
                work.over.wait()
        if work.error is not None:
            raise work.error
        return cast(T, work.result)

    def _do_all(self) -> None:
        """Do the work of all who wait, less those who have waited for too long.

        If that fails each is done alone: one had less time than the others, say, or is the cause.
        """
        works: list[_PendingWrite] = []
        try:
            with suppress(IndexError):
                while True:
                    works.append(self._waiting.popleft())
            works.sort(key=lambda work: work.deadline.remaining())
            in_time = [work for work in works if work.deadline.remaining()]
            if len(in_time) < 2 or not self._do(in_time):
                for work in works:
                    self._do([work])
                    work.over.set()
        finally:
            for work in works:
                work.over.set()

    def _do(self, works: list[_PendingWrite]) -> bool:
        """Do these in one transaction, begun before the first one's deadline; whether it went well."""
        first = works[0].deadline
        if not first.remaining():
            return False
        try:
            with self._connection(self._writer, first) as db:
                db.wait_until(first)
                db.execute("BEGIN IMMEDIATE")
                for work in works:
                    work.result = work.verb(db)
                db.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  raised where its work waits
            if len(works) == 1:  # else it may be another one's
                works[0].error = error
            return False
        for work in works:
            work.error = None
        return True

    def close(self) -> None:
        _close(self._idle, self._writer)

    @contextmanager
    def _connection(self, idle: list[_Connection], deadline: Deadline) -> Iterator[_Connection]:
        """A connection of the caller's own for a while. One that failed is closed, and its transaction with it."""
        db = None
        try:
            db = self._take(idle)
            if db is None:
                db = self._open(deadline)
                db.execute(f"PRAGMA cache_size = -{WRITER_CACHE if idle is self._writer else READER_CACHE}")
            yield db
        except BaseException as error:
            if db is not None:
                db.close()
            if isinstance(error, sqlite3.Error):
                raise LedgerUnavailable(self._reason(error)) from None
            raise
        else:
            idle.append(db)

    def _take(self, idle: list[_Connection]) -> _Connection | None:
        """An idle connection to the file that is there now: it may have been moved away, and made anew."""
        file = _identity(self._path)
        with suppress(IndexError):
            while True:
                db = idle.pop()
                if db.file == file:
                    return db
                db.close()
        return None

    def _open(self, deadline: Deadline) -> _Connection:
        check = self._hasher().fingerprint
        with self._one_at_a_time(deadline):
            # Made here, with these rights, which SQLite gives the files beside it, too. One that is there must not be
            # opened: to close it again would drop this process's locks, and with them its share in the log (POSIX).
            with suppress(OSError):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            patience = deadline.remaining()
            db = sqlite3.connect(
                self._path, timeout=patience, isolation_level=None, check_same_thread=False, factory=_Connection
            )
            try:
                db.row_factory = sqlite3.Row
                _write_ahead(db, deadline)
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
                self._prepare(db, check)
            except BaseException:
                db.close()
                raise
            db.file = _identity(self._path)
        return db

    @contextmanager
    def _one_at_a_time(self, deadline: Deadline) -> Iterator[None]:
        if not self._opening.acquire(timeout=deadline.remaining()):
            raise LedgerUnavailable(f"LEDGER_URL: {self._path} could not be opened in time")
        try:
            yield
        finally:
            self._opening.release()

    def _prepare(self, db: sqlite3.Connection, check: bytes) -> None:
        """Make the tables that are not there; tell when the key is another one than last time."""
        db.execute("BEGIN IMMEDIATE")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > len(_SCHEMAS):
            raise LedgerUnavailable(f"LEDGER_URL: {self._path} is of another version of the bridge; move it away")
        for schema in _SCHEMAS[version:]:
            for statement in schema.split(";\n"):
                db.execute(statement)
        db.execute(f"PRAGMA user_version = {len(_SCHEMAS)}")
        known = db.execute("SELECT value FROM meta WHERE name = 'key check'").fetchone()
        if known is None or known[0] != check:
            db.execute("INSERT OR REPLACE INTO meta VALUES ('key check', ?)", (check,))
        db.execute("COMMIT")
        if known is not None and known[0] != check:
            log.warning(KEY_CHANGED_WARNING)

    def _reason(self, error: sqlite3.Error) -> str:
        """What is wrong and what to do, in words."""
        text = str(error)
        what = next((remedy for sign, remedy in _REMEDIES.items() if sign in text), f"cannot be used: {text}")
        return f"LEDGER_URL: {self._path} {what}"


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file it is, whatever it is called."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _write_ahead(db: sqlite3.Connection, deadline: Deadline) -> None:
    """Use the write-ahead log. SQLite does not wait for another process that is about to do the same."""
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
