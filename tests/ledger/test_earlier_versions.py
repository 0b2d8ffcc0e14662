"""Test ledgers that commit 6d831f2 wrote, described in `earlier/README.md`."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock

import pytest
import redis
from signup_bridge.core.clock import Deadline
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, IdempotencyKey
from signup_bridge.ledger import (
    ContactBusy,
    InFlight,
    LedgerUnavailable,
    Record,
    Replay,
    SendLimit,
    SendLimited,
    ShortCircuited,
)
from signup_bridge.ledger.keys import Hasher, Keys
from signup_bridge.ledger.redis import conversion
from signup_bridge.ledger.redis.connections import RedisConnection, ServerError

from local_services.redis_server import RedisServer
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.ledgers import KEY, POLICY, VERIFIED, WRONG, Engine, keys, redis_engine, sqlite_engine

EARLIER = Path(__file__).with_name("earlier")
HELD = keys("held", contact="10010")


def load_redis(server: RedisServer) -> float:
    """Run the commands of the file except those that expire keys; return when the last delivery was claimed."""
    words = iter((EARLIER / "redis.aof").read_bytes().split(b"\r\n"))
    with redis.Redis(port=server.port) as client:
        for line in words:
            command = [(next(words), next(words))[1] for _ in range(int(line[1:] or 0))]
            if command and command[0] not in (b"SELECT", b"MULTI", b"EXEC", b"PEXPIREAT"):
                client.execute_command(*command)
        return float(client.hget("{signup-bridge}:delivery:" + HELD.delivery.hex(), "claimed") or 0)


def load_sqlite(folder: Path) -> float:
    with sqlite3.connect(folder / "ledger.db") as db:
        db.executescript((EARLIER / "sqlite.sql").read_text())
        (claimed,) = db.execute("SELECT claimed FROM deliveries WHERE delivery = ?", (HELD.delivery,)).fetchone()
    db.close()
    return float(claimed)


@pytest.fixture(params=["sqlite", "redis"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """Return a ledger with the records, half a second after the last one was written, for each engine."""
    clock = StillClock()
    if request.param == "sqlite":
        clock.wall = load_sqlite(tmp_path) - clock.time() + 0.5
        engine = sqlite_engine(tmp_path, clock=clock)
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        clock.wall = load_redis(server) - clock.time() + 0.5
        engine = redis_engine(server, clock=clock)
    yield engine
    engine.ledger.close()


def message(name: str, to: str) -> tuple[Keys, list[SendLimit]]:
    hasher = Hasher(KEY)
    request = CodeRequest(Contact(ContactType.PHONE, to), IdempotencyKey("signed", name))
    return hasher.keys(request), [SendLimit("interval", hasher.counter_key("interval", to), 1, 60.0)]


def guess_of(number: int) -> Keys:
    return keys(f"guess_{number}", contact="10000", code=f"{number:06}")


def test_settled_deliveries_of_earlier_version_are_replayed(engine: Engine) -> None:
    assert engine.claim(keys("settled")) == Replay(VERIFIED)
    assert engine.claim(keys("guess_0", contact="10000", code="000000")) == Replay(WRONG)
    assert engine.claim(keys(None, contact="10000", code="000002")) == Replay(WRONG)
    assert engine.claim(keys("rival", contact="10086", code="999999")) == Replay(WRONG)


def test_wrong_codes_of_earlier_version_count(engine: Engine) -> None:
    for number in (3, 4):
        engine.end(WRONG, keys(f"guess_{number}", contact="10000", code=f"{number:06}"))
    assert isinstance(engine.claim(keys("guess_5", contact="10000")), ShortCircuited)
    engine.pass_by(601)
    engine.own(keys("guess_6", contact="10000"))


def test_wrong_code_of_earlier_version_without_id_counts_once(engine: Engine) -> None:
    engine.pass_by(121)
    for of in (keys(None, contact="10000", code="000002"), guess_of(3), guess_of(4)):
        engine.end(WRONG, of)
    assert isinstance(engine.claim(guess_of(5)), ShortCircuited)


def test_claim_of_earlier_version_holds_and_is_settled(engine: Engine) -> None:
    assert engine.claim(HELD) == InFlight()
    assert engine.claim(keys("another", contact="10010", code="000000")) == ContactBusy()
    assert engine.settle("held", VERIFIED, HELD)
    assert engine.claim(HELD) == Replay(VERIFIED)


@pytest.mark.parametrize("name", ["unknown", "another id"])
def test_unknown_outcome_of_earlier_version_is_found(engine: Engine, name: str) -> None:
    assert engine.unknown == 4
    unknown = engine.acquire_unknown(keys(name, contact="10086"))
    assert (len(unknown.calls), len(unknown.competing_calls)) == (1, 1)
    assert unknown.now - 5 < unknown.calls[0].sent_at < unknown.calls[0].gave_up_at < unknown.now


def test_both_calls_of_earlier_version_are_found(engine: Engine) -> None:
    assert len(engine.acquire_unknown(keys("another id", contact="10011")).calls) == 2


@pytest.mark.parametrize("name", ["abandoned", "another id"])
def test_abandoned_claim_of_earlier_version_is_unknown(engine: Engine, name: str) -> None:
    assert len(engine.acquire_unknown(keys(name, contact="10015")).calls) == 1


def test_pending_release_of_earlier_version_is_reported(engine: Engine) -> None:
    assert engine.claim(keys("new", contact="10012", code="000000")) == ContactBusy()
    engine.pass_by(5)
    assert engine.claim(keys("again", contact="10012")) == ShortCircuited(Record("already-verified", contact_type=1))
    assert engine.acquire(keys("new", contact="10012", code="000000")).release_pending


@pytest.mark.parametrize(("name", "to"), [("message", "10013"), ("lost message", "10014")])
def test_message_of_earlier_version_is_known_and_counted(engine: Engine, name: str, to: str) -> None:
    of, limits = message(name, to)
    kept = {"lease": 10.0, "max_wait": 6.0}
    claim = engine.ledger.claim_send(of, "t", limits=limits, deadline=engine.deadline, **kept)
    assert isinstance(claim, Replay if name == "message" else SendLimited)
    new, _ = message("new", to)
    claim = engine.ledger.claim_send(new, "t", limits=limits, deadline=engine.deadline, **kept)
    assert isinstance(claim, SendLimited)


def test_conversion_continues_where_deadline_ended_it(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "PAGE", 1)
    clock = StillClock()
    clock.wall = load_redis(redis_server) - clock.time() + 0.5
    engine = redis_engine(redis_server, clock=clock)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="are being converted"):
            engine.ledger.ping(deadline=Deadline(SetClock(), 0.2))
    assert engine.claim(keys("settled")) == Replay(VERIFIED)
    engine.ledger.close()


@pytest.mark.parametrize("missing", ["", "{signup-bridge}:key", "{signup-bridge}:pace:CreateIntlPhoneEmail"])
def test_converted_server_has_no_earlier_keys_and_fails_earlier_scripts(
    redis_server: RedisServer, missing: str
) -> None:
    load_redis(redis_server)
    engine = redis_engine(redis_server, POLICY)
    with redis_server.client as client:
        client.delete(missing)
    engine.ledger.ping(deadline=engine.deadline)
    with redis_server.client as client:
        names = {name: client.pttl(name) for name in client.keys() if name != "now"}  # noqa: SIM118
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.hmget("{signup-bridge}:pace:CreateIntlPhoneEmail", "free")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.zadd("{signup-bridge}:open", {"a": 1.0})
    kinds = {name.split(":")[1] for name in names}
    assert kinds <= {"d", "c", "u", "h", "pace", "open", "unsettled", "key", "removal", "sends", "spent"}
    engine.ledger.close()


def test_late_record_of_earlier_version_does_not_replace_newer_one(redis_server: RedisServer) -> None:
    """A script of the earlier version fails only after its first writes, while another instance may still convert."""
    clock = StillClock()
    clock.wall = load_redis(redis_server) - clock.time() + 0.5
    with redis.Redis(port=redis_server.port) as client:
        earlier = {name: client.dump(name) for name in client.keys("{signup-bridge}:[dsr]*")}
        engine = redis_engine(redis_server, clock=clock)
        assert engine.settle("held", VERIFIED, HELD)
        for name, value in earlier.items():
            client.restore(name, 0, value)
        client.set("{signup-bridge}:open", "converting")
        engine.again().ping(deadline=engine.deadline)
        assert client.keys("{signup-bridge}:delivery:*") == []
    assert engine.claim(HELD) == Replay(VERIFIED)
    for number in (3, 4):
        engine.end(WRONG, guess_of(number))
    assert isinstance(engine.claim(guess_of(5)), ShortCircuited)
    engine.ledger.close()


def test_rate_that_earlier_version_wrote_late_is_replaced(redis_server: RedisServer) -> None:
    engine = redis_engine(redis_server)
    with redis_server.client as client:
        client.hset("{signup-bridge}:pace:DescribeIntlPhoneEmailList", "free", "1")
    assert engine.ledger.reserve_slot("DescribeIntlPhoneEmailList", max_wait=1, deadline=engine.deadline).fits
    engine.ledger.close()


class Scanned:
    """A connection whose scan never ends. ``info`` is the reply to INFO, or the exception that it raises."""

    def __init__(self, info: str | ServerError) -> None:
        self.info = info
        self.cursors: list[str] = []

    def command(self, *words: str) -> Any:
        if words[0] == "INFO":
            if isinstance(self.info, ServerError):
                raise self.info
            return self.info
        self.cursors.append(words[1])
        return ["7", []]


@pytest.mark.parametrize(
    ("first", "then", "cursor"),
    [
        ("# Server\r\nrun_id:a\r\n", "# Server\r\nrun_id:a\r\n", "7"),
        ("# Server\r\nrun_id:a\r\n", "# Server\r\nrun_id:b\r\n", "0"),
        ("# Server\r\n", ServerError("NOPERM"), "7"),
    ],
)
def test_conversion_begins_again_on_another_server(first: str, then: str | ServerError, cursor: str) -> None:
    """A cursor is valid in one server process only. Another process would omit records."""
    part = conversion.Conversion("p:")
    for connection in (Scanned(first), last := Scanned(then)):
        deadline = Mock(remaining=Mock(side_effect=[1.0, 0.0]))
        with pytest.raises(LedgerUnavailable, match="are being converted"):
            part.run(cast(RedisConnection, connection), Mock(), deadline)
    assert last.cursors == [cursor]
