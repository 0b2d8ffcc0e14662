"""The same scenario for real: a bridge under gunicorn, the emulated account and the senders in processes of their own.

In comes a scenario, out comes what was seen, as the simulation tells it. The senders' rules are the simulated ones'.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from signup_bridge.core.outcomes import VERIFIED

from bench.processes import worker_of
from bench.simulation.run import Scenario, Seen, code_of
from signup_emulator.server import Emulator
from tests.support.builders import Answer, body, gunicorn, signed
from tests.support.redis_server import RedisServer

SHARED_KEY = "a key of thirty-two bytes, or more"


class Part(NamedTuple):
    """A process of its own, that is asked and answers."""

    pipe: Connection

    def ask(self, question: Any) -> Any:
        self.pipe.send(question)
        return self.pipe.recv()


@contextmanager
def apart(work: Any, *arguments: Any) -> Iterator[Part]:
    """``work``, until it is asked for nothing more. Who asks one that has died is told by EOFError or OSError."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_work, args=(work, there, *arguments))
    process.start()
    there.close()
    try:
        yield Part(here)
    finally:
        with suppress(OSError):  # it has died
            here.send(None)
        process.join(20)
        process.kill()  # one that still goes on
        process.join()
        process.close()
        here.close()


def _work(work: Any, *arguments: Any) -> None:
    """It ends when it is told to: Ctrl-C in the terminal reaches it, too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    work(*arguments)


def account(pipe: Connection, quota: int, latency: float, count: int) -> None:
    """The emulated account: it tells its URL, the deliveries' bodies, and each call's time and result."""
    with Emulator(rate=quota) as emulator:
        emulator.delay = latency
        contacts = [f"187{number:08}" for number in range(count)]
        for contact in contacts:
            emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": contact})
        codes = {one.contact[1]: one.code for one in emulator.domain.sent_codes()}
        bodies = [body(contact=one, verify_code=codes[one]) for one in contacts]
        while pipe.recv():
            pipe.send((emulator.url, bodies, [(call.at, call.result) for call in emulator.calls]))


def senders(pipe: Connection, scenario: Scenario) -> None:
    """All senders of a scenario: they are told the URLs and the bodies, and tell when they began and what they saw."""
    while told := pipe.recv():
        pipe.send(asyncio.run(_send_all(scenario, *told)))


async def _send_all(scenario: Scenario, urls: list[str], bodies: list[bytes]) -> tuple[float, Seen]:
    seen, step = Seen(), scenario.within / len(bodies)
    began, wall = time.monotonic(), time.time()
    crowd = _Crowd(scenario, urls, began, seen)
    await asyncio.gather(*(crowd.send(n, n * step, data) for n, data in enumerate(bodies)))
    return wall, seen


class _Crowd(NamedTuple):
    """The senders, whose clock began to run at ``began``."""

    scenario: Scenario
    urls: list[str]
    began: float
    seen: Seen

    async def send(self, number: int, after: float, data: bytes) -> None:
        """Follows `run._send`."""
        sender, seen, attempt = self.scenario.sender, self.seen, 0
        await asyncio.sleep(after)
        first = time.monotonic()
        seen.began[number] = first - self.began
        while True:
            answer = await _post(self.urls[(number + attempt) % len(self.urls)], number, data)
            now = time.monotonic()
            in_time = now - first < sender.patience
            code = code_of(answer) if in_time else "nothing"
            seen.heard[code] += 1
            if code == VERIFIED.code:
                seen.verified[number] = now - self.began
            wait = sender.again(answer, attempt) if in_time else None
            if wait is None:
                seen.ended[number] = code
                return
            attempt += 1
            await asyncio.sleep(wait)


async def _post(url: str, number: int, data: bytes) -> Answer:
    """One request on a connection of its own."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        length = {"Host": parts.netloc, "Connection": "close", "Content-Length": str(len(data))}
        headers = signed(data, delivery_id=f"msg_{number}") | length
        lines = ["POST /webhooks/signup HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        writer.write("\r\n".join(lines).encode() + data)
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
        told = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
        return Answer(int(first.split()[1]), told, await reader.readexactly(int(told["content-length"])))
    finally:
        writer.close()


class Measured(NamedTuple):
    """What was seen, the processor seconds of the bridge's workers and of Redis, and what others had of the machine."""

    seen: Seen
    worked: float
    redis: float
    others: float


def measure(scenario: Scenario) -> Measured:
    setup = scenario.setup
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="real-")))
        api = running.enter_context(apart(account, setup.quota, setup.latency, scenario.deliveries))
        crowd = running.enter_context(apart(senders, scenario))
        url, bodies, _ = api.ask("begin")
        settings: dict[str, Any] = {
            "DOMAIN_API_RATE": setup.quota,
            "CONCURRENCY": setup.concurrency,
            "REQUEST_BUDGET": setup.budget,
            "SENDER_PROFILE": setup.profile,
            "LOG_LEVEL": "INFO",
        }
        redis = []
        if setup.instances > 1:
            server = running.enter_context(RedisServer(folder))
            settings |= {"LEDGER_URL": server.url, "LEDGER_KEY": SHARED_KEY}
            redis.append(server.process.pid)
        workers, urls = [], []
        for number in range(setup.instances):
            pid = folder / f"pid {number}"
            arguments = {"GUNICORN_CMD_ARGS": f"--pid '{pid}'"}
            urls.append(running.enter_context(gunicorn(url, folder / f"log {number}", **settings, **arguments)))
            workers.append(worker_of(int(pid.read_text())))
        before = Usage.now(workers, redis)
        wall, seen = crowd.ask((urls, bodies))
        used = Usage.now(workers, redis).since(before)
        calls = api.ask("calls")[2]
    seen.calls = [at - wall for at, _ in calls]
    seen.refused = sum(result == "RequestLimitExceeded" for _, result in calls)
    return Measured(seen, used.bridge, used.redis, used.others)


class Usage(NamedTuple):
    """Processor seconds until now: of the bridge's workers, of Redis, of all our processes, of the whole machine."""

    bridge: float
    redis: float
    ours: float
    machine: float
    clock: float

    @classmethod
    def now(cls, workers: list[int], redis: list[int]) -> Usage:
        group = os.getpgrp()
        processes = {int(path.name): _stat(path) for path in Path("/proc").glob("[0-9]*")}
        ours = sum(seconds for of, seconds in processes.values() if of == group)
        user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:])
        machine = (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
        of_workers, of_redis = (sum(processes[pid][1] for pid in pids) for pids in (workers, redis))
        return cls(of_workers, of_redis, ours, machine, time.monotonic())

    @property
    def others(self) -> float:
        """The share of the machine that was not ours."""
        return max(0.0, (self.machine - self.ours) / (self.clock * (os.cpu_count() or 1)))

    def since(self, before: Usage) -> Usage:
        return Usage(*(now - then for now, then in zip(self, before, strict=True)))


def wait_for_quiet(share: float, seconds: float) -> None:
    """Until others take less than such a share of the machine, so many seconds at most."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        before = Usage.now([], [])
        time.sleep(1.0)
        if Usage.now([], []).since(before).others < share:
            return


def _stat(process: Path) -> tuple[int, float]:
    """A process's group, and its processor seconds so far; it may be gone."""
    try:
        fields = (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0, 0.0
    return int(fields[2]), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
