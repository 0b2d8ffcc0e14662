"""Test the SQLite ledger: its file, errors of the file, and the key file."""

from __future__ import annotations

import errno
import os
import secrets
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import Acquired, Claim, InFlight, Ledger, LedgerUnavailable, Replay
from signup_bridge.ledger.keys import Hasher, load_or_create_key

from tests.support import ROOT
from tests.support.bridge.clocks import SetClock
from tests.support.ledgers import FAST, KEY, POLICY, VERIFIED, WRONG, Engine, database, keys, rows, sqlite_engine

COUNT = "SELECT count(*) FROM deliveries"

# -- errors --


def trouble(engine: Engine) -> str:
    with pytest.raises(LedgerUnavailable) as raised:
        engine.claim(keys(secrets.token_hex(4), contact="10010"))
    return str(raised.value)


def test_full_disk_raises_ledger_unavailable_and_keeps_replays(tmp_path: Path) -> None:
    """SQLite reports a page limit like a full disk. Existing records can still be read."""
    engine = sqlite_engine(tmp_path)
    engine.end(VERIFIED)
    # SQLite uses the present size instead, which is larger.
    database(engine).write(lambda db: db.execute("PRAGMA max_page_count = 1"), engine.deadline)

    def fill() -> None:
        for number in range(1000):
            engine.claim(keys(f"m{number}", contact=f"{number:09}"))

    with pytest.raises(LedgerUnavailable, match="the disk is full"):
        fill()
    assert isinstance(engine.claim(), Replay)
    engine.ledger.close()


