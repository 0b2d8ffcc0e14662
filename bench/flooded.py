"""Measure how callers without a secret slow down others: silent connections, and requests sent byte by byte.

Each round starts its own bridge under gunicorn. docs/explanation/security.md has the figures.
"""

from __future__ import annotations

import argparse
import math
import socket
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import certifi
import requests

from bench import servers
from bench.load import SECRET
from signup_emulator.server import Emulator
from signup_toolkit import sample_payloads, senders

HEAD = b"POST /webhooks/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n"


@contextmanager
def silent(url: str, count: int) -> Iterator[None]:
    """Keep connections open that send nothing."""
    with ExitStack() as connections:
        for _ in range(count):
            connections.enter_context(connect(url))
        yield


@contextmanager
def dripping(url: str, count: int) -> Iterator[None]:
    """Send requests at one byte every half second."""
    over = threading.Event()

    def drip() -> None:
        for byte in HEAD + b" " * 200:
            for connection in connections:
                with suppress(OSError):
                    connection.send(bytes((byte,)))
            if over.wait(0.5):
                return

    with ExitStack() as opened:
        connections = [opened.enter_context(connect(url)) for _ in range(count)]
        thread = threading.Thread(target=drip)
        thread.start()
        time.sleep(1)
        yield
        over.set()
        thread.join()


def connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=60)


def deliver(url: str) -> int:
    body = sample_payloads.build_body("10086", "123456", "phone")
    headers = senders.sign_headers(body, sender="standard", secret=SECRET)
    return requests.post(f"{url}/webhooks/signup", body, headers=headers, timeout=120).status_code


def health(url: str) -> int:
    return requests.get(f"{url}/health", timeout=120).status_code


class Times:
    """The durations in seconds and the statuses of requests of one kind."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seconds: list[float] = []
        self.statuses: Counter[int] = Counter()

    def measure(self, send: Callable[[str], int], url: str, times: int = 1) -> None:
        """Send requests one after the other, each on its own connection."""
        for _ in range(times):
            started = time.monotonic()
            status = send(url)
            self.seconds.append(time.monotonic() - started)
            self.statuses[status] += 1

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        p99 = ordered[math.ceil(len(ordered) * 0.99) - 1]
        return (
            f"{self.name}: median {statistics.median(ordered):.3f} s, p99 {p99:.3f} s, slowest {ordered[-1]:.3f} s of "
            f"{len(ordered)}; statuses {dict(self.statuses)}"
        )


@contextmanager
def bridge() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(rate=0) as emulator,
        servers.bridge(
            emulator.url, Path(certifi.where()), Path(folder), MAX_WRONG_CODES="0", LOG_LEVEL="INFO"
        ) as running,
    ):
        url = f"http://127.0.0.1:{running.target.port}"
        deliver(url)
        yield url


def main(rounds: int, requests_per_round: int = 20) -> None:
    names = ("alone", "1,300 silent", "200 dripping")
    deliveries = {name: Times(f"delivery, {name}") for name in names}
    healths = {name: Times(f"/health, {name}") for name in names}

    def measure(name: str, url: str, times: int) -> None:
        """Measure deliveries and health checks at the same time."""
        other = threading.Thread(target=healths[name].measure, args=(health, url, times))
        other.start()
        deliveries[name].measure(deliver, url, times)
        other.join()

    for _ in range(rounds):
        with bridge() as url:
            measure("alone", url, requests_per_round)
            with silent(url, 1300):
                measure("1,300 silent", url, requests_per_round)
        with bridge() as url, dripping(url, 200):
            measure("200 dripping", url, 1)
    print(*deliveries.values(), *healths.values(), sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args().rounds)
