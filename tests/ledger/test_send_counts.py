"""Test send counts in the ledger: clock changes, concurrent requests, migration and deletion."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest
from signup_bridge.core.delivery import CodeRequest, IdempotencyKey
from signup_bridge.ledger import (
    Acquired,
    Claim,
    KeyMismatch,
    RateLimited,
    Record,
    Replay,
    SendLimit,
    SendLimited,
)
from signup_bridge.ledger.keys import Hasher

from tests.support.ledgers import FAST, KEY, Make, keys, sqlite_engine
from tests.support.send_limits import LIMITS, SENT, claim, contact, limits_for, refusal, send


def test_messages_have_their_own_rate(make: Make) -> None:
    engine = make(interval=4.0)
    engine.own(keys("v"))
    first, second = claim(engine, "a", "10086"), claim(engine, "b", "10010")
    assert first == Acquired()
    assert isinstance(second, Acquired)
    assert second.wait == pytest.approx(4, abs=1)
    late = claim(engine, "c", "10000")
    assert isinstance(late, RateLimited)
    assert late.wait == pytest.approx(8, abs=1)
    assert isinstance(claim(engine, "d", "10000", wait=9), Acquired), "a message without a slot must not count"


def test_released_message_does_not_count_whatever_its_counter(make: Make) -> None:
    """The Base64 form of this counter's key begins with a plus sign."""
    engine, of, limits = make(), keys("a"), [SendLimit("interval", b"\xf8" + bytes(15), 1, 60.0)]
    for token in ("s", "t"):
        claimed = engine.ledger.claim_send(of, token, limits=limits, lease=10, max_wait=6, deadline=engine.deadline)
        assert isinstance(claimed, Acquired)
        engine.release(token, of)


def test_message_and_verification_with_same_id_do_not_match(make: Make) -> None:
    """An id belongs to one content. A message and a verification of the same contact have different contents."""
    engine = make(interval=FAST.interval)
    send(engine, "a")
    assert engine.claim(keys("a")) == KeyMismatch()
    engine.end(Record("code-incorrect", "r", contact_type=1), keys("b"))
    assert claim(engine, "b") == KeyMismatch()
    own = engine.own(keys("c"))
    engine.pass_by(60.1)
    send(engine, "d")
    assert engine.settle(own, None, keys("c"))
    unknown = engine.acquire_unknown(keys("e"))
    assert (len(unknown.calls), unknown.competing_calls) == (1, ())


@pytest.mark.parametrize("back", [-30.0, -86_400.0])
def test_clock_set_back_does_not_extend_interval(make: Make, back: float) -> None:
    engine = make(interval=FAST.interval)
    send(engine, "a")
    engine.pass_by(back)
    assert refusal(engine, "b") == ("interval", 60)
    engine.pass_by(60.1)
    send(engine, "b")


def test_clock_set_back_does_not_extend_replay_of_content_key(make: Make) -> None:
    engine = make(interval=FAST.interval)
    known_by_body = Hasher(KEY).keys(CodeRequest(contact(), IdempotencyKey("content", b"body")))

    def ask(token: str) -> Claim:
        return engine.ledger.claim_send(
            known_by_body, token, limits=limits_for(), lease=10, max_wait=6, deadline=engine.deadline
        )

    assert isinstance(ask("one"), Acquired)
    assert engine.settle("one", SENT, known_by_body, content_replay=60.0)
    assert isinstance(ask("two"), Replay)
    engine.pass_by(-86_400)
    limited = ask("two")
    assert isinstance(limited, SendLimited)
    assert (limited.limit, round(limited.wait, -1)) == ("interval", 60)
    engine.pass_by(60.1)
    assert isinstance(ask("two"), Acquired)
    assert engine.settle("two", SENT, known_by_body, content_replay=60.0)
    assert isinstance(ask("three"), Replay)


def test_clock_jump_ahead_opens_each_limit_once(make: Make) -> None:
    engine, limits = make(interval=FAST.interval), LIMITS._replace(interval=0, per_contact=2)
    for name in "ab":
        send(engine, name, limits=limits)
    engine.pass_by(7200)
    for name in "cd":
        send(engine, name, limits=limits)
    engine.pass_by(-7200)
    assert refusal(engine, "e", limits=limits) == ("per-contact", 3600)


def test_concurrent_requests_send_one_message(make: Make) -> None:
    engine = make(interval=FAST.interval)
    claims: list[Claim] = []
    threads = [
        threading.Thread(target=lambda name: claims.append(claim(engine, name)), args=(str(number),))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in claims) == ["Acquired"] + ["SendLimited"] * 19


def test_file_of_earlier_version_is_migrated(tmp_path: Path) -> None:
    """The earlier version did not count messages. Its records are kept."""
    before = sqlite_engine(tmp_path, FAST)
    before.end(Record("verified", "r", contact_type=1), keys("v"))
    before.ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.executescript("DROP TABLE sends; DROP INDEX by_call; DROP INDEX by_second_call; PRAGMA user_version = 1")
        db.execute("ALTER TABLE deliveries DROP COLUMN retry_at")
    db.close()
    engine = sqlite_engine(tmp_path, FAST)
    assert isinstance(engine.claim(keys("v")), Replay)
    send(engine, "a")
    engine.ledger.close()


@pytest.mark.parametrize("ahead", [0.0, 31_536_000.0])
def test_send_counts_are_deleted_after_an_hour(tmp_path: Path, ahead: float) -> None:
    """This includes counts that follow those from a time when the clock was ahead."""
    engine = sqlite_engine(tmp_path, FAST)
    engine.pass_by(ahead)
    for number in range(8):
        send(engine, f"a{number}", f"jo{number}@example.com")
    engine.pass_by(-ahead)
    for number in range(30):
        send(engine, str(number), f"+1 202 555 01{number:02}")
        engine.pass_by(400)
    engine.ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        (count,) = db.execute("SELECT count(*) FROM sends").fetchone()
    db.close()
    assert count <= 8 + 2 * 10
