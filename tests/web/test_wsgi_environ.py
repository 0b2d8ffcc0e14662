"""Test the time that a request spent in queues, which the kernel records."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator

import pytest
from signup_bridge.web.wsgi_environ import queue_time

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not record when data arrived")

WAIT = 0.2
TICK = 0.02
"""Seconds by which the kernel's clock may lag, because it counts in ticks."""


class Connection:
    """A connection that the test accepts explicitly."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.client = socket.create_connection(listener.getsockname(), timeout=60)

    def accept(self) -> socket.socket:
        self.server, _ = self._listener.accept()
        return self.server


@pytest.fixture
def connection() -> Iterator[Connection]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        connection = Connection(listener)
        yield connection
        connection.client.close()
        connection.server.close()


def seconds(server: socket.socket) -> float:
    return queue_time({"gunicorn.socket": server})


def test_queue_time_includes_the_kernels_backlog(connection: Connection) -> None:
    connection.client.sendall(b"whole")
    time.sleep(WAIT)
    assert seconds(connection.accept()) >= WAIT - TICK


def test_queue_time_continues_while_the_request_is_read(connection: Connection) -> None:
    connection.client.sendall(b"whole")
    server = connection.accept()
    time.sleep(WAIT)
    server.recv(5)
    assert seconds(server) >= WAIT - TICK


def test_queue_time_of_a_kept_connection_begins_with_its_next_request(connection: Connection) -> None:
    connection.client.sendall(b"first")
    server = connection.accept()
    began = time.monotonic()
    time.sleep(WAIT)
    server.recv(5)
    sent = time.monotonic()
    connection.client.sendall(b"second")
    server.recv(6)
    assert seconds(server) <= time.monotonic() - sent + TICK < time.monotonic() - began


def test_queue_time_of_pipelined_requests_includes_the_work_on_those_before(connection: Connection) -> None:
    connection.client.sendall(b"firstsecond")
    server = connection.accept()
    server.recv(5)
    time.sleep(WAIT)
    server.recv(6)
    assert seconds(server) >= WAIT - TICK


def test_queue_time_of_a_request_in_parts_begins_with_the_last_part(connection: Connection) -> None:
    connection.client.sendall(b"head")
    server = connection.accept()
    time.sleep(WAIT)
    sent = time.monotonic()
    connection.client.sendall(b"body")
    server.recv(4)
    assert seconds(server) <= time.monotonic() - sent + TICK


def test_queue_time_without_a_tcp_connection_is_zero() -> None:
    here, there = socket.socketpair()
    with here, there:
        assert seconds(here) == 0.0
    assert queue_time({}) == 0.0


def test_queue_time_on_another_system_is_zero(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    connection.client.sendall(b"whole")
    server = connection.accept()
    time.sleep(WAIT)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert seconds(server) == 0.0
