"""What breaks between the bridge and the API, over real sockets: the whole answer, and how often the API was called."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest
from builders import (
    ABORT,
    PHONE,
    PROBLEM,
    SUCCESS,
    Bridge,
    Script,
    SetClock,
    Upstream,
    body,
    bridge,
    calls,
    check_problem,
    cut,
    free_port,
    problem,
    read_request,
    reply,
)  # fmt: skip
from conftest import Tls

from emulator.faults import PROCESSED, WIRE_FAULTS, Fault
from emulator.server import Emulator

UNKNOWN = problem("outcome-unknown", 504, retryable=True)
FAILED = problem("upstream-failed", 502, retryable=True)
UNREACHABLE = problem("upstream-unreachable", 503, retryable=True)
RETRY = PROBLEM | {"retry-after": "5"}

OF_FAULT: dict[str, dict[str, Any]] = {
    "hang": UNKNOWN,
    "reset": UNKNOWN,
    "close": UNKNOWN,
    "stall-body": UNKNOWN,
    "drip": UNKNOWN,
    "truncate": FAILED,
    "http-502": FAILED,
    "html": FAILED,
    "empty-object": FAILED,
    "empty-response": FAILED,
    "redirect": FAILED,
}


def test_every_wire_fault_is_tried() -> None:
    assert {*OF_FAULT, "error-with-charset", "error-without-content-type"} == set(WIRE_FAULTS)


@pytest.mark.parametrize("fault", OF_FAULT)
def test_a_reply_that_breaks_on_the_wire(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault))
    bridged = bridge(emulator.url, REQUEST_BUDGET=0.8)
    check_problem(bridged.deliver(), OF_FAULT[fault], PROBLEM)
    assert calls(emulator) == [("CreateIntlPhoneEmail", "OK" if fault in PROCESSED else fault)]


@pytest.mark.parametrize("fault", ["error-with-charset", "error-without-content-type"])
def test_an_error_that_the_sdk_takes_for_success(emulator: Emulator, wired: Bridge, fault: str) -> None:
    emulator.faults.arm(Fault(fault))
    given = wired.deliver()
    request_id = emulator.calls[0].request_id
    check_problem(given, problem("code-incorrect", 422, retryable=False, request_id=request_id), ABORT)
    assert calls(emulator) == [("CreateIntlPhoneEmail", fault)]


@pytest.mark.parametrize("fault", WIRE_FAULTS)
def test_after_a_fault_the_next_delivery_is_answered(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault, contact="10086"))
    bridged = bridge(emulator.url, REQUEST_BUDGET=0.8)
    bridged.deliver(contact="10086")
    assert bridged.deliver().json["status"] == "verified"


def test_a_dripping_body_does_not_outlive_the_deadline() -> None:
    """Each byte comes in time for a time-out that is counted from read to read."""

    def drip(connection: socket.socket) -> None:
        head, _, data = reply(SUCCESS).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        for byte in data:
            time.sleep(0.1)
            connection.sendall(bytes((byte,)))

    with Upstream(drip) as upstream:
        check_problem(bridge(upstream.url, REQUEST_BUDGET=0.6).deliver(), UNKNOWN, PROBLEM)
        assert len(upstream.requests) == 1


def send(data: bytes) -> Script:
    return lambda connection: connection.sendall(data)


@pytest.mark.parametrize(
    "data",
    [
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        reply({**SUCCESS, "padding": "x" * 270_000}),
        reply(b"\x1f\x8b not gzip", headers="Content-Type: application/json\r\nContent-Encoding: gzip\r\n"),
        reply(SUCCESS, status="204 No Content"),
        reply(SUCCESS, status="500 Internal Server Error"),
    ],
    ids=["not-http", "bad-chunk", "too-long", "encoded", "status-204", "status-500"],
)
def test_an_unusable_reply(data: bytes) -> None:
    with Upstream(send(data)) as upstream:
        check_problem(bridge(upstream.url, REQUEST_BUDGET=2).deliver(), FAILED, PROBLEM)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        reply({})[:17] + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nX: ",
    ],
    ids=["interim", "trailers", "header"],
)
def test_a_reply_without_end_is_left_at_its_limit(endless: bytes) -> None:
    """However fast it comes, and whatever it consists of."""

    def flood(connection: socket.socket) -> None:
        connection.sendall(endless)
        piece = endless if b"100" in endless else b"a: b\r\n"
        while True:
            connection.sendall(piece * 1000)

    with Upstream(flood) as upstream:
        check_problem(bridge(upstream.url).deliver(), FAILED, PROBLEM)


STRANGER = reply({"Response": {"RequestId": "of-somebody-else"}})
WRONG = reply({"Response": {"Error": {"Code": "InternalError.VerifyCodeErr", "Message": "…"}, "RequestId": "mine"}})


@pytest.mark.parametrize("size", [None, 8192])
@pytest.mark.parametrize("secure", [False, True])
def test_what_follows_a_reply_is_nobodys_reply(tls: Tls, size: int | None, secure: bool) -> None:
    """Two replies at once, the second one kept where a look at the socket does not see it."""
    first = reply(SUCCESS)
    if size:  # as much as the buffer takes at once: the rest stays in TLS
        first = reply({**SUCCESS, "padding": "x" * (size - len(reply({**SUCCESS, "padding": "x" * 1000})) + 1000)})
        assert len(first) == size

    def talk(connection: socket.socket) -> None:
        connection.sendall(first + STRANGER if upstream.connections == 1 else WRONG)

    with Upstream(talk, tls.context if secure else None) as upstream:
        bridged = bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle if secure else "")
        assert bridged.deliver().json["status"] == "verified"
        assert bridged.deliver(contact="10086").json["code"] == "code-incorrect"
        assert (upstream.connections, len(upstream.requests)) == (2, 2)


def test_what_is_sent_on_behind_a_reply_is_nobodys_reply(tls: Tls) -> None:
    """A second write, which the server's machine holds back until the first one is acknowledged."""

    said = threading.Semaphore(0)

    def talk(connection: socket.socket) -> None:
        connection.sendall(WRONG)
        connection.sendall(STRANGER)
        said.release()

    with Upstream(talk, tls.context) as upstream:
        bridged = bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle)
        codes = []
        for _ in range(20):
            codes.append(bridged.deliver(contact="10086").json.get("code"))
            assert said.acquire(timeout=5)
            time.sleep(0.02)
        assert codes == ["code-incorrect"] * 20