def test_read_only_file_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = sqlite_engine(tmp_path)
    engine.end(VERIFIED)
    engine.ledger.close()
    connect = sqlite3.connect

    def read_only(path: Path, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(f"file:{path}?mode=ro", uri=True, **options)
        return db

    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert "is read-only; give the bridge's user write permission" in trouble(engine)


def test_damaged_file_is_explained(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path, FAST)
    for number in range(200):
        engine.end(VERIFIED, keys(f"m{number}", contact=f"{number:09}"))
    engine.ledger.close()
    data = bytearray((tmp_path / "ledger.db").read_bytes())
    data[4096:] = os.urandom(len(data) - 4096)
    (tmp_path / "ledger.db").write_bytes(data)
    assert "is damaged; move the file" in trouble(engine)


def test_file_with_foreign_tables_is_explained(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.execute("CREATE TABLE deliveries (x)")
    db.close()
    assert "cannot be used: table deliveries already exists" in trouble(engine)


def test_file_locked_by_another_process_is_waited_for_until_deadline(tmp_path: Path) -> None:
    """The wait ends with the deadline."""
    engine = sqlite_engine(tmp_path)
    engine.end(VERIFIED)
    blocker = sqlite3.connect(tmp_path / "ledger.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerUnavailable, match="is locked by another process"):
        engine.ledger.throttle("x", deadline=Deadline(SetClock(), 0.3))
    blocker.execute("ROLLBACK")
    blocker.close()
    engine.ledger.throttle("x", deadline=engine.deadline)
    engine.ledger.close()


def test_file_being_opened_by_another_thread_is_waited_for_until_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = sqlite_engine(tmp_path)
    opening, go_on = threading.Event(), threading.Event()
    connect = sqlite3.connect

    def slow_connect(*of: Any, **named: Any) -> sqlite3.Connection:
        opening.set()
        go_on.wait()
        db: sqlite3.Connection = connect(*of, **named)
        return db

    monkeypatch.setattr(sqlite3, "connect", slow_connect)
    opener = threading.Thread(target=engine.look)
    opener.start()
    opening.wait()
    with pytest.raises(LedgerUnavailable, match="could not be opened in time"):
        engine.ledger.get(keys().delivery, deadline=Deadline(SetClock(), 0.1))
    go_on.set()
    opener.join()
    engine.end(VERIFIED)
    engine.ledger.close()


def test_exception_in_transaction_rolls_back(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)

    def fail(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO removals VALUES (x'00')")
        raise KeyError("an error in the bridge")

    with pytest.raises(KeyError):
        database(engine).write(fail, engine.deadline)
    engine.end(VERIFIED)
    assert rows(tmp_path, "removals") == 0
    engine.ledger.close()


def test_moved_file_is_created_again_for_all_threads(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    engine.end(VERIFIED)
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
        (tmp_path / name).rename(tmp_path / f"old-{name}")
    assert engine.look() is None
    engine.end(WRONG)
    assert rows(tmp_path) == 1
    engine.ledger.close()


@pytest.mark.parametrize("verb", ["claim", "claim_send"])
def test_claim_by_another_process_between_read_and_write_is_respected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    engine = sqlite_engine(tmp_path)
    other = engine.again()
    file = database(engine)
    write = file.write
    options: dict[str, Any] = {"limits": ()} if verb == "claim_send" else {}

    def claim(ledger: Ledger, token: str) -> Claim:
        acquire: Callable[..., Claim] = getattr(ledger, verb)
        return acquire(keys(), token, lease=10, max_wait=1, deadline=engine.deadline, **options)

    def after_another(work: Callable[[sqlite3.Connection], object], deadline: Deadline) -> object:
        assert claim(other, "theirs") == Acquired()
        return write(work, deadline)

    monkeypatch.setattr(file, "write", after_another)
    assert claim(engine.ledger, "mine") == InFlight()
    other.close()
    engine.ledger.close()


def test_connection_to_moved_file_is_not_reused(tmp_path: Path) -> None:
    """The file was moved during the step, and another thread has opened the new file."""
    engine = sqlite_engine(tmp_path)
    engine.end(VERIFIED)

    def moved(_: sqlite3.Connection) -> None:
        for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm"):
            (tmp_path / name).rename(tmp_path / f"old-{name}")
        assert engine.look() is None

    database(engine).read(moved, engine.deadline)
    assert engine.look() is None
    engine.end(WRONG)
    assert rows(tmp_path) == 1
    engine.ledger.close()


def test_other_process_closing_file_keeps_write_ahead_log(tmp_path: Path) -> None:
    """The last process that closes the file removes its log. As long as this one has it open, no other must be last."""
    engine = sqlite_engine(tmp_path)

    def hold_readers(number: int) -> None:
        if number:
            database(engine).read(lambda _: hold_readers(number - 1), engine.deadline)

    hold_readers(3)
    look = f"import sqlite3; print(sqlite3.connect({str(tmp_path / 'ledger.db')!r}).execute({COUNT!r}).fetchone()[0])"
    for number in range(1, 4):
        engine.end(WRONG, keys(f"m{number}", contact=f"{number:09}"))
        seen = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, timeout=150, check=True)
        assert seen.stdout.strip() == str(number)
    engine.ledger.close()


def test_locked_write_ahead_log_raises_ledger_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signup_bridge.ledger.sqlite.database.time.sleep", lambda _: None)
    with sqlite3.connect(tmp_path / "ledger.db", isolation_level=None) as db:
        db.execute("CREATE TABLE held (x)")
        db.execute("BEGIN EXCLUSIVE")
        connect = sqlite3.connect
        monkeypatch.setattr(sqlite3, "connect", lambda *of, **named: connect(*of, **named | {"timeout": 0}))
        ledger = sqlite_engine(tmp_path).ledger
        with pytest.raises(LedgerUnavailable, match="is locked by another process"):
            ledger.claim(keys(), "token", lease=10, max_wait=6, deadline=Deadline(SetClock(), 0.3))
    db.close()


def test_concurrent_processes_create_one_file_and_key(tmp_path: Path) -> None:
    """One process creates the key and the tables. None fails, and all have the same key."""
    program = f"""
import sys
sys.path[:0] = [{str(ROOT / "function")!r}]
from pathlib import Path
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.ledger import Policy
from signup_bridge.ledger.sqlite.ledger import SqliteLedger
policy = Policy(**{POLICY._asdict()!r})
ledger = SqliteLedger(Path({str(tmp_path)!r}) / "ledger.db", policy, SystemClock())
sys.stdin.read(1)
ledger.ping(deadline=Deadline(SystemClock(), 60))
print(ledger.hasher().fingerprint.hex())
"""
    started = [
        subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(6)
    ]
    for process in started:
        assert process.stdin
        process.stdin.write("x")
        process.stdin.flush()
    outputs = [process.communicate(timeout=150)[0] for process in started]
    assert [process.returncode for process in started] == [0] * 6
    assert len(set(outputs)) == 1


# -- the key file --


def test_load_or_create_key_returns_random_stable_key(tmp_path: Path) -> None:
    one = load_or_create_key(tmp_path / "ledger.db")
    assert load_or_create_key(tmp_path / "ledger.db") == one
    assert len(one) == 64
    assert load_or_create_key(tmp_path / "other.db") != one
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger.db.key", "other.db.key"]


def test_load_or_create_key_race_keeps_first_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(source: Path, target: Path) -> None:
        target.write_bytes(b"k" * 32)
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    assert load_or_create_key(tmp_path / "ledger.db") == b"k" * 32
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db.key"]


def test_load_or_create_key_without_space_raises_ledger_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(LedgerUnavailable, match="No space left on device"):
        load_or_create_key(tmp_path / "ledger.db")
    assert list(tmp_path.iterdir()) == []


def test_hasher_depends_on_key_and_separates_parts() -> None:
    one, other = Hasher(KEY), Hasher(KEY + b"x")
    assert one.fingerprint == Hasher(KEY).fingerprint != other.fingerprint
    assert keys() == keys()
    assert len({keys().delivery, keys().content, keys().contact, keys().contact_exact}) == 4
    assert one.counter_key("a", "bc") != one.counter_key("ab", "c") != one.counter_key("abc")
    assert {len(name) for name in (keys().delivery, keys().content, keys().contact, keys().contact_exact)} == {16}
