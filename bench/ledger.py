"""Measure the microseconds of a ledger's claim and settle, with few and with many records.

The measurements are interleaved, A B A B, so that other load on the machine affects both.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sqlite3
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from signup_bridge.core import outcomes
from signup_bridge.core.clock import Deadline, Stopwatch, SystemClock
from signup_bridge.ledger import Acquired, Ledger, Policy, Record, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.ledger.redis import scripts
from signup_bridge.ledger.redis.ledger import PREFIX, RedisLedger
from signup_bridge.ledger.sqlite.ledger import SqliteLedger

from local_services.redis_server import RedisServer

KEY = secrets.token_bytes(32)
TTL = 345_600.0
POLICY = Policy(ttl=TTL, wrong_codes=5, wrong_code_window=600, interval=1e-6)
CLOCK = SystemClock()
FEW = 1_000
BATCH = 5_000
OUTCOMES = (outcomes.VERIFIED.code, outcomes.CODE_INCORRECT.code)


@dataclass
class Store:
    """A ledger with a number of records, and the nanoseconds that each step took."""

    ledger: Ledger
    records: int
    claims: list[int] = field(default_factory=list)
    settles: list[int] = field(default_factory=list)

    def pair(self) -> None:
        """Claim a new delivery and settle it."""
        delivery, content, contact, exact = (secrets.token_bytes(16) for _ in range(4))
        keys = Keys(delivery, content, contact, exact, body_keyed=False, contact_type=1)
        token, deadline = secrets.token_hex(16), Deadline(CLOCK, 60)
        watch = Stopwatch(CLOCK)
        record = Record(outcomes.VERIFIED.code, str(uuid.uuid4()), contact_type=1)
        settlement = Settlement(record, sent_at=watch, gave_up_at=watch, requested=watch)
        began = time.perf_counter_ns()
        claim = self.ledger.claim(keys, token, lease=10, max_wait=60, deadline=deadline)
        claimed = time.perf_counter_ns()
        settled = self.ledger.settle(keys, token, settlement, deadline=deadline)
        ended = time.perf_counter_ns()
        if not isinstance(claim, Acquired) or not settled:
            sys.exit(f"a new delivery was not claimed and settled: {claim}")
        self.claims.append(claimed - began)
        self.settles.append(ended - claimed)


def fill_sqlite(file: Path, records: int) -> None:
    """Insert settled deliveries of the last days, oldest first, in the form that the ledger stores."""
    now = time.time()
    with sqlite3.connect(file) as db:
        db.execute("PRAGMA cache_size = -500000")
        for first in range(0, records, BATCH):
            count = min(BATCH, records - first)
            db.executemany(
                "INSERT INTO deliveries (delivery, content, contact, contact_type, transient, state, until, claimed, "
                "counted, sent, gave_up, outcome, request_id, resolved) "
                "VALUES (?, ?, ?, 1, 0, ?, ?, ?, ?, ?, ?, ?, ?, 0)",
                (_row(now - TTL / 2 * (1 - (first + n) / records)) for n in range(count)),
            )
            tell("SQLite", first + count, records)
    db.close()


def _row(claimed: float) -> tuple[object, ...]:
    wrong = random.random() < 0.2
    return (
        random.randbytes(16), random.randbytes(16), random.randbytes(16), 3 if wrong else 2, claimed + TTL, claimed,
        claimed + 0.1 if wrong else None, claimed + 0.1, claimed + 0.4, OUTCOMES[wrong],
        str(uuid.UUID(bytes=random.randbytes(16))),
    )  # fmt: skip


# An additional step of the engine's own script, so that the records have the engine's form.
FILL = """
function steps.fill(seed, count, before, step, verified, incorrect)
  math.randomseed(tonumber(seed))
  local function name()
    local parts = {}
    for i = 1, 4 do parts[i] = string.format('%08x', math.random(0, 2147483647)) end
    return table.concat(parts):sub(1, 22)
  end
  for i = 1, tonumber(count) do
    local claimed = now - tonumber(before) + i * tonumber(step)
    local row = {delivery = name(), content = name(), contact_type = 1, transient = '0', state = SETTLED,
      claimed = claimed, expires = claimed + ttl, outcome = math.random() < 0.2 and incorrect or verified,
      resolved = '0', request_id = name() .. '--------------', settled_by = name():sub(1, 16)}
    local contact = contacts.unpack(name())
    contacts.add_call(contact, contacts.pack_call(row, claimed + 0.1, claimed + 0.4))
    deliveries.save(row)
    contacts.save(contact)
  end
