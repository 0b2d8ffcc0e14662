"""Measure what callers without a secret cost others: silent connections, and requests that arrive byte by byte.

Each round has a bridge of its own under gunicorn. docs/security.md has the figures.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import requests

from signup_emulator.server import Emulator
from tests.support.builders import body, gunicorn, signed

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
    """Send requests, a byte of each every half second."""
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


def deliver(url: str) -> None:
    data = body(contact="10086")
    assert requests.post(f"{url}/webhooks/signup", data, headers=signed(data), timeout=60).status_code == 422


def health(url: str) -> None:
    assert requests.get(f"{url}/health", timeout=60).ok


def seconds(work: Callable[[str], None], url: str, times: int) -> list[float]:
    """Return what each of several runs takes, one after the other, each on a connection of its own."""
    taken = []
    for _ in range(times):
        began = time.monotonic()
        work(url)
        taken.append(time.monotonic() - began)
    return taken


@contextmanager
def bridge() -> Iterator[str]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(rate=0) as emulator,
        gunicorn(emulator.url, Path(folder) / "log", MAX_WRONG_CODES=0, LOG_LEVEL="INFO") as url,
    ):
        deliver(url)
        yield url


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    found: dict[str, list[float]] = {"alone": [], "1,300 silent": [], "/health alone": [], "/health, 200 dripping": []}
    for _ in range(parser.parse_args().rounds):
        with bridge() as url:
            found["alone"] += seconds(deliver, url, 20)
            with silent(url, 1300):
                found["1,300 silent"] += seconds(deliver, url, 20)
        with bridge() as url:
            found["/health alone"] += seconds(health, url, 20)
            with dripping(url, 200):
                found["/health, 200 dripping"] += seconds(health, url, 1)
    for name, values in found.items():
        print(f"{name}: median {statistics.median(values):.3f} s, slowest {max(values):.3f} s of {len(values)}")
