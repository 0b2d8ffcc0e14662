"""The traps of the SDK and its transport. The bridge closes each of them, and without that its test here fails."""

from __future__ import annotations

import errno
import json
import logging
import re
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from signup_bridge import settings
from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.upstream.client import DomainApi
from signup_bridge.upstream.credentials import Credentials
from signup_bridge.upstream.reply import CallResult, Reply, classify
from signup_bridge.upstream.transport import CallTrace, DeadlineConnection, DeadlineReader

from local_services.certificates import Tls
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import Bridge, bridge, environment
from tests.support.bridge.signed_requests import CODE, PHONE, body
from tests.support.network.upstream import SUCCESS, Script, Upstream, cut, reply

PARAMS = {"Type": 1, "Code": PHONE, "VerifyCode": CODE}


def succeed(connection: socket.socket) -> None:
    connection.sendall(reply(SUCCESS))


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream(succeed) as running:
        yield running


CREDENTIALS = Credentials("id", "key")


def api_at(url: str, *, clock: SystemClock | None = None) -> DomainApi:
    return DomainApi(url, connections=4, clock=clock or SystemClock())


def call(api: DomainApi, budget: float = 5.0, *, credentials: Credentials = CREDENTIALS) -> CallResult:
    return api.call(CREATE, PARAMS, credentials, Deadline(SystemClock(), budget))


def header_of(request: bytes, name: str) -> str | None:
    match = re.search(rf"^{name}: (.*)\r$", request.decode(), re.IGNORECASE | re.MULTILINE)
    return match and match[1]


def test_request_has_the_documented_parameters_and_headers(upstream: Upstream) -> None:
    bridge(upstream.url).deliver()
    request = upstream.requests[0]
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"Type": 1, "Code": PHONE, "VerifyCode": CODE}
    assert header_of(request, "X-TC-Action") == "CreateIntlPhoneEmail"
    assert header_of(request, "X-TC-Version") == "2018-08-08"
    assert header_of(request, "X-TC-Region") is None
    assert header_of(request, "Accept-Encoding") == "identity"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment_is_ignored(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with Upstream(succeed) as proxy:
        monkeypatch.setenv(name, proxy.url)
        call(api_at(upstream.url))
        assert (len(upstream.requests), len(proxy.requests)) == (1, 0)


def test_netrc_is_ignored(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    call(api_at(upstream.url))
    assert (header_of(upstream.requests[0], "Authorization") or "").startswith("TC3-HMAC-SHA256 Credential=id/")


def test_cookie_of_a_reply_is_not_sent() -> None:
    def set_cookie(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS, headers="Set-Cookie: who=me; Path=/\r\n"))

    with Upstream(set_cookie) as upstream:
        api = api_at(upstream.url)
        call(api)
        call(api)
        assert [header_of(request, "Cookie") for request in upstream.requests] == [None, None]


def test_calls_share_no_headers(upstream: Upstream) -> None:
    api = api_at(upstream.url)
    call(api)
    call(api)
    first, second = (header_of(request, "X-TC-TraceId") for request in upstream.requests)
    assert first != second


def test_sdk_never_uses_its_own_transport(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(requests.Session, "request", fail)
    assert isinstance(call(api_at(upstream.url)).result, Reply)


def test_call_is_signed_with_its_own_credentials(upstream: Upstream) -> None:
    api = api_at(upstream.url)
    for credentials in (Credentials("first", "key"), Credentials("second", "key", "a-token")):
        call(api, credentials=credentials)
    ids = [re.findall("Credential=([a-z]+)/", header_of(one, "Authorization") or "") for one in upstream.requests]
    assert ids == [["first"], ["second"]]
    assert [header_of(one, "X-TC-Token") for one in upstream.requests] == [None, "a-token"]


def test_configured_token_is_sent(upstream: Upstream) -> None:
    bridge(upstream.url, TENCENT_SESSION_TOKEN="a-token").deliver()
    assert header_of(upstream.requests[0], "X-TC-Token") == "a-token"


def test_execution_role_credentials_are_read_at_every_call(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = environment(upstream.url, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="", TENCENTCLOUD_RUNENV="SCF")
    bridged = Bridge(settings.load(environ, event_function=True))
    for turn in ("first", "second"):
        monkeypatch.setenv("TENCENTCLOUD_SECRETID", turn)
        monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", "key")
        monkeypatch.setenv("TENCENTCLOUD_SESSIONTOKEN", f"token-{turn}")
        bridged.deliver()
    ids = [re.findall("Credential=([a-z]+)/", header_of(one, "Authorization") or "") for one in upstream.requests]
    assert ids == [["first"], ["second"]]
    assert [header_of(one, "X-TC-Token") for one in upstream.requests] == ["token-first", "token-second"]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(upstream: Upstream, status: str) -> None:
    def redirect(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS, status=status, headers=f"Location: {upstream.url}/elsewhere\r\n"))

    with Upstream(redirect) as redirecting:
        result = classify(call(api_at(redirecting.url)))
        assert result.outcome.code == "upstream-failed"
        assert (len(redirecting.requests), len(upstream.requests)) == (1, 0)


CONTENT_TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "text/plain",
    "text/html",
    None,
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ({"Response": {"Error": {"Code": "InternalError.VerifyCodeErr"}, "RequestId": "1"}}, "code-incorrect"),
        ({"Response": {}}, "upstream-failed"),
        ({"Response": {"RequestId": ""}}, "upstream-failed"),
        ({"Response": {"RequestId": "1", "Error": None}}, "upstream-failed"),
        ({"Response": None}, "upstream-failed"),
        ([], "upstream-failed"),
        (b"{", "upstream-failed"),
        (SUCCESS, "verified"),
    ],
)
def test_reply_is_judged_by_the_bridge_and_not_by_the_sdk(
    content_type: str | None, document: object, outcome: str
) -> None:
    headers = f"Content-Type: {content_type}\r\n" if content_type else ""
    with Upstream(lambda connection: connection.sendall(reply(document, headers=headers))) as upstream:
        assert classify(call(api_at(upstream.url))).outcome.code == outcome