end
"""


def fill_redis(server: RedisServer, records: int) -> None:
    """Insert settled deliveries of the last days."""
    step = TTL / 2 / records
    text = scripts.build(POLICY)["claim"].text
    head, run, _ = text.partition("return steps[ARGV[1]]")
    with server.client as client:
        script = client.register_script(f"{head}{FILL}{run}(unpack(ARGV, 2))")
        client.config_set("appendfsync", "no")
        for first in range(0, records, BATCH):
            count = min(BATCH, records - first)
            since = (records - first) * step
            script(keys=[PREFIX], args=["fill", random.getrandbits(31), count, since, step, *OUTCOMES])
            tell("Redis", first + count, records)
        client.config_set("appendfsync", "always")


def tell(what: str, done: int, of: int) -> None:
    if of > FEW and done % (of // 10) == 0:
        print(f"{what}: {done:,} of {of:,} records", file=sys.stderr, flush=True)


@contextmanager
def sqlite_store(records: int) -> Iterator[tuple[Store, Path]]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "ledger.db"
        ledger = SqliteLedger(file, POLICY, CLOCK, key=KEY)
        ledger.ping(deadline=Deadline(CLOCK, 10))
        fill_sqlite(file, records)
        yield Store(ledger, records), file
        ledger.close()


@contextmanager
def redis_store(records: int) -> Iterator[Store]:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, RedisServer(Path(folder)) as server:
        fill_redis(server, records)
        ledger = RedisLedger(server.url, POLICY, CLOCK, key=KEY)
        yield Store(ledger, records)
        ledger.close()


def measure(pairs: int, *stores: Store) -> None:
    for _ in range(pairs):
        for store in stores:
            store.pair()


def table(engine: str, few: Store, many: Store) -> Iterator[str]:
    steps = (("claim", few.claims, many.claims), ("settle", few.settles, many.settles))
    for step, small, large in steps:
        low, high = (statistics.median(times) / 1000 for times in (small, large))
        yield f"| {engine} | {step} | {low:.0f} | {high:.0f} | {high / low:.2f} |"


def measure_steps(pairs: int, records: int) -> None:
    lines: list[str] = []
    with sqlite_store(FEW) as (few, _), sqlite_store(records) as (many, file):
        full = file.stat().st_size
        measure(pairs, few, many)
        lines += table("SQLite", few, many)
        with sqlite3.connect(file) as db:
            (left,) = db.execute("SELECT count(*) FROM deliveries").fetchone()
        db.close()
    with redis_store(FEW) as few, redis_store(records) as many:
        measure(pairs, few, many)
        lines += table("Redis", few, many)
    print(f"| engine | step | µs, {FEW:,} records | µs, {records:,} records | ratio |\n| --- | --- | --: | --: | --: |")
    print(*lines, sep="\n")
    print(f"\nMedians of {pairs:,} pairs. The SQLite file with {records:,} records had {full / 2**20:.0f} MiB.")
    print(f"At the end, {left:,} of these and of the {pairs:,} new records remained.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5_000, help="claims and settles (default: %(default)s)")
    parser.add_argument(
        "--records", type=int, default=1_000_000, help="records of the large ledger (default: %(default)s)"
    )
    arguments = parser.parse_args()
    measure_steps(arguments.pairs, arguments.records)


if __name__ == "__main__":
    main()
