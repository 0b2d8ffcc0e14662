"""What the ledger costs: microseconds a step with few and with many records, or requests a second with and without it.

``python bench/ledger.py`` measures claim and settle, ``python bench/ledger.py --requests`` the whole bridge. What is
compared is measured in turns, A B A B, so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "function"), str(ROOT / "tests"), str(ROOT)]

import builders  # noqa: E402  they lie in the folders above
import flask  # noqa: E402
from bridge import app, outcomes  # noqa: E402
from bridge.clock import Deadline, SystemClock  # noqa: E402
from bridge.ledger import Claim, Found, Ledger, Policy, Record, Settlement, Slot  # noqa: E402
from bridge.ledger.keys import Hasher, Keys  # noqa: E402
from bridge.ledger.redis import PREFIX, SCRIPT, RedisLedger  # noqa: E402
from bridge.ledger.sqlite import SqliteLedger  # noqa: E402
from redis_server import RedisServer  # noqa: E402

from emulator.server import Emulator  # noqa: E402

KEY = secrets.token_bytes(32)
TTL = 345_600.0
POLICY = Policy(ttl=TTL, wrong_codes=5, wrong_code_window=600, interval=1e-6)
CLOCK = SystemClock()
FEW = 1_000
BATCH = 5_000
OUTCOMES = (outcomes.VERIFIED.code, outcomes.CODE_INCORRECT.code)


# -- microseconds a step --


@dataclass
class Store:
    """A ledger with so many records, and the nanoseconds that each step took."""

    ledger: Ledger
    records: int
    claims: list[int] = field(default_factory=list)
    settles: list[int] = field(default_factory=list)

    def pair(self) -> None:
        """Claim a new delivery and settle it."""
        delivery, content, contact, exact = (secrets.token_bytes(16) for _ in range(4))
        keys = Keys(delivery, content, contact, exact, transient=False, contact_type=1)
        token, deadline = secrets.token_hex(16), Deadline(CLOCK, 60)
        settlement = Settlement(Record(outcomes.VERIFIED.code, str(uuid.uuid4()), contact_type=1), sent=0.3)
        began = time.perf_counter_ns()
        claim = self.ledger.claim(keys, token, lease=10, max_wait=60, deadline=deadline)
        claimed = time.perf_counter_ns()
        settled = self.ledger.settle(keys, token, settlement, deadline=deadline)
        ended = time.perf_counter_ns()
        if claim.kind != "owned" or not settled:
            sys.exit(f"not as a new delivery goes: {claim}")
        self.claims.append(claimed - began)
        self.settles.append(ended - claimed)


def fill_sqlite(file: Path, records: int) -> None:
    """Put in settled deliveries of the last days, oldest first, as the ledger itself would have left them."""
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
        int(wrong), claimed + 0.1, claimed + 0.4, OUTCOMES[wrong], str(uuid.UUID(bytes=random.randbytes(16))),
    )  # fmt: skip


# The engine's own script with one more verb, so that a record here is what the engine would have written.
FILL = """
function verbs.fill()
  math.randomseed(number(1))
  local function name()
    local parts = {}
    for i = 1, 4 do parts[i] = string.format('%08x', math.random(0, 2147483647)) end
    return table.concat(parts)
  end
  for i = 1, number(2) do
    local claimed = now - number(3) + i * number(4)
    local wrong = math.random() < 0.2
    save({delivery = name(), content = name(), contact = name(), contact_type = '1', transient = '0',
      state = 'settled', claimed = claimed, expires = claimed + ttl, sent = claimed + 0.1, gave_up = claimed + 0.4,
      counted = wrong and '1' or '0', outcome = wrong and argument(6) or argument(5), resolved = '0',
      request_id = name() .. '----', settled_by = name()})
  end