@pytest.mark.parametrize("interim", ["102 Processing", "103 Early Hints"])
def test_the_reply_after_an_interim_one_is_nobodys_reply(interim: str) -> None:
    def talk(connection: socket.socket) -> None:
        if upstream.connections == 1:
            connection.sendall(f"HTTP/1.1 {interim}\r\n\r\n".encode())
            time.sleep(0.1)
            connection.sendall(STRANGER)
        else:
            connection.sendall(WRONG)

    with Upstream(talk) as upstream:
        bridged = bridge(upstream.url)
        check_problem(bridged.deliver(), FAILED, PROBLEM)
        assert bridged.deliver(contact="10086").json["code"] == "code-incorrect"


@pytest.mark.parametrize(
    "head",
    [
        f"Content-Length: {len(json.dumps(SUCCESS)) + 9}\r\n\r\n",
        f"Transfer-Encoding: chunked\r\n\r\n{len(json.dumps(SUCCESS)):x}\r\n",
    ],
    ids=["length", "chunked"],
)
def test_a_success_that_breaks_off_behind_its_last_brace(head: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}{json.dumps(SUCCESS)}".encode())
        connection.shutdown(socket.SHUT_RDWR)

    with Upstream(talk) as upstream:
        check_problem(bridge(upstream.url).deliver(), FAILED, PROBLEM)


def test_a_long_reply_is_read_whole() -> None:
    with Upstream(send(reply({**SUCCESS, "padding": "x" * 200_000}))) as upstream:
        assert bridge(upstream.url).deliver().status == 200


def test_a_reply_that_ends_with_the_connection() -> None:
    def answer_and_close(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS, headers="Connection: close\r\n"))
        connection.close()

    with Upstream(answer_and_close) as upstream:
        bridged = bridge(upstream.url)
        assert bridged.deliver().status == bridged.deliver().status == 200
        assert len(upstream.requests) == upstream.connections == 2


@pytest.mark.parametrize("break_off", [cut, lambda connection: connection.close()], ids=["reset", "no-goodbye"])
def test_tls_that_breaks_after_the_request_was_read(tls: Tls, break_off: Script) -> None:
    """Its error has the class of a handshake that failed, yet the code may be spent."""
    with Upstream(break_off, tls.context) as upstream:
        check_problem(bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver(), UNKNOWN, PROBLEM)
        assert len(upstream.requests) == 1
        assert PHONE.encode() in upstream.requests[0]


def test_tls_that_answers_nonsense_after_the_request_was_read(tls: Tls) -> None:
    def nonsense(connection: socket.socket) -> None:
        with socket.socket(fileno=connection.detach()) as plain:
            plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            time.sleep(0.2)

    with Upstream(nonsense, tls.context) as upstream:
        check_problem(bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver(), UNKNOWN, PROBLEM)
        assert len(upstream.requests) == 1


def test_tls_that_stalls_within_the_body(tls: Tls) -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS)[:-9])
        time.sleep(1.5)

    with Upstream(stall, tls.context) as upstream:
        bridged = bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle, REQUEST_BUDGET=0.6)
        check_problem(bridged.deliver(), UNKNOWN, PROBLEM)


