"""Test the ledger's contract: which part of a contact's call history a claim reads, even of a long one."""

from __future__ import annotations

import secrets
import sqlite3
import struct
from pathlib import Path

import pytest
import redis
from signup_bridge.ledger import CALL_HISTORY, COMPETING_MARGIN, MAX_COMPETING_CALLS, ShortCircuited
from signup_bridge.service.reconciliation import COMPETING_WINDOW, MAX_AGE

from local_services.redis_server import RedisServer
from tests.support.ledgers import (
    FAST,
    VERIFIED,
    WRONG,
    Engine,
    Make,
    database,
    guess,
    keys,
    near,
    redis_engine,
    sqlite_engine,
)

MANY = 4000
"""The number of calls, all within the last hour."""


def test_history_window_covers_everything_that_reconciliation_needs() -> None:
    assert COMPETING_MARGIN > COMPETING_WINDOW
    assert CALL_HISTORY > MAX_AGE + COMPETING_WINDOW


@pytest.mark.parametrize("apart", [-3000.0, 3000.0])
def test_call_outside_window_is_not_read_as_competing_call(engine: Engine, apart: float) -> None:
    """The other call was long before the lost call, or long after it."""
    first, second = (guess(0), keys()) if apart < 0 else (keys(), guess(0))
    engine.end(None if first == keys() else WRONG, first, sent_at=0.0)
    engine.pass_by(abs(apart))
    engine.end(None if second == keys() else WRONG, second, sent_at=0.0)
    assert engine.acquire_unknown().competing_calls == ()


def test_long_call_that_ended_within_window_is_read_as_competing_call(engine: Engine) -> None:
    """The process of the call was frozen for a while."""
    rival = engine.own(guess(0), lease=900.0)
    engine.pass_by(800)
    engine.settle(rival, WRONG, guess(0), sent_at=799.0, gave_up_at=0.0)
    engine.end(None, sent_at=0.0)
    unknown = engine.acquire_unknown()
    assert [near(one, unknown.now - 799, unknown.now) for one in unknown.competing_calls] == [True]


def test_first_call_within_window_is_read_although_second_was_later(engine: Engine) -> None:
    rival = guess(0)
    engine.end(None, rival, sent_at=0.0)
    engine.end(None, sent_at=0.0)
    engine.pass_by(2000)
    token = engine.own(rival)
    engine.attempt(token, rival)
    engine.settle(token, WRONG, rival, sent_at=0.0)
    unknown = engine.acquire_unknown()
    assert any(near(one, unknown.now - 2000, unknown.now - 2000) for one in unknown.competing_calls)


def test_call_older_than_history_has_no_competing_calls(engine: Engine) -> None:
    engine.end(WRONG, guess(0), sent_at=0.0)
    engine.end(None, sent_at=0.0)
    engine.pass_by(CALL_HISTORY + 1)
    unknown = engine.acquire_unknown()
    assert (len(unknown.calls), unknown.competing_calls, unknown.has_more_calls) == (1, (), False)


@pytest.mark.parametrize("more", [0, 1])
def test_too_many_competing_calls_set_has_more_calls(make: Make, more: int) -> None:
    engine = make(interval=1e-6, wrong_codes=0)
    engine.end(None, sent_at=0.0)
    for number in range(MAX_COMPETING_CALLS - 1 + more):  # and the lost call itself
        engine.end(WRONG, guess(number), sent_at=0.0)
    unknown = engine.acquire_unknown()
    assert (unknown.has_more_calls, len(unknown.competing_calls)) == (
        (True, 0) if more else (False, MAX_COMPETING_CALLS - 1)
    )


def test_verification_clears_wrong_code_count_in_long_history(make: Make) -> None:
    engine = make(interval=1e-6, wrong_codes=3)
    for number in range(2):
        engine.end(WRONG, guess(number))
    engine.end(VERIFIED)
    for number in range(2, 5):
        engine.end(WRONG, guess(number))
    assert isinstance(engine.claim(guess(5)), ShortCircuited)


# -- the cost of a long history --


def work(engine: Engine) -> None:
    """Lose a reply, claim its delivery again, and accept another code."""
    engine.end(None)
    unknown = engine.acquire_unknown(token="again")
    assert (unknown.has_more_calls, unknown.competing_calls) == (True, ())
    engine.release("again")
    engine.end(VERIFIED, keys("other", code="999999"))


def test_sqlite_claim_with_long_history_reads_few_rows(tmp_path: Path) -> None:
    engine = sqlite_engine(tmp_path, FAST._replace(wrong_codes=0))
    engine.end(VERIFIED, keys("first", contact="10086"))
    now = engine.clock.time()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.executemany(
            "INSERT INTO deliveries (delivery, content, contact, contact_type, transient, state, until, claimed, "
            "counted, sent, gave_up, outcome) VALUES (randomblob(16), randomblob(16), ?, 1, 0, 3, ?, ?, ?, ?, ?, ?)",
            (
                (keys().contact, now + 9e4, at, at, at, at + 0.3, WRONG.outcome)
                for at in (now - 3600 * (1 - number / MANY) for number in range(MANY))
            ),
        )
    db.close()
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 100

    database(engine).write(lambda db: db.set_progress_handler(step, 100), engine.deadline)
    work(engine)
    assert 0 < steps < 40_000  # of SQLite's virtual machine, which reads about ten rows in a hundred steps
    engine.ledger.close()


def test_redis_claim_with_long_history_makes_few_reads(redis_server: RedisServer) -> None:
    engine = redis_engine(redis_server, FAST._replace(wrong_codes=0))
    rival = keys("rival", code="000000")
    for _ in range(33):
        engine.end(WRONG, rival._replace(delivery=secrets.token_bytes(16)))
        engine.pass_by(0.01)
    now = engine.clock.time()
    with redis.Redis(port=redis_server.port) as client:
        (history,) = client.keys("{signup-bridge}:h:*")
        assert client.zcard(history) == 17
        (call,) = client.zrange(history, 0, 0)
        times = (now - 3600 * (1 - number / MANY) for number in range(MANY))
        client.zadd(history, {call[:10] + struct.pack(">dd", at, at + 0.3): at for at in times})
        client.config_resetstat()
        work(engine)
        stats = client.info("commandstats")
    asked = {name.removeprefix("cmdstat_"): one["calls"] for name, one in stats.items()}
    assert asked["zrevrangebyscore"] == 1
    assert asked["mget"] == 6
    assert asked.get("get", 0) < 20
    engine.ledger.close()


def test_late_end_of_call_replaces_it_in_long_history(engine: Engine) -> None:
    """The other calls started after its lease had expired."""
    late = engine.own(guess(0), lease=1.0)
    engine.pass_by(2)
    for number in range(40):
        engine.end(VERIFIED, keys(f"verified {number}"))
        engine.pass_by(0.1)
    assert engine.settle(late, WRONG, guess(0), sent_at=0.5)
    engine.end(None, keys("unknown", code="999999"), sent_at=0.0)
    unknown = engine.acquire_unknown(keys("unknown", code="999999"))
    assert len(unknown.competing_calls) == 41
