"""Measure a burst at the account's quota from senders that obey Retry-After.

The burst goes to one instance, and to two instances that share a Redis.
"""

from __future__ import annotations

import asyncio
import itertools
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

from bench import load, servers, targets
from bench.harness import Harness, show_progress
from bench.load import Target
from bench.targets import Result
from local_services.redis_server import RedisServer
from signup_emulator.server import Emulator
from signup_toolkit import sample_payloads, senders

COUNT, QUOTA = 200, 20
CALL_TIME = 0.3
"""Seconds that a call of the emulated API takes."""
RUNS = 3
"""For each number of instances. The worst run is reported."""
INSTANCES = (1, 2)
LEDGER_KEY = "a key of thirty-two bytes, or more"


class Burst(NamedTuple):
    results: tuple[Result, ...]


class Observed(NamedTuple):
    """Seconds until the last delivery was verified, and the calls that the API rejected because of the quota."""

    seconds: float
    refused: int


def measure(harness: Harness) -> Burst:
    """Run the bursts against an emulated account, which enforces the quota as the API does."""
    observed = []
    for run, instances in itertools.product(range(1, RUNS + 1), INSTANCES):
        show_progress(f"burst: {run} of {RUNS}, instances: {instances}")
        observed.append(run_once(harness, instances))
    worst, refused = max(one.seconds for one in observed), max(one.refused for one in observed)
    detail = f"the worst of {', '.join(f'{one.seconds:.2f}' for one in observed)} s"
    return Burst(
        (
            Result(targets.BURST, worst / (COUNT / QUOTA), detail),
            Result(targets.BURST_REFUSED, refused, f"the most of {', '.join(str(one.refused) for one in observed)}"),
        )
    )


def run_once(harness: Harness, instances: int, count: int = COUNT) -> Observed:
    """Send a burst within a second. Raises ValueError if a delivery is not verified in the end."""
    folder = Path(tempfile.mkdtemp(dir=harness.folder))
    with ExitStack() as running:
        account, url, bodies = running.enter_context(_account(count))
        settings = {"DOMAIN_API_RATE": str(QUOTA)}
        if instances > 1:
            redis = running.enter_context(RedisServer(folder))
            settings |= {"LEDGER_URL": redis.url, "LEDGER_KEY": LEDGER_KEY}
        bridges = [
            running.enter_context(servers.bridge(url, harness.bundle, folder / str(number), **settings)).target
            for number in range(instances)
        ]
        seconds = harness.senders.run(send_burst, bridges, bodies)
        account.send("count")
        return Observed(seconds, account.recv())


@contextmanager
def _account(count: int) -> Iterator[tuple[Connection, str, list[bytes]]]:
    """Run an emulated account in a separate process.

    Yields its pipe, its URL, and request bodies with the codes that it has sent.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve_account, args=(there, count))
    process.start()
    there.close()
    try:
        yield here, *here.recv()
    finally:
        here.close()
        process.join()


def _serve_account(pipe: Connection, count: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends Ctrl-C to this process, too
    with Emulator(rate=QUOTA) as emulator:
        emulator.delay = CALL_TIME
        for number in range(count):
            emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": f"187{number:08}"})
        codes = [(sent.contact[1], sent.code) for sent in emulator.domain.sent_codes()]
        pipe.send((emulator.url, [sample_payloads.build_body(contact, code, "phone") for contact, code in codes]))
        try:
            while pipe.recv():
                pipe.send(sum(call.result == "RequestLimitExceeded" for call in emulator.calls))
        except EOFError:  # the other end is closed
            pass


def send_burst(bridges: list[Target], bodies: list[bytes]) -> float:
    """Start all deliveries within a second and retry each until it is verified; return the seconds that this took."""

    async def send_all() -> None:
        await asyncio.gather(*(_send(bridges, number, body, len(bodies)) for number, body in enumerate(bodies)))

    started = time.monotonic()
    asyncio.run(send_all())
    return time.monotonic() - started


async def _send(bridges: list[Target], number: int, body: bytes, count: int) -> None:
    await asyncio.sleep(number / count)
    for attempt in itertools.count():
        target = bridges[(number + attempt) % len(bridges)]
        headers = senders.sign_headers(body, sender="standard", secret=load.SECRET, delivery_id=f"msg_{number}")
        line = await load.Line.open(target)
        response = await line.ask(line.request(body, headers | {"Connection": "close"}))
        line.close()
        if target.verified in response:
            return
        head, found, rest = response.partition(b"\r\nretry-after: ")
        if not found:
            raise ValueError(f"a delivery was not verified: {head.decode()}")
        await asyncio.sleep(float(rest.partition(b"\r\n")[0]))
