"""Run the senders in a separate process, at full speed or at a fixed rate.

All peers receive the same signed requests. An unexpected response ends the run, because its duration is meaningless.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import multiprocessing
import random
import signal
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from signup_toolkit import sample_payloads, senders

SECRET = "whsec_" + base64.b64encode(b"the benchmarks of signup-bridge").decode()


class Target(NamedTuple):
    """A server. ``verified`` is part of its response to a first delivery; ``bundle`` is its CA if it uses TLS."""

    port: int
    path: str = "/"
    method: str = "POST"
    verified: bytes = b'"RequestId"'
    bundle: Path | None = None


class Sample(NamedTuple):
    """The measured requests: their total duration in seconds, and the duration of each."""

    seconds: float
    each: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Return the requests per second."""
        return len(self.each) / self.seconds


class Senders:
    """The process that sends the requests."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Run one of the functions below in the process; return its result."""
        return self._pool.submit(what, *arguments).result()


@contextmanager
def process() -> Iterator[Senders]:
    # The process ignores Ctrl-C. It ends with its last task, which fails when the servers stop.
    spawn, ignored = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=signal.signal, initargs=ignored) as pool:
        yield Senders(pool)


# -- requests --


def first(_: int) -> tuple[bytes, dict[str, str]]:
    """Return body and headers of a new delivery for a new contact."""
    body = sample_payloads.build_body(f"{random.randrange(10**14):014}", "123456", "phone")
    return body, senders.sign_headers(body, sender="standard", secret=SECRET)


def refused(_: int) -> tuple[bytes, dict[str, str]]:
    """Return the same with the signature of another body."""
    body, headers = first(0)
    signature = senders.sign_headers(body + b" ", sender="standard", secret=SECRET)["webhook-signature"]
    return body, headers | {"webhook-signature": signature}


def again(number: int) -> tuple[bytes, dict[str, str]]:
    """Return one of `AGAIN` deliveries that were sent before, with a new signature."""
    body = sample_payloads.build_body(f"{number % AGAIN + 10**13:014}", "123456", "phone")
    delivery_id = f"msg_{number % AGAIN}"
    return body, senders.sign_headers(body, sender="standard", secret=SECRET, delivery_id=delivery_id)


def nothing(_: int) -> tuple[bytes, dict[str, str]]:
    """Return an empty request."""
    return b"", {}


AGAIN = 500
KINDS: dict[str, tuple[Callable[[int], tuple[bytes, dict[str, str]]], bytes | None]] = {
    "first": (first, None),
    "refused": (refused, b'"signature-invalid"'),
    "before": (again, None),
    "again": (again, b"\r\nidempotent-replayed: true\r\n"),
    "nothing": (nothing, b'"ok"'),
}
"""The builder of each kind, and part of its response if that differs from a first delivery's."""


# -- sending --


def closed(target: Target, kind: str, seconds: float, connections: int) -> Sample:
    """Send requests for some seconds; each connection sends the next one after the previous response."""
    end = time.monotonic() + seconds
    return _run(target, kind, connections, lambda _: time.monotonic() < end)


def counted(target: Target, kind: str, count: int, connections: int) -> Sample:
    """Send a number of requests in the same way."""
    return _run(target, kind, connections, lambda number: number < count)


def _run(target: Target, kind: str, connections: int, goes_on: Callable[[int], bool]) -> Sample:
    make, expected = KINDS[kind]
    numbers = itertools.count()
    each: list[float] = []

    async def send() -> None:
        line = await Line.open(target)
        while goes_on(number := next(numbers)):
            request = line.request(*make(number))
            began = time.perf_counter()
            response = await line.ask(request)
            each.append(time.perf_counter() - began)
            _check(response, expected or target.verified)
        line.close()

    async def all_of_them() -> None:
        await asyncio.gather(*(send() for _ in range(connections)))

    began = time.perf_counter()
    asyncio.run(all_of_them())
    return Sample(time.perf_counter() - began, tuple(each))


def at_a_rate(target: Target, rate: float, seconds: float) -> Sample:
    """Send first deliveries at a fixed rate. The duration of each begins when it was due."""

    async def send() -> list[float]:
        free: asyncio.Queue[Line] = asyncio.Queue()
        for _ in range(int(rate) + 1):
            free.put_nowait(await Line.open(target))
        each: list[float] = []
        began = time.perf_counter()

        async def one(number: int) -> None:
            body, headers = first(number)
            due = began + number / rate
            await asyncio.sleep(due - time.perf_counter())
            line = await free.get()
            response = await line.ask(line.request(body, headers))
            each.append(time.perf_counter() - due)
            _check(response, target.verified)
            free.put_nowait(line)

        await asyncio.gather(*(one(number) for number in range(int(rate * seconds))))
        while not free.empty():
            free.get_nowait().close()
        return each

    return Sample(seconds, tuple(asyncio.run(send())))


def _check(response: bytes, expected: bytes) -> None:
    if expected not in response:
        raise ValueError(f"unexpected response: {response.decode()}")


class Line:
    """A persistent connection."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, target: Target) -> Line:
        tls = ssl.create_default_context(cafile=target.bundle) if target.bundle else None
        return cls(target, *await asyncio.open_connection("127.0.0.1", target.port, ssl=tls))

    def request(self, body: bytes, headers: dict[str, str]) -> bytes:
        lines = [f"{self._target.method} {self._target.path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def ask(self, request: bytes) -> bytes:
        """Send a request and return the response, with its head in lower case."""
        self._writer.write(request)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return head + await self._reader.readexactly(length)

    def close(self) -> None:
        self._writer.close()