def test_tls_is_used_and_kept_alive(tls: Tls) -> None:
    with Emulator(rate=0, tls=tls.context) as emulator:
        bridged = bridge(emulator.url, DOMAIN_API_CA_BUNDLE=tls.bundle)
        assert bridged.deliver().json["status"] == "verified"
        assert bridged.deliver().json["code"] == "already-verified"


def test_a_certificate_that_is_not_trusted_gets_nothing(tls: Tls) -> None:
    with Upstream(send(reply(SUCCESS)), tls.context) as upstream:
        check_problem(bridge(upstream.url).deliver(), UNREACHABLE, RETRY)
        assert upstream.requests == []


def test_a_certificate_of_another_host_gets_nothing(tls: Tls) -> None:
    with Upstream(send(reply(SUCCESS)), tls.context) as upstream:
        url = upstream.url.replace("127.0.0.1", "localhost")
        check_problem(bridge(url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver(), UNREACHABLE, RETRY)
        assert upstream.requests == []


def test_a_handshake_that_never_ends(tls: Tls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        bridged = bridge(url, DOMAIN_API_CA_BUNDLE=tls.bundle, REQUEST_BUDGET=0.4)
        check_problem(bridged.deliver(), UNREACHABLE, RETRY)


def test_nobody_listens() -> None:
    check_problem(bridge(f"http://127.0.0.1:{free_port()}").deliver(), UNREACHABLE, RETRY)


def test_a_name_without_an_address() -> None:
    check_problem(bridge("https://domain.invalid").deliver(), UNREACHABLE, RETRY)


def test_a_resolver_that_does_not_answer(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    released = threading.Event()

    def hang(*_: object, **__: object) -> list[Any]:
        released.wait()
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", emulator.server_address)]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    try:
        check_problem(bridge(emulator.url, REQUEST_BUDGET=0.3).deliver(), UNREACHABLE, RETRY)
    finally:
        released.set()
    assert calls(emulator) == []


def test_a_name_with_no_address_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [])
    check_problem(bridge("https://domain.tencentcloudapi.com").deliver(), UNREACHABLE, RETRY)


def test_a_handshake_may_take_longer_than_a_connect(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.transport.CONNECT_LIMIT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            time.sleep(0.6)
            with tls.context.wrap_socket(connection, server_side=True) as secured:
                read_request(secured)
                secured.sendall(reply(SUCCESS))

        thread = threading.Thread(target=talk)
        thread.start()
        url = f"https://127.0.0.1:{server.getsockname()[1]}"
        assert bridge(url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver().status == 200
        thread.join()


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator
) -> None:
    """The first address takes no more connections: its queue is full."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        addresses = [full.getsockname(), emulator.server_address]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        monkeypatch.setattr("bridge.transport.CONNECT_LIMIT", 0.3)
        assert bridge(emulator.url).deliver().json["status"] == "verified"
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found[:1])
        check_problem(bridge(emulator.url).deliver(), UNREACHABLE, RETRY)
    assert len(emulator.calls) == 1


def test_an_address_family_that_the_machine_lacks(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    found = [
        (socket.AF_DECnet if hasattr(socket, "AF_DECnet") else 12, socket.SOCK_STREAM, 0, "", ("::1", 1)),
        (socket.AF_INET, socket.SOCK_STREAM, 0, "", emulator.server_address),
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert bridge(emulator.url).deliver().json["status"] == "verified"


def test_a_name_that_idna_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> None:
        "\u00fc".encode("ascii")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    check_problem(bridge("https://domain.tencentcloudapi.com").deliver(), UNREACHABLE, RETRY)


def test_a_budget_that_is_used_up_calls_nothing(emulator: Emulator) -> None:
    bridged = bridge(emulator.url)
    data = body()
    answered = bridged.client.post("/", data=data, environ_overrides={"signup_bridge.direct": True,
                                                                      "signup_bridge.budget": 0.0})  # fmt: skip
    assert (answered.status_code, answered.json and answered.json["code"]) == (503, "upstream-unreachable")
    assert calls(emulator) == []


@pytest.mark.parametrize("clock_that_jumps", ["wall", "run"])
def test_a_thread_that_slept_between_connect_and_send_sends_nothing(
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


def test_the_code_and_contact_arrive_as_they_came(emulator: Emulator) -> None:
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": "+86 (137) 0000-0000"})
    sent = emulator.domain.sent_codes()[0]
    assert bridge(emulator.url).deliver(contact="\t+86 (137) 0000-0000 ", verify_code=sent.code).status == 200
    assert emulator.calls[0].contact == "+86 (137) 0000-0000"
