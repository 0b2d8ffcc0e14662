"""Test that many concurrent deliveries from senders that retry are each verified once, despite crashes."""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from signup_bridge.core.actions import CREATE

from local_services.redis_server import RedisServer
from signup_emulator.api.calls import Call
from signup_emulator.server import Emulator
from tests.support.bridge.instances import gunicorn
from tests.support.bridge.signed_requests import body, signed

QUOTA = 20
"""Calls per second that the emulated account allows. It is the bridge's default."""

BRISK = 100
"""The same for tests that would otherwise mostly wait for the quota."""

DECIDED = ("OK", "InternalError.VerifyCodeErr", "InternalError.VerifiedPhoneEmailErr")
"""The results of calls for which the API checked the code."""

SENDER_TIMEOUT = 15.0
SENDER_PAUSE = 0.5
"""Seconds until a sender gives up a request, and until it retries without a Retry-After."""

SHARED_KEY = "a key of thirty-two bytes, or more"


@dataclass(frozen=True)
class SenderResponse:
    """A response that a sender stores."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def definitive(self) -> bool:
        return self.status == 200 or not json.loads(self.body)["retryable"]


@dataclass
class Sent:
    """A delivery with the same id and body in each attempt. ``response`` is its definitive response."""

    number: int
    contact: str
    data: bytes
    response: SenderResponse | None = None

    @property
    def delivery_id(self) -> str:
        return f"msg_{self.number}"


@dataclass
class Senders:
    """Senders that retry at the next bridge until they receive a definitive response."""

    urls: list[str]
    deliveries: list[Sent]
    path: str = "/webhooks/signup"
    outcomes: Counter[str] = field(default_factory=Counter)

    @property
    def requests(self) -> int:
        return self.outcomes.total()

    async def send_all(self, *, within: float = 0.0) -> float:
        """Send all deliveries, spread evenly over ``within`` seconds; return the seconds until the last one ended."""
        began = time.monotonic()
        step = within / len(self.deliveries)
        await asyncio.gather(*(self._send(one, after=n * step) for n, one in enumerate(self.deliveries)))
        return time.monotonic() - began

    async def send_all_again(self) -> None:
        """Send all deliveries again, and check that the responses are byte-identical."""
        places = asyncio.Semaphore(8)

        async def again(one: Sent) -> None:
            async with places:
                response = await self.post(one, self.urls[one.number % len(self.urls)])
            assert one.response is not None
            assert (response.status, response.body) == (one.response.status, one.response.body)
            assert response.headers["idempotent-replayed"] == "true"

        await asyncio.gather(*map(again, self.deliveries))

    async def _send(self, one: Sent, *, after: float) -> None:
        await asyncio.sleep(after)
        for attempt in itertools.count(one.number):
            try:
                response = await asyncio.wait_for(self.post(one, self.urls[attempt % len(self.urls)]), SENDER_TIMEOUT)
            except (OSError, EOFError, asyncio.TimeoutError):
                self.outcomes["nothing"] += 1
                await asyncio.sleep(SENDER_PAUSE)
                continue
            members = json.loads(response.body)
            self.outcomes[members.get("code", "verified")] += 1
            if response.definitive:
                one.response = response
                return
            await asyncio.sleep(float(response.headers.get("retry-after", SENDER_PAUSE)))

    async def post(self, one: Sent, url: str) -> SenderResponse:
        """Send one request on its own connection. Raises OSError or EOFError."""
        parts = urlsplit(url)
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            headers = signed(one.data, delivery_id=one.delivery_id) | {
                "Host": parts.netloc,
                "Connection": "close",
                "Content-Length": str(len(one.data)),
            }
            lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
            writer.write("\r\n".join(lines).encode() + one.data)
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *rest = head.strip().split("\r\n")
            fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
            return SenderResponse(
                int(first.split()[1]), fields, await reader.readexactly(int(fields["content-length"]))
            )
        finally:
            writer.close()


class Account:
    """An emulated account in a separate process, so that this process does not delay its calls.

    ``deliveries`` has a delivery for each of a number of contacts, with the code that was sent to the contact.
    """

    def __init__(self, deliveries: int, *, quota: int, delay: float = 0.0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve_account, args=(theirs, deliveries, quota, delay))
        self._process.start()
        self.url: str
        self.deliveries: list[Sent]
        self.url, self.deliveries = self._pipe.recv()

    @property
    def calls(self) -> list[Call]:
        self._pipe.send("calls")
        calls: list[Call] = self._pipe.recv()
        return calls

    def __enter__(self) -> Account:  # noqa: PYI034  typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send(None)
        self._process.join(20)
        self._process.close()
        self._pipe.close()


def serve_account(pipe: Connection, deliveries: int, quota: int, delay: float) -> None:
    with Emulator(rate=quota) as emulator:
        emulator.delay = delay
        pipe.send((emulator.url, sent_codes(emulator, deliveries)))
        while pipe.recv():
            pipe.send(emulator.calls)


def sent_codes(emulator: Emulator, count: int) -> list[Sent]:
    """Send codes to a number of contacts; return a delivery for each."""
    contacts = [f"187{number:08}" for number in range(count)]
    for contact in contacts:
        emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": contact})
    codes = {one.contact[1]: one.code for one in emulator.domain.sent_codes()}
    return [Sent(n, one, body(contact=one, verify_code=codes[one])) for n, one in enumerate(contacts)]


def assert_each_verified_once(senders: Senders, calls: list[Call]) -> None:
    """Check that every sender received "verified", and that the API decided and accepted one call for each contact."""
    statuses = Counter(one.response.status for one in senders.deliveries if one.response)
    assert statuses == {200: len(senders.deliveries)}, senders.outcomes
    decided = Counter((call.contact, call.result) for call in calls if call.action == CREATE and call.result in DECIDED)
    assert decided == {(one.contact, "OK"): 1 for one in senders.deliveries}


def master_of(folder: Path) -> int:
    return int((folder / "pid").read_text())


def workers_of(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


async def kill_worker(master: int, emulator: Emulator, *, after_calls: int) -> None:
    """Kill the worker with SIGKILL once ``after_calls`` more calls were made and another one is in progress."""
    wanted = len(emulator.calls) + after_calls
    while len(emulator.calls) < wanted:
        await asyncio.sleep(0.005)
    emulator.delay = 3600.0  # from here on, a call is in progress until its worker is killed
    before = len(emulator.calls)
    while len(emulator.calls) == before:
        await asyncio.sleep(0.005)
    (worker,) = workers_of(master)
    os.kill(worker, signal.SIGKILL)
    emulator.close_connections()
    emulator.delay = 0.0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the worker's process is read from /proc")
def test_killed_worker_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Two crashes can use up both calls of a delivery and leave it unresolved, so that each meets only one here."""
    changed = {"REQUEST_BUDGET": 2, "GUNICORN_CMD_ARGS": f"--pid {tmp_path / 'pid'}"}
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, tmp_path / "log", **changed) as url:
        senders = Senders([url], sent_codes(emulator, 200))

        async def run() -> None:
            for first in range(0, len(senders.deliveries), 67):
                batch = replace(senders, deliveries=senders.deliveries[first : first + 67])
                killing = asyncio.create_task(kill_worker(master_of(tmp_path), emulator, after_calls=20))
                await batch.send_all()
                await killing

        asyncio.run(run())
        assert_each_verified_once(senders, emulator.calls)
        assert senders.outcomes["nothing"] > 0
        asyncio.run(senders.send_all_again())


