"""Test calls that never reach the API: the whole response, and that no byte of a request arrives."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from signup_bridge.core.actions import CREATE, DELETE, DESCRIBE, SEND
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.telemetry.logs import JsonFormatter
from signup_bridge.upstream.client import DomainApi
from signup_bridge.upstream.credentials import Credentials
from signup_bridge.web.wsgi_environ import BUDGET

from local_services.certificates import Tls
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import bridge, calls
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import body, signed
from tests.support.network.upstream import SUCCESS, Upstream, read_request, reply, send

UNREACHABLE = problem("upstream-unreachable", 503, retryable=True)
RETRY = PROBLEM | {"retry-after": "5"}


def test_untrusted_certificate_receives_no_request(tls: Tls) -> None:
    with Upstream(send(reply(SUCCESS)), tls.context) as upstream:
        check_problem(bridge(upstream.url).deliver(), UNREACHABLE, RETRY)
        assert upstream.requests == []


def test_certificate_of_another_host_receives_no_request(tls: Tls) -> None:
    with Upstream(send(reply(SUCCESS)), tls.context) as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        check_problem(bridge(url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver(), UNREACHABLE, RETRY)
        assert upstream.requests == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("action", [CREATE, SEND, DESCRIBE, DELETE])
def test_untrusted_certificate_is_logged_for_every_action(
    tls: Tls, caplog: pytest.LogCaptureFixture, action: str, host: str
) -> None:
    """The certificate is signed by no CA, or by a trusted CA for another host."""
    clock = SystemClock()
    with Upstream(send(reply(SUCCESS)), tls.context) as upstream:
        api = DomainApi(
            upstream.url.replace("127.0.0.1", host),
            connections=1,
            clock=clock,
            ca_bundle=str(tls.bundle) if host == "localhost" else None,
        )
        call = api.call(action, {}, Credentials("id", "key"), Deadline(clock, 5))
        assert upstream.requests == []
    assert (call.result, call.error) == ("never-sent", "SSLCertVerificationError")
    (line,) = (json.loads(JsonFormatter().format(record)) for record in caplog.records)
    reason = line.pop("reason")
    assert {name: line[name] for name in line if name != "time"} == {
        "level": "ERROR",
        "message": "API certificate not trusted, no request sent",
        "upstream_error": "SSLCertVerificationError",
        "remedy": "DOMAIN_API_CA_BUNDLE",
    }
    assert reason.startswith("Hostname mismatch" if host == "localhost" else "self")


def test_untrusted_certificate_is_logged_for_every_retry(tls: Tls, caplog: pytest.LogCaptureFixture) -> None:
    with Upstream(send(reply(SUCCESS)), tls.context) as upstream:
        assert bridge(upstream.url).deliver().json["code"] == "upstream-unreachable"
        assert upstream.connections == 3
    lines = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert lines == [("ERROR", "API certificate not trusted, no request sent")] * 3


def test_handshake_that_never_ends_sends_nothing(tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        bridged = bridge(url, StillClock(), DOMAIN_API_CA_BUNDLE=tls.bundle, REQUEST_BUDGET=0.4)
        check_problem(bridged.deliver(), UNREACHABLE, RETRY)


def test_refused_connection_is_unreachable() -> None:
    check_problem(bridge(f"http://127.0.0.1:{ports.free()}").deliver(), UNREACHABLE, RETRY)


def test_unknown_host_name_is_unreachable() -> None:
    check_problem(bridge("https://domain.invalid").deliver(), UNREACHABLE, RETRY)


def test_resolver_that_hangs_sends_nothing(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        released.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", emulator.server_address)]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        check_problem(bridge(emulator.url, StillClock(), REQUEST_BUDGET=0.3).deliver(), UNREACHABLE, RETRY)
    finally:
        released.set()
    assert calls(emulator) == []


def test_host_name_without_addresses_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    check_problem(bridge("https://domain.tencentcloudapi.com").deliver(), UNREACHABLE, RETRY)


def test_handshake_longer_than_the_connect_limit_succeeds(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signup_bridge.core.network.CONNECT_LIMIT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            time.sleep(0.6)  # longer than the limit, even if the thread is late
            with tls.context.wrap_socket(connection, server_side=True) as secured:
                read_request(secured)
                secured.sendall(reply(SUCCESS))

        thread = threading.Thread(target=talk)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        assert bridge(url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver().status == 200
        thread.join()


def test_address_that_does_not_accept_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    """The queue of the first address is full, so that it accepts no connections."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        addresses = [full.getsockname(), emulator.server_address]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr("signup_bridge.core.network.CONNECT_LIMIT", 0.3)
        assert bridge(emulator.url, StillClock()).deliver().json["code"] == "verified"
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
        check_problem(bridge(emulator.url, StillClock()).deliver(), UNREACHABLE, RETRY)
    assert len(emulator.calls) == 1


def test_address_of_an_unsupported_family_is_skipped(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    found = [
        (socket.AF_DECnet if hasattr(socket, "AF_DECnet") else 12, socket.SOCK_STREAM, 0, "", ("::1", 1)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", emulator.server_address),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert bridge(emulator.url).deliver().json["code"] == "verified"


def test_host_name_that_idna_rejects_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        "\u00fc".encode("ascii")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    check_problem(bridge("https://domain.tencentcloudapi.com").deliver(), UNREACHABLE, RETRY)


def test_delivery_without_budget_sends_nothing(emulator: Emulator) -> None:
    bridged = bridge(emulator.url)
    data = body()
    response = bridged.client.post("/", data=data, headers=signed(data), environ_overrides={BUDGET: 0.0})
    assert (response.status_code, response.json and response.json["code"]) == (503, "overloaded")
    assert calls(emulator) == []


@pytest.mark.parametrize("clock_that_jumps", ["wall", "run"])
def test_connection_after_a_freeze_before_the_send_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, clock_that_jumps: str
) -> None:
    clock = SetClock()
    with Upstream(send(reply(SUCCESS))) as upstream:
        bridged = bridge(upstream.url, clock=clock)
        connect = socket.socket.connect

        def sleep_after(self: socket.socket, address: Any) -> None:
            connect(self, address)
            setattr(clock, clock_that_jumps, 60.0)

        monkeypatch.setattr(socket.socket, "connect", sleep_after)
        check_problem(bridged.deliver(), UNREACHABLE, RETRY)
        assert upstream.requests == []
