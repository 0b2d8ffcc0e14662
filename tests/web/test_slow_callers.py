"""Test that each slow or silent caller is disconnected at its budget, and that none blocks another."""

from __future__ import annotations

import json
import select
import socket
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from signup_emulator.server import Emulator
from tests.support.bridge.instances import gunicorn, post
from tests.support.bridge.signed_requests import body, signed
from tests.support.bridge.targets import Running
from tests.support.network.raw_requests import delivery_request

pytestmark = pytest.mark.usefixtures("fresh")


def test_silent_connections_do_not_block_others(tmp_path: Path) -> None:
    """There are more such connections than the worker has threads or accepts connections."""
    arguments = "--worker-connections 140 --threads 100"
    with (
        ExitStack() as open_still,
        Emulator(rate=0) as emulator,
        gunicorn(emulator.url, tmp_path / "log", GUNICORN_CMD_ARGS=arguments) as url,
    ):
        parts = urlsplit(url)
        for _ in range(200):
            open_still.enter_context(socket.create_connection((parts.hostname, parts.port or 80), timeout=10))
        assert requests.get(f"{url}/health", timeout=10).status_code == 200


def test_stalled_requests_are_cut_at_the_budget(running: Running, tmp_path: Path) -> None:
    with gunicorn(running.emulator.url, tmp_path / "log", CONCURRENCY=2, REQUEST_BUDGET=4) as url:
        parts = urlsplit(url)
        half = (b"POST / HTTP/1.1\r\nHo", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        stopped = [socket.create_connection((parts.hostname, parts.port or 80)) for _ in range(6)]
        try:
            for number, connection in enumerate(stopped):
                connection.sendall(half[number % 2])
            assert post(url, body()).json["code"] == "verified"
            assert_cut(stopped, tmp_path / "log")
        finally:
            for connection in stopped:
                connection.close()


def assert_cut(stopped: list[socket.socket], log: Path) -> None:
    """Check that the bridge ends each connection and logs no error."""
    for connection in stopped:
        connection.settimeout(10)
        while connection.recv(4096):
            pass
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["level"] for line in lines} == {"INFO"}


def test_early_connection_occupies_no_thread(running: Running, tmp_path: Path) -> None:
    """Its budget starts with its first byte, not with the connection."""
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=1, GUNICORN_CMD_ARGS="--threads 1") as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
            time.sleep(1.2)  # longer than the budget
            assert post(url, body(contact="10086")).json["code"] == "code-incorrect"
            connection.sendall(delivery_request())
            assert b"HTTP/1.1 200" in connection.recv(65_536)


@pytest.mark.parametrize(
    ("start", "response"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nX-Long: ", b""),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n", b"HTTP/1.1 503 "),
    ],
    ids=["head", "body"],
)
def test_dripping_request_is_cut_at_the_budget(running: Running, tmp_path: Path, start: bytes, response: bytes) -> None:
    """Each byte arrives in time, but the whole request does not."""
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=0.6) as url:
        parts = urlsplit(url)
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
            connection.sendall(start)
            while not select.select([connection], [], [], 0.05)[0]:
                connection.sendall(b"y")
            assert connection.recv(65_536).startswith(response)


def test_connection_that_the_caller_keeps_open_does_not_block_others(running: Running, tmp_path: Path) -> None:
    """gunicorn would wait for such a connection in its event loop."""
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=20) as url:
        parts = urlsplit(url)
        with ExitStack() as open_still:
            address = (parts.hostname, parts.port or 80)
            callers = [open_still.enter_context(socket.create_connection(address, timeout=60)) for _ in range(5)]
            for caller in callers:
                caller.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            for caller in callers:
                assert caller.recv(65_536).startswith(b"HTTP/1.1 200 OK\r\n")
            assert requests.get(f"{url}/health", timeout=60).status_code == 200


def test_budget_on_a_kept_connection_starts_with_the_request(running: Running, tmp_path: Path) -> None:
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=3) as url, requests.Session() as session:
        began = time.monotonic()
        while time.monotonic() - began < 3.2:  # a longer pause would return the connection to the event loop
            time.sleep(0.01)
            assert session.get(f"{url}/health", timeout=60).status_code == 200
        data = body()
        assert session.post(f"{url}/", data, headers=signed(data), timeout=60).json()["code"] == "verified"


def test_unread_responses_disconnect_the_caller(running: Running, tmp_path: Path) -> None:
    """They occupy the only thread until the budget has passed in the kernel."""
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=1, GUNICORN_CMD_ARGS="--threads 1") as url:
        parts = urlsplit(url)
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect((parts.hostname, parts.port or 80))
            connection.settimeout(60)
            request = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"
            with suppress(ConnectionError):
                while True:
                    connection.sendall(request * 100)
            assert requests.get(f"{url}/health", timeout=60).status_code == 200
