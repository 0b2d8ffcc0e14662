"""Test gunicorn and its worker: malformed HTTP, slow and silent callers, freezes and queues."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
import requests
from signup_bridge.telemetry.logs import JsonFormatter
from signup_bridge.web.gunicorn_worker import Worker

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.instances import gunicorn, post
from tests.support.bridge.signed_requests import body
from tests.support.bridge.targets import Running
from tests.support.network.raw_requests import delivery_request, read_response

pytestmark = pytest.mark.usefixtures("fresh")


def test_handle_error_of_an_unexpected_exception_reveals_nothing(caplog: pytest.LogCaptureFixture) -> None:
    here, there = socket.socketpair()
    with here, there:
        Worker.handle_error(object.__new__(Worker), None, here, ("", 0), RuntimeError("secret-of-somebody"))
        received = there.recv(65_536)
    assert received.startswith(b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\n")
    assert json.loads(received.partition(b"\r\n\r\n")[2])["code"] == "internal-error"
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert "secret-of-somebody" not in "".join(lines)
    assert f"\r\nX-Request-Id: {json.loads(lines[0])['request_id']}\r\n".encode() in received
    Worker.handle_error(object.__new__(Worker), None, here, ("", 0), RuntimeError("the caller has gone"))


def test_proxy_headers_from_loopback_are_ignored(running: Running) -> None:
    forged = {"SCRIPT_NAME": "/x", "X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off", "PATH_INFO": "/x"}
    assert requests.get(f"{running.url}/health", headers=forged, timeout=60).status_code == 200


@pytest.mark.parametrize("used", [False, True], ids=["new", "kept"])
def test_request_during_a_freeze_is_served(tmp_path: Path, used: bool) -> None:
    """When the worker continues, the connection has expired but has a request."""
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, tmp_path / "log", KEEP_ALIVE=1) as url:
        parts = urlsplit(url)
        worker_id = worker_of(parts.port or 80)
        with socket.create_connection((parts.hostname, parts.port or 80), timeout=10) as connection:
            if used:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                assert read_status(connection) == 200
            time.sleep(0.2)  # until the event loop has the connection
            os.kill(worker_id, signal.SIGSTOP)
            try:
                time.sleep(1.5)
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            finally:
                os.kill(worker_id, signal.SIGCONT)
            assert read_status(connection) == 200


def read_status(connection: socket.socket) -> int:
    """Read a whole response, which gunicorn sends in two parts."""
    response = HTTPResponse(connection)
    response.begin()
    response.read()
    return response.status


def test_one_process_serves_on_scf(running: Running, tmp_path: Path) -> None:
    running.emulator.faults.arm(Fault("hang"))
    settings = {"TENCENTCLOUD_RUNENV": "SCF", "REQUEST_BUDGET": 20}
    with gunicorn(running.emulator.url, tmp_path / "log", **settings) as url, ThreadPoolExecutor(1) as pool:
        response = pool.submit(post, url, body())
        while not running.emulator.calls:
            time.sleep(0.02)
        (process_id,) = listeners(urlsplit(url).port or 80)
        os.kill(process_id, signal.SIGTERM)
        time.sleep(0.5)
        running.emulator.close_connections()
        assert response.result().json["code"] == "outcome-unknown"
        while is_running(process_id):
            time.sleep(0.02)


def is_running(process_id: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2][0] != "Z"
    return False


def worker_of(port: int) -> int:
    """Return the process id of the worker that listens on a port, the child of the two processes."""
    owners = listeners(port)
    return next(one for one in owners if parent_of(one) in owners)


def listeners(port: int) -> set[int]:
    """Return the ids of the processes that listen on a port."""
    inodes = {
        line.split()[9] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]
        if int(line.split()[1].rpartition(":")[2], 16) == port and line.split()[3] == "0A"
    }  # fmt: skip
    owners = set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if os.readlink(link) in {f"socket:[{inode}]" for inode in inodes}:
                owners.add(int(link.parts[2]))
    return owners


def parent_of(process_id: int) -> int:
    return int(Path(f"/proc/{process_id}/stat").read_text().rpartition(") ")[2].split()[1])


def test_health_responds_while_all_deliveries_wait(running: Running, tmp_path: Path) -> None:
    running.emulator.faults.arm(Fault("hang", times=2))
    with gunicorn(running.emulator.url, tmp_path / "log", CONCURRENCY=2, REQUEST_BUDGET=20) as url:
        waiting = [threading.Thread(target=post, args=(url, body(contact=f"{n:09}"))) for n in range(2)]
        for thread in waiting:
            thread.start()
        while len(running.emulator.calls) < 2:
            time.sleep(0.02)
        assert requests.get(f"{url}/health", timeout=60).status_code == 200
        running.emulator.close_connections()
        for thread in waiting:
            thread.join()


def test_graceful_stop_completes_the_requests_in_progress(running: Running, tmp_path: Path) -> None:
    running.emulator.faults.arm(Fault("hang"))
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=20) as url, ThreadPoolExecutor(1) as pool:
        response = pool.submit(post, url, body())
        while not running.emulator.calls:
            time.sleep(0.02)
        worker_id = worker_of(urlsplit(url).port or 80)
        os.kill(parent_of(worker_id), signal.SIGTERM)
        while "Handling signal: term" not in (tmp_path / "log").read_text():
            time.sleep(0.02)
        running.emulator.close_connections()
        assert response.result().json["code"] == "outcome-unknown"


def test_pipelined_requests_are_served_in_order(running: Running) -> None:
    question = b"GET /health HTTP/1.1\r\nHost: x\r\n"
    *first, last = (part.split(b"\r\n") for part in responses_to(running.url, (question + b"\r\n") * 9 + question))
    assert [part[0] for part in first] == [b" 200 OK"] * 9
    assert (last[0], b"Connection: close" in last) == (b" 200 OK", True)


def responses_to(url: str, questions: bytes) -> list[bytes]:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(questions + b"Connection: close\r\n\r\n")
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
    return received.split(b"HTTP/1.1")[1:]


def test_busy_kept_connection_shares_the_only_thread(running: Running, tmp_path: Path) -> None:
    """Other requests are served although this connection always has another request."""
    with gunicorn(running.emulator.url, tmp_path / "log", GUNICORN_CMD_ARGS="--threads 1") as url:
        over = threading.Event()

        def ask_on_and_on() -> None:
            with requests.Session() as session:
                while not over.is_set():
                    session.get(f"{url}/health", timeout=60)

        asking = threading.Thread(target=ask_on_and_on)
        asking.start()
        try:
            for _ in range(5):
                assert requests.get(f"{url}/health", timeout=60).status_code == 200
        finally:
            over.set()
            asking.join()


def test_request_queued_too_long_is_rejected(running: Running, tmp_path: Path) -> None:
    """The only thread reads an incomplete request while another one waits for three quarters of the budget."""
    with gunicorn(running.emulator.url, tmp_path / "log", REQUEST_BUDGET=4, GUNICORN_CMD_ARGS="--threads 1") as url:
        parts = urlsplit(url)
        address = (parts.hostname, parts.port or 80)
        with (
            socket.create_connection(address, timeout=60) as first,
            socket.create_connection(address, timeout=60) as second,
        ):
            first.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n")
            second.sendall(delivery_request())
            time.sleep(3.1)
            first.sendall(b"\r\n")
            status, _, document = read_response(second)
        assert (status, json.loads(document)["code"]) == (503, "overloaded")
        assert not running.emulator.calls


@dataclass(eq=False)
class Connection:
    sock: socket.socket


@pytest.mark.parametrize(
    ("data", "alive", "connections", "expected"),
    [(b"P", True, 3, True), (b"", True, 3, False), (b"P", False, 3, False), (b"P", True, 4, False)],
)
def test_has_next_request_only_if_it_is_here_and_a_thread_is_left_for_others(
    data: bytes, alive: bool, connections: int, expected: bool
) -> None:
    caller, accepted = socket.socketpair()
    worker = object.__new__(Worker)
    worker.alive, worker.nr_conns, worker.cfg = alive, connections, SimpleNamespace(threads=4)
    with caller, accepted:
        caller.sendall(data)
        assert [worker.has_next_request(Connection(accepted)) for _ in range(2)] == [expected] * 2


def test_expired_read_ends_once() -> None:
    """A deadline that is not removed would keep the event loop busy until the response."""
    caller, accepted = socket.socketpair()
    late, early = Connection(accepted), Connection(caller)
    worker = object.__new__(Worker)
    worker.read_deadlines = {late: 10.0, early: 20.0}
    with caller, accepted:
        worker.end_expired_reads(15.0)
        assert worker.read_deadlines == {early: 20.0}
        assert accepted.recv(1) == b""
        accepted.sendall(b"the response")
        assert caller.recv(100) == b"the response"
