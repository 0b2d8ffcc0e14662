"""Test failover: if a Redis is no longer the primary, the bridge connects to the address again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import Acquired, Claim, LedgerUnavailable, Replay
from signup_bridge.ledger.redis.ledger import RedisLedger

from local_services.redis_server import RedisServer
from tests.support.bridge.clocks import SetClock
from tests.support.ledgers import FAST, KEY, VERIFIED, Engine, guess, keys
from tests.support.network.wires import Wire

IDLE = 8


@pytest.fixture
def other(tmp_path: Path) -> Iterator[RedisServer]:
    """Run another server, which a test can make a replica.

    It has no append-only file, because Redis 6 does not stop while a replica writes its first one.
    """
    with RedisServer(tmp_path, "--appendonly", "no") as server:
        yield server


@pytest.fixture
def wire(other: RedisServer) -> Iterator[Wire]:
    with Wire(other.port) as wire:
        yield wire


def ledger_behind(wire: Wire) -> Engine:
    """Return a ledger with eight idle connections through the wire."""
    clock = SetClock()
    ledger = RedisLedger(f"redis://127.0.0.1:{wire.port}/0", FAST, clock, key=KEY)
    engine = Engine(ledger, clock, lambda _: None, lambda: ledger)
    ledger.ping(deadline=engine.deadline)
    threads = [threading.Thread(target=ledger.ping, kwargs={"deadline": engine.deadline}) for _ in range(IDLE)]
    with wire.holding_replies():
        for thread in threads:
            thread.start()
        assert wire.has_connections(IDLE)
    for thread in threads:
        thread.join()
    return engine


def demote(server: RedisServer, *, to: int, stale: bool = True) -> None:
    """Make the server a replica of another port. Unless ``stale``, it returns no data without its primary."""
    with server.client as client:
        client.config_set("replica-serve-stale-data", "yes" if stale else "no")
        client.replicaof("127.0.0.1", str(to))


@pytest.mark.parametrize("how", ["READONLY", "MASTERDOWN"])
def test_failover_keeps_claims_and_records(redis_server: RedisServer, other: RedisServer, wire: Wire, how: str) -> None:
    """The old primary is demoted but still reachable."""
    engine = ledger_behind(wire)
    held = engine.own(keys("held", contact="10086"))
    demote(other, to=redis_server.port if how == "READONLY" else 1, stale=how == "READONLY")
    wire.behind = redis_server.port
    assert engine.settle(held, VERIFIED, keys("held", contact="10086"))
    for number in range(IDLE):
        engine.own(keys(f"m{number}", contact=f"{number:09}"))
    assert wire.has_connections(1)
    assert engine.claim(keys("held", contact="10086")) == Replay(VERIFIED)
    engine.ledger.close()


def test_failover_during_concurrent_claims_loses_none(
    redis_server: RedisServer, other: RedisServer, wire: Wire
) -> None:
    engine = ledger_behind(wire)
    demote(other, to=redis_server.port)
    wire.behind = redis_server.port
    claims: list[Claim] = []

    def claim(number: int) -> None:
        claims.append(engine.claim(keys(f"m{number}", contact=f"{number:09}")))

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(2 * IDLE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [type(claim) for claim in claims] == [Acquired] * 2 * IDLE
    engine.ledger.close()


@pytest.mark.parametrize(
    "reply",
    [
        "-LOADING Redis is loading the dataset in memory",
        "-MOVED 3999 127.0.0.1:6381",
        "-NOREPLICAS Not enough good replicas to write.",
        "-ERR Error running script (call to f_1): @user_script:1: @user_script: 1: -READONLY You can't write.",
    ],
)
def test_refusal_of_non_primary_is_retried_once(redis_server: RedisServer, wire: Wire, reply: str) -> None:
    engine = ledger_behind(wire)
    wire.refuse(reply.encode() + b"\r\n")
    wire.behind = redis_server.port
    engine.own()
    engine.own(guess(1)._replace(contact=b"another"))
    engine.ledger.close()


def test_address_of_replica_is_tried_twice_and_reported(other: RedisServer, wire: Wire) -> None:
    engine = ledger_behind(wire)
    demote(other, to=1)
    with other.client as client:
        before = client.info("stats")["total_connections_received"]
        for _ in range(2):
            with pytest.raises(LedgerUnavailable, match="use the address of the primary"):
                engine.claim()
        assert client.info("stats")["total_connections_received"] - before <= 4
    engine.ledger.close()


def test_first_connection_to_replica_is_replaced(redis_server: RedisServer, other: RedisServer, wire: Wire) -> None:
    """The first connection reads the server's settings. A replica without its primary rejects even that."""
    demote(other, to=1, stale=False)
    ledger = RedisLedger(f"redis://127.0.0.1:{wire.port}/0", FAST, SetClock(), key=KEY)
    engine = Engine(ledger, SetClock(), lambda _: None, lambda: ledger)
    with pytest.raises(LedgerUnavailable, match=r"READONLY|MASTERDOWN"):
        engine.claim()
    wire.behind = redis_server.port
    engine.own()
    ledger.close()


def test_vanished_server_costs_one_timeout(redis_server: RedisServer, wire: Wire) -> None:
    """The server closes no connection, so that the bridge waits for a reply on the first one."""
    engine = ledger_behind(wire)
    wire.refuse(b"")
    wire.behind = redis_server.port
    with pytest.raises(LedgerUnavailable, match="no response in time"):
        engine.ledger.ping(deadline=Deadline(SetClock(), 0.2))
    engine.own()
    engine.ledger.close()


def test_other_refusals_are_not_retried(redis_server: RedisServer, wire: Wire) -> None:
    engine = ledger_behind(wire)
    wire.refuse(b"-MISCONF Redis is configured to save RDB snapshots, but it is unable to persist to disk.\r\n")
    wire.behind = redis_server.port
    with pytest.raises(LedgerUnavailable, match="MISCONF"):
        engine.claim()
    assert wire.has_connections(IDLE - 1)
    engine.ledger.close()