@pytest.mark.parametrize("shared", [True, False], ids=["two instances on a Redis", "one instance on SQLite"])
def test_burst_is_verified(redis_server: RedisServer, tmp_path: Path, shared: bool) -> None:
    """`make bench` measures the rate on an idle machine, and that the API rejects no call."""
    changed: dict[str, object] = {"DOMAIN_API_RATE": BRISK}
    if shared:
        changed |= {"LEDGER_URL": redis_server.url, "LEDGER_KEY": SHARED_KEY}
    with Account(100, quota=BRISK) as account, ExitStack() as running:
        urls = [running.enter_context(gunicorn(account.url, tmp_path / str(n), **changed)) for n in range(1 + shared)]
        senders = Senders(urls, account.deliveries)
        asyncio.run(senders.send_all())
        assert_each_verified_once(senders, account.calls)
        asyncio.run(senders.send_all_again())


def test_restarted_redis_loses_and_doubles_nothing(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server, Account(150, quota=BRISK, delay=0.1) as account, ExitStack() as running:
        changed = {"DOMAIN_API_RATE": BRISK, "LEDGER_URL": server.url, "LEDGER_KEY": SHARED_KEY}
        urls = [running.enter_context(gunicorn(account.url, tmp_path / f"log {n}", **changed)) for n in range(2)]
        senders = Senders(urls, account.deliveries)

        async def restart() -> None:
            while len(account.calls) < 60:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(server.stop)
            while not senders.outcomes["ledger-unavailable"]:
                await asyncio.sleep(0.05)
            await asyncio.to_thread(server.start)

        async def run() -> None:
            await asyncio.gather(restart(), senders.send_all())

        asyncio.run(run())

        assert_each_verified_once(senders, account.calls)
        asyncio.run(senders.send_all_again())


def test_fifty_concurrent_redeliveries_make_one_call(tmp_path: Path) -> None:
    with Emulator(rate=QUOTA) as emulator, gunicorn(emulator.url, tmp_path / "log", DOMAIN_API_RATE=QUOTA) as url:
        emulator.delay = 0.5
        (one,) = sent_codes(emulator, 1)
        senders = Senders([url], [one])

        async def run() -> list[SenderResponse]:
            return await asyncio.gather(*(senders.post(one, url) for _ in range(50)))

        responses = asyncio.run(run())

        assert {(each.status, each.body) for each in responses} == {(200, responses[0].body)}
        assert [(call.action, call.result) for call in emulator.calls] == [(CREATE, "OK")]
        assert sum("idempotent-replayed" in each.headers for each in responses) == 49