end
return verbs[verb]()
"""


def fill_redis(server: RedisServer, records: int) -> None:
    """Put in settled deliveries of the last days."""
    held = [str(one) for one in (TTL, 5, 600, 1e-6, POLICY.kept, 1000, 120, 0.7, 0.25, 0.1)]
    step = TTL / 2 / records
    with server.client as client:
        script = client.register_script(SCRIPT.removesuffix("return verbs[verb]()\n") + FILL)
        client.config_set("appendfsync", "no")
        for first in range(0, records, BATCH):
            count = min(BATCH, records - first)
            since = (records - first) * step
            script(keys=[PREFIX], args=["fill", *held, random.getrandbits(31), count, since, step, *OUTCOMES])
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
        ledger.check(deadline=Deadline(CLOCK, 10))
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
    print(f"\nMedians of {pairs:,} pairs. The SQLite file held {full / 2**20:.0f} MiB with {records:,} records,")
    print(f"of which, and of the {pairs:,} new ones, {left:,} were left at the end.")


# -- requests a second --


class Forgetful:
    """A ledger that remembers nothing: the same bridge, less the ledger's work."""

    reach: Literal["instance"] = "instance"
    engine = "none"

    def hasher(self) -> Hasher:
        return Hasher(KEY)

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:  # noqa: ARG002
        return Claim("owned")

    def attempt(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:  # noqa: ARG002
        return Slot(0.0, fits=True)

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:  # noqa: ARG002
        return True

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        """Nothing to give back."""

    def unlock(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        """Nothing is locked."""

    def reserve(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:  # noqa: ARG002
        return Slot(0.0, fits=True)

    def slow_down(self, action: str, *, deadline: Deadline) -> None:
        """There is no pace."""

    def look(self, delivery: bytes, *, deadline: Deadline) -> Found | None:  # noqa: ARG002
        return None

    def check(self, *, deadline: Deadline) -> None:
        """It works."""

    def close(self) -> None:
        """Nothing is open."""


def forgetful_app() -> flask.Flask:
    """What gunicorn is given instead of the bridge's own application."""
    with mock.patch.object(app, "open_ledger", return_value=Forgetful()):
        return app.create_app()


def emulate(told: Connection) -> None:
    with Emulator(rate=0) as emulator:
        told.send(emulator.url)
        told.recv()


@contextmanager
def emulator_apart() -> Iterator[str]:
    """An emulator in a process of its own, so that it and the senders do not wait for each other; its URL."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=emulate, args=(there,))
    process.start()
    try:
        yield here.recv()
    finally:
        here.send(None)
        process.join()


@contextmanager
def bridge(upstream: str, log: Path, *application: str, **changed: str) -> Iterator[int]:
    """A bridge under gunicorn, its application another one if one is named; its port."""
    port = builders.free_port()
    environ = builders.environment(upstream, HOST="127.0.0.1", PORT=str(port), DOMAIN_API_RATE="100000", **changed)
    environ |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "bench")}
    command = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py", *application]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        builders.wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield port
    finally:
        process.terminate()
        process.wait(timeout=20)


async def load(port: int, seconds: float, connections: int) -> float:
    """Requests a second. Each is a new delivery of a new contact with a code that the API calls wrong."""
    end = time.monotonic() + seconds
    done = 0

    async def send() -> None:
        nonlocal done
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < end:
            data = builders.body(contact=f"{random.randrange(10**14):014}")
            headers = builders.signed(data) | {"Host": "bench", "Content-Length": str(len(data))}
            lines = ["POST /webhooks/signup HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + data)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            answered = await reader.readexactly(length)
            if b'"code-incorrect"' not in answered:
                sys.exit(f"not what was measured: {answered.decode()}")
            done += 1
        writer.close()

    began = time.monotonic()
    await asyncio.gather(*(send() for _ in range(connections)))
    return done / (time.monotonic() - began)


def measure_requests(pairs: int, seconds: float, connections: int) -> None:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        upstream = running.enter_context(emulator_apart())
        server = running.enter_context(RedisServer(folder))
        shared = {"LEDGER_URL": server.url, "LEDGER_KEY": KEY.hex()}
        ports = {
            "none": running.enter_context(bridge(upstream, folder / "none", "ledger:forgetful_app()")),
            "SQLite": running.enter_context(bridge(upstream, folder / "sqlite")),
            "Redis": running.enter_context(bridge(upstream, folder / "redis", **shared)),
        }
        rates: dict[str, list[float]] = {name: [] for name in ports}
        for turn in range(pairs + 1):
            for name, port in ports.items():
                rate = asyncio.run(load(port, seconds, connections))
                if turn:  # the first one warms up
                    rates[name].append(rate)
                print(f"{turn} {name}: {rate:.0f}/s", file=sys.stderr, flush=True)
    print("| ledger | requests/s | of that without one |\n| --- | --: | --: |")
    for name, found in rates.items():
        part = statistics.median(one / without for one, without in zip(found, rates["none"], strict=True))
        print(f"| {name} | {statistics.median(found):.0f} | {part:.2f} |")
    print(f"\nMedians of {pairs} turns of {seconds:g} s each, {connections} connections.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", action="store_true", help="measure requests a second of the whole bridge")
    parser.add_argument("--pairs", type=int, help="claims and settles (5000), or turns of requests (5)")
    parser.add_argument("--records", type=int, default=1_000_000, help="how many records are many (1000000)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one turn of requests (3)")
    parser.add_argument("--connections", type=int, default=16, help="connections at once (16)")
    given = parser.parse_args()
    if given.requests:
        measure_requests(given.pairs or 5, given.seconds, given.connections)
    else:
        measure_steps(given.pairs or 5_000, given.records)


if __name__ == "__main__":
    main()
