"""Test the transport under the SDK: its deadlines, its pool, and its record of a call."""

from __future__ import annotations

import errno
import re
import socket
import ssl
import threading
from typing import Any

import pytest
from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.upstream.credentials import Credentials
from signup_bridge.upstream.reply import CallResult, Reply
from signup_bridge.upstream.transport import CallTrace, DeadlineConnection, DeadlineReader

from local_services.certificates import Tls
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import PHONE, body
from tests.support.network.api_calls import CREDENTIALS, PARAMS, api_at, call, succeed
from tests.support.network.upstream import Upstream, cut


def test_deadlines_of_two_threads_are_independent() -> None:
    over = threading.Event()

    def slow(connection: socket.socket) -> None:
        over.wait()
        succeed(connection)

    with Upstream(slow) as upstream:
        api = api_at(upstream.url, clock=StillClock())
        patient: list[CallResult] = []
        thread = threading.Thread(target=lambda: patient.append(call(api, 60)))
        thread.start()
        hurried = call(api, 0.2)
        over.set()
        thread.join()
        assert hurried.result == "no-reply"
        assert isinstance(patient[0].result, Reply)


def test_pool_keeps_a_connection_for_every_thread() -> None:
    """The SDK's own pool keeps ten connections, regardless of its settings."""
    together = threading.Barrier(16)

    def wait_for_all(connection: socket.socket) -> None:
        together.wait(timeout=60)
        succeed(connection)

    with Upstream(wait_for_all) as upstream:
        app = bridge(upstream.url, CONCURRENCY=16, WEBHOOK_AUTH="none").app
        for start in (0, 100):
            threads = [
                threading.Thread(
                    target=lambda data: app.test_client().post("/", data=data), args=(body(contact=f"{n:09}"),)
                )
                for n in range(start, start + 16)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert (upstream.connections, len(upstream.requests)) == (16, 32)


@pytest.mark.parametrize("which", ["wall", "run"])
@pytest.mark.parametrize(("seconds", "connections"), [(19.0, 1), (21.0, 2)])
def test_idle_connection_is_dropped_before_the_call(
    upstream: Upstream, which: str, seconds: float, connections: int
) -> None:
    clock = SetClock()
    api = api_at(upstream.url, clock=clock)
    call(api)
    setattr(clock, which, seconds)
    assert isinstance(call(api).result, Reply)
    assert (upstream.connections, len(upstream.requests)) == (connections, 2)


def test_idle_time_counts_from_the_last_use(upstream: Upstream) -> None:
    clock = SetClock()
    api = api_at(upstream.url, clock=clock)
    for _ in range(3):
        call(api)
        clock.run += 15.0
    assert (upstream.connections, len(upstream.requests)) == (1, 3)


def test_kept_connection_after_a_freeze_before_the_send_sends_nothing(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SetClock()
    api = api_at(upstream.url, clock=clock)
    call(api)
    send_request = DeadlineConnection.request

    def sleep_before(connection: DeadlineConnection, *args: Any, **options: Any) -> None:
        assert connection.is_connected
        clock.run += 10.0
        send_request(connection, *args, **options)

    monkeypatch.setattr(DeadlineConnection, "request", sleep_before)
    result = api.call(CREATE, PARAMS, CREDENTIALS, Deadline(clock, 5))
    assert (result.result, len(upstream.requests)) == ("never-sent", 1)


def test_reader_after_the_deadline_does_not_wait_for_tls(tls: Tls) -> None:
    here, there = socket.socketpair()
    client = ssl.create_default_context(cafile=str(tls.bundle))
    thread = threading.Thread(target=lambda: served.append(tls.context.wrap_socket(there, server_side=True)))
    served: list[ssl.SSLSocket] = []
    thread.start()
    with client.wrap_socket(here, server_hostname="127.0.0.1") as secured:
        thread.join()
        trace = CallTrace(Deadline(SystemClock(), 0))
        with served[0], DeadlineReader(secured, secured.makefile("rb", buffering=0), trace) as reader:
            with pytest.raises(ssl.SSLWantReadError):
                reader.read(1)
            assert trace.timed_out


def test_system_without_quick_acknowledgements_keeps_connections(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(socket, "TCP_QUICKACK", raising=False)
    api = api_at(upstream.url)
    call(api)
    call(api)
    assert (upstream.connections, len(upstream.requests)) == (1, 2)


def test_connection_that_the_server_closed_is_not_used_again() -> None:
    replied, gone = threading.Event(), threading.Event()

    def reply_and_close(connection: socket.socket) -> None:
        succeed(connection)
        replied.wait()
        cut(connection)
        gone.set()

    with Upstream(reply_and_close) as upstream:
        api = api_at(upstream.url)
        call(api)
        replied.set()
        gone.wait()
        assert isinstance(call(api).result, Reply)
        assert len(upstream.requests) == 2


def test_reader_after_the_deadline_returns_what_has_arrived() -> None:
    """After a freeze, the thread resumes late, and the reply is already in the socket's buffer."""
    here, there = socket.socketpair()
    trace = CallTrace(Deadline(SystemClock(), 0))
    with here, there, DeadlineReader(here, here.makefile("rb", buffering=0), trace) as reader:
        there.sendall(b"HTTP/1.1 200 OK")
        assert reader.read(8) == b"HTTP/1.1"
        assert reader.read(7) == b" 200 OK"
        assert (trace.received, trace.timed_out) == (True, False)
        with pytest.raises(TimeoutError):
            reader.read(1)
        assert trace.timed_out


def test_send_that_fails_halfway_counts_as_sent(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(self: socket.socket, data: bytes) -> None:
        self.send(data[: len(data) // 2])
        raise OSError(errno.EIO, "like an unplugged cable")

    monkeypatch.setattr(socket.socket, "sendall", half)
    assert call(api_at(upstream.url)).result == "no-reply"


def test_connection_that_fails_after_the_reply_loses_no_reply(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_option = socket.socket.setsockopt

    def fail(sock: socket.socket, level: int, option: int, value: int) -> None:
        if option == socket.TCP_QUICKACK:
            raise OSError(errno.EINVAL, "like a socket that its peer has reset, on some systems")
        set_option(sock, level, option, value)

    monkeypatch.setattr(socket.socket, "setsockopt", fail)
    assert isinstance(call(api_at(upstream.url)).result, Reply)


def test_request_with_an_invalid_header_is_never_sent() -> None:
    result = call(api_at("http://127.0.0.1:1"), credentials=Credentials("id", "key", "a\nb"))
    assert (result.result, result.error) == ("never-sent", "ValueError")


def test_call_result_names_the_original_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert call(api_at(f"http://127.0.0.1:{port}")).error == "ConnectionRefusedError"
    assert call(api_at("http://domain.invalid")).error == "gaierror"


def test_repr_shows_no_credentials_and_no_reply() -> None:
    shown: list[Any] = [Credentials("an-id", "a-key", "a-token"), Reply(200, PHONE.encode())]
    assert re.search("an-id|a-key|a-token|" + PHONE, repr(shown)) is None


def test_upstream_time_is_measured(upstream: Upstream) -> None:
    response = bridge(upstream.url).client.get("/health")
    assert response.headers["Server-Timing"] == "wait;dur=0.0, upstream;dur=0.0"
    assert call(api_at(upstream.url)).seconds > 0
