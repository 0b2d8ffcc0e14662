"""Measure the load of a verified delivery on the shared Redis, and claims of a contact with a long history.

The load is compared with that of commit 6d831f2.
"""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import redis
from signup_bridge.core.clock import Deadline, Stopwatch
from signup_bridge.ledger import Acquired, Ledger, Record, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.ledger.redis.ledger import RedisLedger
from signup_bridge.ledger.sqlite.ledger import SqliteLedger

from bench import earlier, redis_deliveries, targets
from bench.harness import Harness, show_progress
from bench.ledger import CLOCK, KEY, POLICY
from bench.servers import ROOT
from bench.targets import Result
from local_services.redis_server import RedisServer

ROUNDS, DELIVERIES, WARM_UP = 5, 1_500, 100
CALLS, CLAIMS = 100_000, 1_500
"""The number of earlier calls of a contact, and of the claims timed with and without them."""


class Cost(NamedTuple):
    """The cost of one delivery: microseconds of Redis's processor time, commands, and bytes of Redis's data."""

    processor: float
    commands: float
    memory: float


STORED = Cost(426.0, 62.0, 600.0)
"""Earlier measurements of that commit, used if its code is not in the repository."""


class RedisCost(NamedTuple):
    results: tuple[Result, ...]


def measure(harness: Harness) -> RedisCost:
    there = earlier.checkout(harness.folder / "redis-earlier")
    costs: dict[str, list[Cost]] = {"now": [], "earlier": [] if there else [STORED]}
    for turn in range(ROUNDS):
        for name, package, root in (("earlier", "bridge", there), ("now", "signup_bridge", ROOT)):
            if root is not None:
                show_progress(f"redis-cost: turn {turn + 1} of {ROUNDS}, {name}")
                costs[name].append(_cost(harness, package, root))
    now, before = (Cost(*map(statistics.median, zip(*costs[name], strict=True))) for name in ("now", "earlier"))
    origin = earlier.COMMIT if there else f"{earlier.COMMIT}, stored"
    show_progress("redis-cost: claims with a long history")
    with _server(harness) as server:
        redis_ratio, redis_detail = _compare_claims(
            RedisLedger(server.url, POLICY, CLOCK, key=KEY), _fill_redis(server)
        )
    file = Path(tempfile.mkdtemp(dir=harness.folder)) / "ledger.db"
    sqlite_ratio, sqlite_detail = _compare_claims(SqliteLedger(file, POLICY, CLOCK, key=KEY), _fill_sqlite(file))
    return RedisCost(
        (
            Result(
                targets.REDIS_PROCESSOR,
                now.processor / before.processor,
                f"{now.processor:.0f} µs beside {before.processor:.0f} µs ({origin})",
            ),
            Result(targets.REDIS_COMMANDS, now.commands, f"{before.commands:.0f} ({origin})"),
            Result(
                targets.REDIS_MEMORY,
                now.memory / before.memory,
                f"{now.memory:.0f} bytes beside {before.memory:.0f} bytes ({origin})",
            ),
            Result(targets.REDIS_HISTORY, redis_ratio, redis_detail),
            Result(targets.SQLITE_HISTORY, sqlite_ratio, sqlite_detail),
        )
    )


@contextmanager
def _server(harness: Harness) -> Iterator[RedisServer]:
    """Run this machine's Redis, if it has one, with the configuration that the documentation requires."""
    folder = Path(tempfile.mkdtemp(dir=harness.folder))
    with RedisServer(folder, program=shutil.which("redis-server")) as server:
        yield server


def _cost(harness: Harness, package: str, root: Path) -> Cost:
    with _server(harness) as server, server.client as client:

        def deliver(count: int) -> dict[str, float]:
            command = [sys.executable, redis_deliveries.__file__, package, str(server.port), str(count)]
            environ = os.environ | {"PYTHONPATH": str(root / "function")}
            subprocess.run(command, check=True, env=environ, stderr=subprocess.DEVNULL)
            return dict(client.info())

        before, after = deliver(WARM_UP), deliver(DELIVERIES)

    def of_one(*names: str) -> float:
        return sum(after[name] - before[name] for name in names) / DELIVERIES

    processor = of_one("used_cpu_user", "used_cpu_sys") * 1e6
    return Cost(processor, of_one("total_commands_processed"), of_one("used_memory_dataset"))


def _claim(ledger: Ledger, contact: bytes) -> float:
    """Claim and settle a new delivery; return the duration of the claim in microseconds."""
    delivery, content, exact = (secrets.token_bytes(16) for _ in range(3))
    keys = Keys(delivery, content, contact, exact, body_keyed=False, contact_type=1)
    token, deadline, watch = secrets.token_hex(16), Deadline(CLOCK, 60), Stopwatch(CLOCK)
    began = time.perf_counter()
    claim = ledger.claim(keys, token, lease=10, max_wait=60, deadline=deadline)
    ended = time.perf_counter()
    if not isinstance(claim, Acquired):
        sys.exit(f"a new delivery was not claimed: {claim}")
    record = Record("verified", "r" * 36, contact_type=1)
    ledger.settle(keys, token, Settlement(record, sent_at=watch, gave_up_at=watch, requested=watch), deadline=deadline)
    return (ended - began) * 1e6


def _compare_claims(ledger: Ledger, fill: Callable[[Ledger, bytes], None]) -> tuple[float, str]:
    """Return the ratio of a claim's duration with a long history to one without, and the details of the ratio."""
    known = secrets.token_bytes(16)
    fill(ledger, known)
    pairs = [(_claim(ledger, secrets.token_bytes(16)), _claim(ledger, known)) for _ in range(CLAIMS)]
    ledger.close()
    new, old = map(statistics.median, zip(*pairs, strict=True))
    return old / new, f"{old:.0f} µs beside {new:.0f} µs, medians of {CLAIMS:,} pairs"


def _times() -> Iterator[float]:
    now = time.time()
    return (now - 3600 * (1 - number / CALLS) for number in range(CALLS))


def _fill_redis(server: RedisServer) -> Callable[[Ledger, bytes], None]:
    def fill(ledger: Ledger, contact: bytes) -> None:
        for _ in range(40):  # more than a contact's record can hold
            _claim(ledger, contact)
        with redis.Redis(port=server.port) as client:
            (history,) = client.keys("{signup-bridge}:h:*")
            calls = {secrets.token_bytes(10) + struct.pack(">dd", at, at + 0.3): at for at in _times()}
            for first in range(0, CALLS, 5_000):
                client.zadd(history, dict(list(calls.items())[first : first + 5_000]))

    return fill


def _fill_sqlite(file: Path) -> Callable[[Ledger, bytes], None]:
    def fill(ledger: Ledger, contact: bytes) -> None:
        _claim(ledger, contact)
        with sqlite3.connect(file) as db:
            db.executemany(
                "INSERT INTO deliveries (delivery, content, contact, contact_type, transient, state, until, claimed, "
                "sent, gave_up, outcome) VALUES (randomblob(16), randomblob(16), ?, 1, 0, 3, ?, ?, ?, ?, 'verified')",
                ((contact, at + POLICY.ttl, at, at, at + 0.3) for at in _times()),
            )
        db.close()

    return fill