def test_deprecation_warning_in_a_reply_changes_nothing() -> None:
    """The SDK raises a Python warning for it and resets the process's filters."""
    document = {"Response": {**SUCCESS["Response"], "DeprecatedWarning": "use another"}}
    with Upstream(lambda connection: connection.sendall(reply(document))) as upstream, warnings.catch_warnings():
        warnings.simplefilter("error")
        # The SDK signs with it, and Python 3.12 and later say so.
        warnings.filterwarnings("ignore", "datetime.datetime.utcfromtimestamp", DeprecationWarning)
        filters = list(warnings.filters)
        assert classify(call(api_at(upstream.url))).outcome.code == "verified"
        assert warnings.filters == filters


THROTTLED = {"Response": {"Error": {"Code": "RequestLimitExceeded", "Message": "…"}, "RequestId": "1"}}


@pytest.mark.parametrize(
    ("fail", "outcome"),
    [(lambda connection: connection.sendall(reply(THROTTLED)), "upstream-throttled"), (cut, "outcome-unknown")],
    ids=["throttled", "reset"],
)
def test_sdk_never_retries(fail: Script, outcome: str) -> None:
    def fail_once(connection: socket.socket) -> None:
        (fail if len(failing.requests) == 1 else succeed)(connection)

    with Upstream(fail_once) as failing:
        assert classify(call(api_at(failing.url))).outcome.code == outcome
        assert len(failing.requests) == 1


@pytest.mark.parametrize("level", [logging.DEBUG, logging.NOTSET])
def test_sdk_logger_never_prints(upstream: Upstream, caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level)
    caplog.set_level(level, "tencentcloud_sdk_common")
    call(api_at(upstream.url), credentials=Credentials("id", "a-secret"))
    assert [record for record in caplog.records if record.name.startswith("tencent")] == []
    assert PHONE not in caplog.text


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
    """The SDK's own pool keeps ten connections, with any setting."""
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
    """After a freeze, the thread wakes late, and the reply is in the socket's buffer."""
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
        raise OSError(errno.EIO, "as a cable that is pulled")

    monkeypatch.setattr(socket.socket, "sendall", half)
    assert call(api_at(upstream.url)).result == "no-reply"


def test_connection_that_fails_after_the_reply_loses_no_reply(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_option = socket.socket.setsockopt

    def fail(sock: socket.socket, level: int, option: int, value: int) -> None:
        if option == socket.TCP_QUICKACK:
            raise OSError(errno.EINVAL, "as a socket that its peer has reset, on some systems")
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
