"""Test a full Redis without eviction: steps that need memory fail before they change anything."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from signup_bridge.core.actions import CREATE, DESCRIBE
from signup_bridge.ledger import Acquired, InFlight, KeyMismatch, LedgerUnavailable, Replay, SendLimit
from signup_bridge.ledger.keys import Hasher

from local_services.redis_server import RedisServer
from signup_emulator.server import Emulator
from tests.support.bridge.deliveries import deliver
from tests.support.bridge.instances import bridge, calls
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.ledgers import FAST, KEY, VERIFIED, WRONG, Engine, guess, keys, redis_engine


@contextmanager
def full(server: RedisServer) -> Iterator[None]:
    """Let the server have no memory left, and check that its data is unchanged at the end."""
    with server.client as client:
        client.config_set("maxmemory", "1")
        before = stored(server)
        try:
            yield
            assert stored(server) == before
        finally:
            client.config_set("maxmemory", "0")


def stored(server: RedisServer) -> dict[bytes, object]:
    with redis.Redis(port=server.port) as client:
        read: dict[bytes, Callable[[str], object]] = {
            b"string": client.get,
            b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        }
        return {name: read[client.type(name)](name) for name in client.keys()}  # noqa: SIM118


def claim_send(engine: Engine) -> None:
    limits = [SendLimit("interval", Hasher(KEY).counter_key("a"), 1, 60.0)]
    engine.ledger.claim_send(
        keys("s", contact="10000"), "t", limits=limits, lease=9, max_wait=6, deadline=engine.deadline
    )


VERBS: dict[str, Callable[[Engine], object]] = {
    "a new delivery": lambda engine: engine.claim(guess(1)._replace(contact=b"another")),
    "a content that was replayed before": lambda engine: engine.claim(keys(None, contact="10010")),
    "an unknown outcome": lambda engine: engine.claim(keys("unknown", contact="10086")),
    "another of its content": lambda engine: engine.claim(keys("unknown too", contact="10086")),
    "a code to be sent": claim_send,
    "a second call": lambda engine: engine.attempt("second", keys("second", contact="10011")),
    "a slot": lambda engine: engine.ledger.reserve_slot(DESCRIBE, max_wait=6, deadline=engine.deadline),
    "a refused call": lambda engine: engine.ledger.throttle(CREATE, deadline=engine.deadline),
    "a check": lambda engine: engine.ledger.ping(deadline=engine.deadline),
}


@pytest.fixture
def engine(redis_server: RedisServer) -> Iterator[Engine]:
    engine = redis_engine(redis_server, FAST)
    engine.end(WRONG, keys(None, contact="10010"))
    engine.pass_by(121)
    engine.end(VERIFIED)
    engine.end(None, keys("unknown", contact="10086"))
    engine.end(None, keys("second", contact="10011"))
    engine.claim(keys("second", contact="10011"), "second")
    engine.claim(keys("held", contact="10012"), "held")
    yield engine
    engine.ledger.close()


@pytest.mark.parametrize("verb", VERBS)
def test_full_server_step_that_needs_memory_changes_nothing(
    redis_server: RedisServer, engine: Engine, verb: str
) -> None:
    with full(redis_server), pytest.raises(LedgerUnavailable, match=r"^LEDGER_URL: the server is full \(OOM\)"):
        VERBS[verb](engine)


def test_full_server_still_replays_known_deliveries(redis_server: RedisServer, engine: Engine) -> None:
    with full(redis_server):
        assert engine.claim() == Replay(VERIFIED)
        assert engine.claim(keys(code="000000")) == KeyMismatch()
        assert engine.claim(keys("held", contact="10012")) == InFlight()
        assert isinstance(engine.claim(keys("held", contact="10012"), "held"), Acquired)  # its first reply was lost
        assert engine.look() is not None
        assert engine.unknown == 1


@pytest.mark.parametrize("record", [VERIFIED, WRONG, None])
def test_full_server_still_records_outcome_of_call(redis_server: RedisServer, engine: Engine, record: None) -> None:
    held = keys("held", contact="10012")
    with redis_server.client as client:
        client.config_set("maxmemory", "1")
        names = set(client.keys())
        assert engine.settle("held", record, held, release_lock=1.0 if record == VERIFIED else 0.0)
        client.config_set("maxmemory", "0")
        grown = {name.split(":")[1] for name in set(client.keys()) - names}
    assert grown == ({"removal", "spent"} if record == VERIFIED else set() if record else {"u"})
    found = engine.look(held)
    assert found is not None
    assert found.record == record


def test_full_server_still_releases_claims(redis_server: RedisServer, engine: Engine) -> None:
    with redis_server.client as client:
        client.config_set("maxmemory", "1")
        engine.release("held", keys("held", contact="10012"))
        engine.release("second", keys("second", contact="10011"))
        client.config_set("maxmemory", "0")
    assert engine.look(keys("held", contact="10012")) is None
    assert engine.unknown == 2


def test_full_server_makes_no_call_that_cannot_be_recorded(
    redis_server: RedisServer, engine: Engine, emulator: Emulator
) -> None:
    instance = bridge(emulator.url, LEDGER_URL=redis_server.url, LEDGER_KEY=KEY.decode())
    first = deliver(instance, "first")
    with full(redis_server):
        expected = problem("ledger-unavailable", 503, retryable=True)
        check_problem(deliver(instance, secrets.token_hex(8)), expected, PROBLEM | {"retry-after": "2"})
        ready = instance.client.get("/ready")
        assert (ready.status_code, "(OOM)" in ready.get_json()["detail"]) == (503, True)
        assert deliver(instance, "first").json == first.json
    assert len(calls(emulator)) == 1
    instance.app.extensions["ledger"].close()
