"""Test that one thread at a time computes, and that a waiting thread does not hold the lock."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any

import pytest
from signup_bridge.core import clock
from signup_bridge.core.clock import CpuLock, Deadline, SystemClock, cpu_lock
from signup_bridge.ledger.redis.connections import RedisConnection, parse_server
from signup_bridge.service.admission import ConcurrencyLimiter
from signup_bridge.upstream.client import DomainApi
from signup_bridge.upstream.reply import Reply
from signup_bridge.web.gunicorn_worker import has_whole_request

from local_services.certificates import Tls
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.lock_app import hold
from tests.support.network.api_calls import call, succeed
from tests.support.network.upstream import Upstream
from tests.support.network.wires import serving

BUDGET = 20.0
"""Seconds after which a wait has failed. No wait of a passing test takes that long."""


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no thread give up waiting for the lock, even on a busy machine."""
    monkeypatch.setattr(clock, "MAX_LOCK_WAIT", 60.0)


def is_free(lock: CpuLock) -> bool:
    with lock.held() as acquired:
        return acquired


def in_another_thread(function: Callable[[], bool]) -> bool:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_cpu_lock_is_exclusive_until_it_is_released() -> None:
    lock = CpuLock()
    with lock.held() as acquired:
        assert acquired
        assert not in_another_thread(lambda: is_free(lock))
        with lock.released():
            assert in_another_thread(lambda: is_free(lock))
        assert not in_another_thread(lambda: is_free(lock))
    assert in_another_thread(lambda: is_free(lock))


def test_holder_that_hangs_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lock = CpuLock()
    with lock.held():
        assert not in_another_thread(lambda: is_free(lock))
        monkeypatch.setattr(clock, "MAX_LOCK_WAIT", 3600.0)  # longer than the time limit of a test
        for _ in range(3):
            assert not in_another_thread(lambda: is_free(lock))
    with lock.held(), ThreadPoolExecutor(1) as pool:  # another thread waits for the next holder
        other = pool.submit(is_free, lock)
        assert not other.done()
        with lock.released():
            assert other.result()


def test_cpu_lock_is_released_after_an_error() -> None:
    lock = CpuLock()
    for block in (lock.released, lock.held):
        with pytest.raises(ZeroDivisionError), lock.held(), block():
            raise ZeroDivisionError
        assert in_another_thread(lambda: is_free(lock))


def test_released_without_the_lock_changes_nothing() -> None:
    lock = CpuLock()
    with lock.released():
        assert in_another_thread(lambda: is_free(lock))
    assert in_another_thread(lambda: is_free(lock))


def test_released_does_not_release_the_lock_of_another_thread() -> None:
    lock = CpuLock()

    def wait() -> bool:
        with lock.held() as acquired, lock.released():
            return acquired

    with lock.held():
        assert not in_another_thread(wait)
        assert not in_another_thread(lambda: is_free(lock))


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Run `lock_app` under gunicorn with the bridge's worker; yield the port."""
    port = ports.free()
    command = [sys.executable, "-m", "gunicorn", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    worker = ["--worker-class", "signup_bridge.web.gunicorn_worker.Worker", "--keep-alive", "60"]
    environ = os.environ | {"PYTHONPATH": f"{ROOT / 'function'}:{ROOT}"}
    process = subprocess.Popen(
        [*command, *worker, "tests.support.bridge.lock_app:app"], env=environ, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port)).close()
                break
            assert process.poll() is None
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait()


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n"


@pytest.mark.parametrize(
    ("parts", "state"),
    [
        ([HEAD + b"body"], b"taken"),
        ([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], b"taken"),
        ([HEAD.replace(b"-Length: ", b"-length:") + b"body"], b"taken"),
        ([HEAD, b"body"], b"free "),
        ([HEAD[:9], HEAD[9:] + b"body"], b"free "),
        ([CHUNKED], b"free "),
    ],
)
def test_request_that_has_arrived_whole_is_processed_under_the_lock(
    port: int, parts: list[bytes], state: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")  # a new connection has a thread before its first byte
        first = HTTPResponse(connection)
        first.begin()
        first.read()
        for number, part in enumerate(parts):
            connection.sendall(part)
            if number < len(parts) - 1:
                time.sleep(0.3)  # until a thread has seen the first part
        response = HTTPResponse(connection)
        response.begin()
        assert response.read() == state


def test_hostile_length_is_no_whole_request() -> None:
    here, there = socket.socketpair()
    with here, there:
        there.sendall(HEAD.replace(b"4", b"9" * 5000) + b"body")  # int() would raise ValueError
        assert not has_whole_request(here)


def test_connection_that_has_ended_has_no_whole_request() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert not has_whole_request(here)
        there.close()
        assert not has_whole_request(here)


def test_sleep_lets_others_compute(patient: None) -> None:
    order: list[str] = []

    def compute() -> None:
        with cpu_lock.held():
            order.append("other")

    with ThreadPoolExecutor(1) as pool, cpu_lock.held():
        pool.submit(compute)
        SystemClock().sleep(1)
        order.append("slept")
    assert order == ["other", "slept"]


def call_api(tls: Tls) -> bool:
    """Call an API that delays its TLS handshake and its reply until another thread has run."""

    class PatientContext(ssl.SSLContext):
        def wrap_socket(self, *arguments: Any, **options: Any) -> ssl.SSLSocket:
            assert hold()
            return super().wrap_socket(*arguments, **options)

    def reply(connection: socket.socket) -> None:
        assert hold()
        succeed(connection)

    context = PatientContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls.pem)
    with Upstream(reply, context) as upstream, cpu_lock.held():
        api = DomainApi(upstream.url, connections=1, clock=SystemClock(), ca_bundle=str(tls.bundle))
        return isinstance(call(api, BUDGET).result, Reply)


def ask_redis(_tls: Tls) -> bool:
    def reply(connection: socket.socket) -> None:
        connection.recv(65_536)
        assert hold()
        connection.sendall(b"+PONG\r\n")

    with serving(reply) as port, cpu_lock.held():
        connection = RedisConnection(parse_server(f"redis://127.0.0.1:{port}/0"))
        connection.deadline = Deadline(SystemClock(), BUDGET)
        connection.open()
        try:
            return bool(connection.command("PING") == "PONG")
        finally:
            connection.close()


def wait_for_permit(_tls: Tls) -> bool:
    limiter = ConcurrencyLimiter(1, 0.5, StillClock(), max_queued=1)
    is_busy = threading.Event()

    def work() -> None:
        with limiter.acquire(b"other"):
            is_busy.set()
            assert hold()

    with ThreadPoolExecutor(1) as pool, cpu_lock.held():
        pool.submit(work)
        assert is_busy.wait(BUDGET)
        return limiter.wait(BUDGET)


@pytest.mark.parametrize("wait", [call_api, ask_redis, wait_for_permit])
def test_wait_ends_if_it_needs_another_thread(wait: Callable[[Tls], bool], tls: Tls, patient: None) -> None:
    assert wait(tls)
