"""The line before a SQLite ledger's file: who is first writes for all who wait, and nobody pays for another."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import LedgerUnavailable
from signup_bridge.ledger.sqlite.database import Database

from tests.support.builders import SetClock
from tests.support.ledgers import VERIFIED, Engine, rows, sqlite_engine


@contextmanager
def holding(engine: Engine) -> Iterator[None]:
    """Another thread writes for as long."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(_db: sqlite3.Connection) -> None:
        begun.set()
        go_on.wait()

    file = engine.ledger._file  # type: ignore[attr-defined]
    holder = threading.Thread(target=file.write, args=(hold, engine.deadline))
    holder.start()
    begun.wait()
    try:
        yield
    finally:
        go_on.set()
        holder.join()


def test_a_line_that_is_too_long(tmp_path: Path) -> None:
    """A thread of the same process holds the file."""
    engine = sqlite_engine(tmp_path)
    with holding(engine), pytest.raises(LedgerUnavailable, match="was not free in time"):
        engine.ledger.throttle("x", deadline=Deadline(SetClock(), 0.1))
    engine.ledger.close()


def test_all_who_wait_are_done_in_one_transaction(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    file = engine.ledger._file  # type: ignore[attr-defined]
    counts: list[int] = []
    committed: list[int] = []
    other = sqlite3.connect(tmp_path / "ledger.db", check_same_thread=False)
    question = "SELECT count(*) FROM removals"

    def count(db: sqlite3.Connection) -> int:
        db.execute("INSERT INTO removals VALUES (randomblob(8))")
        committed.extend(other.execute(question).fetchone())
        return int(db.execute(question).fetchone()[0])

    threads = [threading.Thread(target=lambda: counts.append(file.write(count, engine.deadline))) for _ in range(5)]
    with holding(engine):
        for thread in threads:
            thread.start()
        with pytest.raises(LedgerUnavailable):
            file.write(count, Deadline(SetClock(), 0.05))
        while len(file._waiting) < 5:
            time.sleep(0.005)
    for thread in threads:
        thread.join()
    assert sorted(counts) == [1, 2, 3, 4, 5]
    assert (committed, other.execute(question).fetchone()) == ([0] * 5, (5,))
    other.close()
    engine.ledger.close()


def test_who_is_done_when_the_time_is_over_hears_it(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    file = engine.ledger._file  # type: ignore[attr-defined]
    file.write(lambda _: None, engine.deadline)
    hurried = Deadline(SetClock(), 0.3)
    heard: list[str] = []

    def wait_for_the_end(_db: sqlite3.Connection) -> str:
        while hurried.remaining():
            time.sleep(0.005)
        time.sleep(0.05)
        return "done"

    threads = [threading.Thread(target=file.write, args=(lambda _: None, engine.deadline))]
    threads.append(threading.Thread(target=lambda: heard.append(file.write(wait_for_the_end, hurried))))
    with holding(engine):
        for number, thread in enumerate(threads, start=1):
            thread.start()
            while len(file._waiting) < number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert heard == ["done"]
    engine.ledger.close()


def together(file: Database, works: list[tuple[Callable[[sqlite3.Connection], str], Deadline]]) -> list[str]:
    """What each of these hears, when they come while others write: the class of what is raised, or what is returned."""
    heard = [""] * len(works)

    def write(number: int) -> None:
        try:
            heard[number] = file.write(*works[number])
        except (KeyError, LedgerUnavailable) as error:
            heard[number] = type(error).__name__

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(works))]
    with file._line:
        for thread in threads:
            thread.start()
        while len(file._waiting) < sum(thread.is_alive() for thread in threads):
            time.sleep(0.005)
    for thread in threads:
        thread.join()
    return heard


def test_a_fault_of_one_is_not_that_of_those_beside_it(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    file = engine.ledger._file  # type: ignore[attr-defined]

    def fail(db: sqlite3.Connection) -> str:
        work(db)
        raise KeyError("a fault of the bridge")

    def work(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO removals VALUES (randomblob(8))")
        return "done"

    heard = together(file, [(one, engine.deadline) for one in (work, fail, work, fail)])
    assert heard == ["done", "KeyError", "done", "KeyError"]
    assert rows(tmp_path, "removals") == 2
    engine.ledger.close()


def test_who_has_little_time_takes_none_from_those_beside_it(tmp_path: Path) -> None:
    """Another process holds the file for longer than one of them can wait."""
    engine = sqlite_engine(tmp_path)
    file = engine.ledger._file  # type: ignore[attr-defined]
    engine.end(VERIFIED)
    hurried = Deadline(SetClock(), 0.5)
    given_up = threading.Event()

    class Patient(Deadline):
        """It is asked for when the hurried one's turn is over."""

        def remaining(self) -> float:
            if not hurried.remaining():
                given_up.set()
            return super().remaining()

    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None, check_same_thread=False) as other:
        other.execute("BEGIN IMMEDIATE")

        def close_connections() -> None:
            given_up.wait()
            other.execute("ROLLBACK")

        thread = threading.Thread(target=close_connections)
        thread.start()
        works = [(lambda _: "done", deadline) for deadline in (Patient(SetClock(), 60), hurried)]
        assert together(file, works) == ["done", "LedgerUnavailable"]
        thread.join()
    other.close()
    engine.ledger.close()


def test_a_connection_waits_for_no_longer_than_its_last_caller(tmp_path: Path) -> None:
    """Also when it has just been opened for one who had more time."""
    engine = sqlite_engine(tmp_path)
    file = engine.ledger._file  # type: ignore[attr-defined]
    with file._connection([], engine.deadline) as db:
        db.wait_until(Deadline(SetClock(), 0))
        assert db.execute("PRAGMA busy_timeout").fetchone()[0] == 0
    db.close()
    engine.ledger.close()
