"""Test the records of a Redis ledger: the time to live of their keys, and their times on the server's clock."""

from __future__ import annotations

import time

import pytest
from signup_bridge.ledger import ContactBusy, Record

from local_services.redis_server import RedisServer
from tests.support.ledgers import VERIFIED, keys, redis_engine, redis_engine_at


def test_shared_keys_of_contact_live_as_long_as_last_record(redis_server: RedisServer) -> None:
    engine = redis_engine(redis_server)
    old = keys(None, code="111111")
    engine.end(VERIFIED, old)
    engine.pass_by(3995)
    engine.end(None, keys("y", code="000000"))
    engine.own(keys("z", code="222222"))
    assert engine.claim(old) == ContactBusy()
    with redis_server.client as client:
        (name,) = client.keys("{signup-bridge}:c:*")
        assert client.pttl(name) > 345_600_000
    engine.ledger.close()


def test_settle_that_waited_does_not_shift_time_of_call(redis_server: RedisServer) -> None:
    """The reported ages do not include the wait. The ledger corrects them by the time of the claim."""
    engine = redis_engine(redis_server)
    token = engine.own()
    engine.pass_by(4)
    assert engine.settle(token, None, sent_at=1.0, gave_up_at=0.5, requested=1.2)
    unknown = engine.acquire_unknown()
    (call,) = unknown.calls
    assert call.sent_at == pytest.approx(unknown.now - 3.8, abs=0.5)
    assert call.gave_up_at == pytest.approx(unknown.now - 3.3, abs=0.5)
    engine.ledger.close()


def test_redis_ledger_uses_time_of_server(redis_server: RedisServer) -> None:
    engine = redis_engine(redis_server)
    engine.clock.wall = 1e6
    engine.end(None)
    assert abs(engine.acquire_unknown().now - time.time()) < 120
    engine.ledger.close()


def test_keys_for_counts_and_history_outlive_records(redis_server: RedisServer) -> None:
    engine = redis_engine_at(redis_server.port)
    engine.end(VERIFIED, keys(None))
    engine.end(Record("code-incorrect", contact_type=1), keys(None, code="000000"))
    with redis_server.client as client:
        lives = {name.split(":")[1]: client.pttl(name) / 1000 for name in client.keys()}  # noqa: SIM118
    assert lives["d"] > 3900
    assert lives["c"] > 5000
    engine.ledger.close()


def test_index_of_content_lives_as_long_as_its_last_delivery(redis_server: RedisServer) -> None:
    engine = redis_engine_at(redis_server.port)
    engine.end(None)
    with redis_server.client as client:
        (name,) = client.keys("{signup-bridge}:u:*")
        client.pexpire(name, 1000)
        engine.end(None)
        assert client.pttl(name) > 345_600_000
    engine.ledger.close()


def test_all_keys_share_hash_slot_and_expire(redis_server: RedisServer) -> None:
    engine = redis_engine_at(redis_server.port)
    engine.end(VERIFIED, release_lock=1.0)
    engine.end(None, keys("b", code="000001", contact="10086"))
    engine.own(keys("c", contact="10010"))
    engine.ledger.throttle("CreateIntlPhoneEmail", deadline=engine.deadline)
    with redis_server.client as client:
        names = {key: client.pttl(key) for key in client.keys()}  # noqa: SIM118
    assert all(name.startswith("{signup-bridge}:") for name in names)
    lasting = sorted(name.split(":")[1] for name, life in names.items() if life < 0)
    assert lasting == ["key", "open", "removal", "unsettled"]
    engine.ledger.close()
