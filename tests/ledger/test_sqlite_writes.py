"""Test the transactions of a SQLite ledger: isolation, deadlines and atomicity."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.ledger import LedgerUnavailable
from signup_bridge.ledger.keys import Hasher
from signup_bridge.ledger.sqlite.database import Database

from tests.support.ledgers import KEY, rows

Open = Callable[[], Database]


@pytest.fixture
def open_file(tmp_path: Path) -> Iterator[Open]:
    """Return a function that opens the same file again, as another process does."""
    opened: list[Database] = []

    def open_once() -> Database:
        opened.append(Database(tmp_path / "ledger.db", lambda: Hasher(KEY)))
        return opened[-1]

    yield open_once
    for one in opened:
        one.close()


def within(seconds: float) -> Deadline:
    return Deadline(SystemClock(), seconds)


def insert(db: sqlite3.Connection) -> int:
    """Insert a row; return the number of rows."""
    db.execute("INSERT INTO removals VALUES (randomblob(8))")
    return count(db)


def count(db: sqlite3.Connection) -> int:
    return int(db.execute("SELECT count(*) FROM removals").fetchone()[0])


@contextmanager
def writing(file: Database) -> Iterator[None]:
    """Keep a transaction of another thread open."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    writer = threading.Thread(target=file.write, args=(hold, within(60)))
    writer.start()
    begun.wait()
    try:
        yield
    finally:
        go_on.set()
        writer.join()


def test_write_while_a_slow_caller_writes_fails_at_its_own_deadline(open_file: Open) -> None:
    file = open_file()
    with writing(file), pytest.raises(LedgerUnavailable, match="was locked for too long"):
        file.write(insert, within(0.1))
    assert file.write(insert, within(60)) == 1


def test_write_after_its_deadline_runs_nothing(open_file: Open) -> None:
    file = open_file()
    with pytest.raises(LedgerUnavailable, match="was locked for too long"):
        file.write(insert, within(0))
    assert file.write(insert, within(60)) == 1


def test_read_while_a_slow_caller_writes_does_not_wait(open_file: Open) -> None:
    file = open_file()
    file.write(insert, within(60))
    assert file.read(count, within(60)) == 1  # opens a connection
    with writing(file):
        assert file.read(count, within(60)) == 1


def test_write_that_fails_rolls_back_its_own_step_only(open_file: Open, tmp_path: Path) -> None:
    file = open_file()
    barrier = threading.Barrier(4)

    def fail(db: sqlite3.Connection) -> int:
        insert(db)
        raise KeyError("an error in the bridge")

    def write(step: Callable[[sqlite3.Connection], int]) -> str:
        barrier.wait()
        try:
            file.write(step, within(60))
        except KeyError:
            return "failed"
        return "written"

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(write, (insert, fail, insert, fail))) == ["written", "failed", "written", "failed"]
    assert rows(tmp_path, "removals") == 2


def test_write_that_is_committed_is_seen_by_another_process(open_file: Open) -> None:
    file, other = open_file(), open_file()
    assert file.write(insert, within(60)) == 1
    assert other.read(count, within(60)) == 1


def test_write_by_many_threads_of_two_processes_loses_nothing(open_file: Open) -> None:
    """Each step sees all earlier steps and no later one."""
    files = (open_file(), open_file())

    def write(number: int) -> int:
        return files[number % 2].write(insert, within(60))

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(write, range(400))) == list(range(1, 401))


def test_write_with_little_time_leaves_others_theirs(open_file: Open, tmp_path: Path) -> None:
    """Another process locks the file for longer than one of two threads can wait."""
    file = open_file()
    file.write(insert, within(60))
    other = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(2) as pool:
        patient = pool.submit(file.write, insert, within(60))
        hurried = pool.submit(file.write, insert, within(0.3))
        assert isinstance(hurried.exception(), LedgerUnavailable)
        other.execute("ROLLBACK")
        assert patient.result() == 2
    other.close()


def test_write_waits_for_another_process_until_its_own_deadline(open_file: Open) -> None:
    """Otherwise a connection would keep the SQLite timeout of its previous user."""
    file = open_file()

    def busy_timeout(db: sqlite3.Connection) -> float:
        return float(db.execute("PRAGMA busy_timeout").fetchone()[0]) / 1000

    assert 50 < file.write(busy_timeout, within(60)) <= 60
    assert 0 < file.write(busy_timeout, within(30)) <= 30
    assert 0 < file.write(busy_timeout, within(0.9)) <= 0.9
