"""Compare the fast paths of a claim and of a settlement with the general paths."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import redis
from signup_bridge.core.actions import CREATE
from signup_bridge.ledger import Acquired, Policy, Record
from signup_bridge.ledger.redis import scripts
from signup_bridge.ledger.redis.scripts import Script

from local_services.redis_server import RedisServer
from tests.support.bridge.clocks import StillClock
from tests.support.ledgers import FAST, VERIFIED, WRONG, guess, keys, redis_engine

Patch = Callable[[str, str, str], None]


@pytest.fixture
def patch(monkeypatch: pytest.MonkeyPatch) -> Patch:
    """Return a function that replaces part of one step's script."""

    def replace(step: str, old: str, new: str) -> None:
        build = scripts.build

        def patched(policy: Policy, time: str) -> dict[str, Script]:
            built = build(policy, time)
            text = built[step].text
            assert text.count(old) == 1
            return built | {step: Script(text.replace(old, new), "0" * 40)}  # an unknown hash: the text is sent

        monkeypatch.setattr(scripts, "build", patched)

    return replace


def walk(server: RedisServer, clock: StillClock) -> dict[bytes, object]:
    """Process the same random deliveries in each call; return the server's data and the time to live of its keys."""
    chance, results = random.Random(7), list[object]()
    engine = redis_engine(server, FAST, clock=clock)
    for number in range(400):
        engine.pass_by(chance.choice([0.01, 0.5, 3, 20]))
        if chance.random() < 0.05:
            engine.ledger.throttle(CREATE, deadline=engine.deadline)
        name = None if chance.random() < 0.2 else f"msg_{number}"
        of = keys(name, contact=f"1000{chance.choice('0123')}", code=f"{chance.choice('01')}00000")
        results.append(engine.claim(of, f"{number:032}", max_wait=chance.choice([0.0, 6.0])))
        if isinstance(results[-1], Acquired) and chance.random() < 0.9:
            record, counts = chance.choice(
                [(VERIFIED, False), (VERIFIED, False), (WRONG, True), (WRONG, False), (None, True)]
            )
            engine.pass_by(chance.choice([0.0, 1.0]))
            results.append(engine.settle(f"{number:032}", record, of, counts_as_wrong=counts))
    engine.ledger.close()
    with redis.Redis(port=server.port) as client:
        stored: dict[bytes, object] = {
            name: (client.get(name), pytest.approx(client.pttl(name), abs=60_000))
            for name in client.scan_iter(_type="string")
        }
        stored |= {name: client.zrange(name, 0, -1, withscores=True) for name in client.scan_iter(_type="zset")}
        client.flushall()
    return stored | {b"results": results}


@pytest.mark.parametrize(
    ("step", "condition"),
    [
        ("claim", "if is_new and has_only_calls then"),
        ("settle", "if is_claimed and holds_lock and is_usual then"),
    ],
)
def test_fast_path_writes_and_returns_what_general_path_does(
    redis_server: RedisServer, patch: Patch, step: str, condition: str
) -> None:
    clock = StillClock()
    fast = walk(redis_server, clock)
    clock.wall = 0.0
    patch(step, condition, "if false then")
    assert walk(redis_server, clock) == fast


@pytest.mark.parametrize("record", [VERIFIED, WRONG])
def test_usual_delivery_needs_fast_path_only(redis_server: RedisServer, patch: Patch, record: Record) -> None:
    clock = StillClock()
    first = redis_engine(redis_server, FAST, clock=clock)
    first.end(VERIFIED)  # the fast path does not reserve the first slot of a minute
    first.ledger.close()
    for step in ("claim", "settle"):
        patch(step, "local deliveries = {}", "error('general path')")
    engine = redis_engine(redis_server, FAST, clock=clock)
    engine.end(record, guess(1))
    engine.end(record, keys("another contact", contact="10010"))
    engine.ledger.close()
