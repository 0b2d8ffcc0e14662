"""Run the senders in a process of their own, at full speed or at a rate.

All peers receive the same signed requests. An unexpected response ends the run, because its time means nothing.
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
    """A server, the text in its response to a first delivery, and the CA ``bundle`` if it speaks TLS."""

    port: int
    path: str = "/"
    method: str = "POST"
    verified: bytes = b'"RequestId"'
    bundle: Path | None = None


class Sample(NamedTuple):
    """The measured requests: the seconds that they took in total, and the seconds of each."""

    seconds: float
    each: tuple[float, ...]

    @property
    def rate(self) -> float:
        """Requests a second."""
        return len(self.each) / self.seconds


class Senders:
    """The process."""

    def __init__(self, pool: ProcessPoolExecutor) -> None:
        self._pool = pool

    def run(self, what: Callable[..., Any], *arguments: Any) -> Any:
        """Run one of the functions below there; its result."""
        return self._pool.submit(what, *arguments).result()


@contextmanager
def process() -> Iterator[Senders]:
    # The process ignores Ctrl-C. It ends with its last task, when no server responds any more.
    spawn, ignored = multiprocessing.get_context("spawn"), (signal.SIGINT, signal.SIG_IGN)
    with ProcessPoolExecutor(1, mp_context=spawn, initializer=signal.signal, initargs=ignored) as pool:
        yield Senders(pool)


# -- what is sent --


def first(_: int) -> tuple[bytes, dict[str, str]]:
    """A new delivery of a new contact: its body and headers."""
    body = sample_payloads.build_body(f"{random.randrange(10**14):014}", "123456", "phone")
    return body, senders.sign_headers(body, sender="standard", secret=SECRET)


def refused(_: int) -> tuple[bytes, dict[str, str]]:
    """The same with a signature that is another's."""
    body, headers = first(0)
    signature = senders.sign_headers(body + b" ", sender="standard", secret=SECRET)["webhook-signature"]
    return body, headers | {"webhook-signature": signature}


def again(number: int) -> tuple[bytes, dict[str, str]]:
    """Return a delivery that was sent before, one of `AGAIN`, with a new signature."""
    body = sample_payloads.build_body(f"{number % AGAIN + 10**13:014}", "123456", "phone")
    delivery_id = f"msg_{number % AGAIN}"
    return body, senders.sign_headers(body, sender="standard", secret=SECRET, delivery_id=delivery_id)


def nothing(_: int) -> tuple[bytes, dict[str, str]]:
    """A question without a body."""
    return b"", {}


AGAIN = 500
KINDS: dict[str, tuple[Callable[[int], tuple[bytes, dict[str, str]]], bytes | None]] = {
    "first": (first, None),
    "refused": (refused, b'"signature-invalid"'),
    "before": (again, None),
    "again": (again, b"\r\nidempotent-replayed: true\r\n"),
    "nothing": (nothing, b'"ok"'),
}
"""The builder of each kind, and the text in its response if it is not that of a first delivery."""


# -- how --


def closed(target: Target, kind: str, seconds: float, connections: int) -> Sample:
    """Send the next request on each connection after the last response."""
    end = time.monotonic() + seconds
    return _run(target, kind, connections, lambda _: time.monotonic() < end)


def counted(target: Target, kind: str, count: int, connections: int) -> Sample:
    """The same for a number of requests."""
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
    """Send first deliveries at a fixed rate. Each is timed from the moment it was due."""

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
        raise ValueError(f"not what was to be measured: {response.decode()}")


class Line:
    """A connection that is kept alive."""

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
