"""Test which records a SQLite ledger deletes, and which it keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import Acquired, Replay
from signup_bridge.ledger.sqlite import retention
from signup_bridge.ledger.sqlite.ledger import SqliteLedger

from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.ledgers import FAST, KEY, POLICY, VERIFIED, WRONG, Engine, database, keys, rows, sqlite_engine


def swept(engine: Engine, name: str) -> None:
    """Claim eight new deliveries, one of which sweeps the ledger."""
    for number in range(8):
        engine.end(WRONG, keys(f"{name}{number}", contact=f"1{name}{number:09}"))


def test_expired_records_are_deleted_in_small_steps(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    for number in range(40):
        engine.end(WRONG, keys(f"m{number}", contact=f"{number:09}"))
    engine.pass_by(345_601)
    swept(engine, "a")
    assert rows(tmp_path) == 40 - 24 + 8
    swept(engine, "b")
    assert rows(tmp_path) == 16
    engine.ledger.close()


def test_records_for_counts_and_history_are_kept_longer(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    for number in range(3):
        engine.end(WRONG, keys(None, contact=f"{number:09}"))
    engine.pass_by(3000)
    swept(engine, "a")
    assert rows(tmp_path) == 3 + 8
    engine.pass_by(1001)
    swept(engine, "b")
    assert rows(tmp_path) == 16
    engine.ledger.close()


def test_expired_spent_pairs_are_deleted(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path)
    for number in range(2):
        engine.end(VERIFIED, keys(f"m{number}", contact=f"{number:09}"), release_lock=1.0)
    engine.pass_by(345_601)
    swept(engine, "a")
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert db.execute("SELECT count(*) FROM spent").fetchone() == (0,)
        assert db.execute("SELECT count(*) FROM removals").fetchone() == (2,)
    db.close()
    engine.ledger.close()


def test_full_file_deletes_oldest_rejections_first(tmp_path: Path) -> None:
    clock = SetClock()
    limit = 40 * 4096
    ledger = SqliteLedger(tmp_path / "ledger.db", FAST, clock, key=KEY, size_limit=limit)
    engine = Engine(ledger, clock, lambda _: None, lambda: ledger)
    kept = {"verified": VERIFIED, "unknown": None}
    for name, record in kept.items():
        engine.end(record, keys(name, contact=f"{name!s:>9}"))
    for number in range(900):
        engine.end(WRONG, keys(f"m{number}", contact=f"{number:09}"))
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        (pages,), (free,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "freelist_count"))
    db.close()
    assert (pages - free) * 4096 < limit * 1.5
    assert isinstance(engine.claim(keys("m0", contact="000000000")), Acquired)
    assert isinstance(engine.claim(keys("m899", contact="000000899")), Replay)
    assert isinstance(engine.claim(keys("verified", contact=f"{'verified':>9}")), Replay)
    assert engine.acquire(keys("unknown", contact=f"{'unknown':>9}")).unknown_outcome
    ledger.close()


def test_full_file_without_rejections_deletes_oldest_verifications(tmp_path: Path) -> None:
    clock = SetClock()
    ledger = SqliteLedger(tmp_path / "ledger.db", FAST, clock, key=KEY, size_limit=30 * 4096)
    engine = Engine(ledger, clock, lambda _: None, lambda: ledger)
    engine.end(None, keys("unknown", contact="10086"))
    for number in range(700):
        engine.end(VERIFIED, keys(f"m{number}", contact=f"{number:09}"))
    assert isinstance(engine.claim(keys("m0", contact="000000000")), Acquired)
    assert isinstance(engine.claim(keys("m699", contact="000000699")), Replay)
    assert engine.acquire(keys("unknown", contact="10086")).unknown_outcome
    ledger.close()


def test_full_file_of_unknown_outcomes_deletes_nothing(tmp_path: Path) -> None:
    clock = SetClock()
    ledger = SqliteLedger(tmp_path / "ledger.db", FAST, clock, key=KEY, size_limit=4096)
    engine = Engine(ledger, clock, lambda _: None, lambda: ledger)
    for number in range(65):
        engine.end(None, keys(f"m{number}", contact=f"{number:09}"))
    assert rows(tmp_path) == 65
    ledger.close()


def test_prune_deletes_in_steps_until_deadline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "PRUNE_BATCH", 4)
    engine = sqlite_engine(tmp_path, FAST)
    for number in range(10):
        engine.end(VERIFIED, keys(f"m{number}", contact=f"1000{number}"), release_lock=0.001 if number < 3 else 0.0)
    engine.pass_by(POLICY.ttl + 1)
    assert engine.ledger.prune(deadline=Deadline(StillClock(), 0.4)) == 0
    assert rows(tmp_path) == 10
    assert engine.ledger.prune(deadline=engine.deadline) == 10
    assert rows(tmp_path) == 0
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert db.execute("SELECT count(*) FROM spent").fetchone() == (0,)
    engine.ledger.close()


def test_prune_keeps_new_delivery_that_reuses_expired_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process pruned in the meantime, and a new delivery has the id of the expired one."""
    engine = sqlite_engine(tmp_path, FAST)
    engine.end(VERIFIED)
    engine.pass_by(POLICY.ttl + 1)
    file = database(engine)
    write = file.write

    def after_another(work: Callable[[sqlite3.Connection], object], deadline: Deadline) -> object:
        monkeypatch.setattr(file, "write", write)
        assert engine.ledger.prune(deadline=deadline) == 1
        engine.end(VERIFIED, keys("new"))
        return write(work, deadline)

    monkeypatch.setattr(file, "write", after_another)
    engine.ledger.prune(deadline=engine.deadline)
    assert isinstance(engine.claim(keys("new")), Replay)
    engine.ledger.close()


def test_prune_keeps_records_that_others_need(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path, FAST._replace(ttl=10))
    engine.end(VERIFIED)
    engine.pass_by(11)
    assert engine.ledger.prune(deadline=engine.deadline) == 0
    engine.pass_by(4000)
    assert engine.ledger.prune(deadline=engine.deadline) == 1
    engine.ledger.close()
