"""What the ledger costs the whole bridge: requests a second with SQLite, with Redis, and with no ledger at all.

They are measured in turns, A B C A B C, so that whatever else the machine does falls on all.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal
from unittest import mock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "function"), str(ROOT / "tests"), str(ROOT)]

import builders  # noqa: E402  they lie in the folders above
import flask  # noqa: E402
from bridge import app  # noqa: E402
from bridge.clock import Deadline  # noqa: E402
from bridge.ledger import Claim, Found, Settlement, Slot  # noqa: E402
from bridge.ledger.keys import Hasher, Keys  # noqa: E402
from redis_server import RedisServer  # noqa: E402

from emulator import ports  # noqa: E402
from emulator.server import Emulator  # noqa: E402

KEY = secrets.token_bytes(32)


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

    def count_unknown(self, *, deadline: Deadline) -> int:  # noqa: ARG002
        return 0

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
    port = ports.free()
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
            "none": running.enter_context(bridge(upstream, folder / "none", "throughput:forgetful_app()")),
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
    parser.add_argument("--turns", type=int, default=5, help="of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a turn (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="at once (%(default)s)")
    given = parser.parse_args()
    measure_requests(given.turns, given.seconds, given.connections)


if __name__ == "__main__":
    main()
