"""Test faults between the bridge and the API over real sockets: the whole response, and the number of calls."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import Any

import pytest

from local_services.certificates import Tls
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.api.faults.wire_faults import PROCESSED, WIRE_FAULTS
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.instances import Bridge, bridge, calls, patient
from tests.support.bridge.responses import ABORT, PROBLEM, check_problem, problem
from tests.support.network.upstream import SUCCESS, Upstream, reply, send

UNKNOWN = problem("outcome-unknown", 504, retryable=True)
FAILED = problem("upstream-failed", 502, retryable=True)

OF_FAULT: dict[str, dict[str, Any]] = {
    "hang": UNKNOWN,
    "reset": UNKNOWN,
    "close": UNKNOWN,
    "unprocessed": UNKNOWN,
    "stall-body": UNKNOWN,
    "drip": UNKNOWN,
    "truncate": FAILED,
    "http-502": FAILED,
    "html": FAILED,
    "empty-object": FAILED,
    "empty-response": FAILED,
    "redirect": FAILED,
}


def test_every_fault_of_the_emulator_is_covered() -> None:
    assert {*OF_FAULT, "error-with-charset", "error-without-content-type"} == set(WIRE_FAULTS)


@pytest.mark.parametrize("fault", OF_FAULT)
def test_fault_on_the_wire_has_its_outcome(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault))
    bridged = patient(emulator, fault)
    check_problem(bridged.deliver(), OF_FAULT[fault], PROBLEM)
    assert calls(emulator) == [("CreateIntlPhoneEmail", "OK" if fault in PROCESSED else fault)]


@pytest.mark.parametrize("fault", ["error-with-charset", "error-without-content-type"])
def test_error_that_the_sdk_takes_for_success_is_an_error(
    emulator: Emulator, default_bridge: Bridge, fault: str
) -> None:
    emulator.faults.arm(Fault(fault))
    response = default_bridge.deliver()
    request_id = emulator.calls[0].request_id
    check_problem(response, problem("code-incorrect", 422, retryable=False, api_request_id=request_id), ABORT)
    assert calls(emulator) == [("CreateIntlPhoneEmail", fault)]


@pytest.mark.parametrize("fault", WIRE_FAULTS)
def test_delivery_after_a_fault_is_verified(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault, contact="10086"))
    bridged = patient(emulator, fault)
    bridged.deliver(contact="10086")
    bridged = bridge(emulator.url)
    assert bridged.deliver().json["code"] == "verified"


def test_dripping_body_is_cut_off_at_the_deadline() -> None:
    """Each byte arrives within a timeout that restarts at each read."""

    clock = StillClock()

    def drip(connection: socket.socket) -> None:
        head, _, data = reply(SUCCESS).partition(b"\r\n\r\n")
        connection.sendall(head + b"\r\n\r\n")
        for byte in data:
            time.sleep(0.1)
            clock.advance(1)
            connection.sendall(bytes((byte,)))

    with Upstream(drip) as upstream:
        check_problem(bridge(upstream.url, clock, REQUEST_BUDGET=5).deliver(), UNKNOWN, PROBLEM)
        assert clock.run < 10
        assert len(upstream.requests) == 1


ODD_STATUSES = ["+200 OK", "2_00 OK", " 200 OK", "0200 OK", "200OK"]
ODD_NUMBERS = ["+", "0_", "-"]
"""Prefixes of numbers that int() accepts."""


def odd_length(prefix: str) -> bytes:
    data = json.dumps(SUCCESS)
    return f"HTTP/1.1 200 OK\r\nContent-Length: {prefix}{len(data)}\r\nConnection: close\r\n\r\n{data}".encode()


def odd_chunk(prefix: str) -> bytes:
    data = json.dumps(SUCCESS)
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return f"{head}{prefix}{len(data):x}\r\n{data}\r\n0\r\n\r\n".encode()


@pytest.mark.parametrize("size", ["{:x}", "{:X}", "00{:x}", "{:x};of=somebody", "{:x} ;a"])
def test_chunked_reply_is_read(size: str) -> None:
    data = json.dumps(SUCCESS)
    head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = f"{head}{size.format(len(data))}\r\n{data}\r\n0\r\nX-Trailer: 1\r\n\r\n".encode()
    with Upstream(send(whole)) as upstream:
        assert bridge(upstream.url).deliver().status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"220 mail.example.com ESMTP\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
        odd_length("0" * 5000),
        reply({**SUCCESS, "padding": "x" * 270_000}),
        reply(b"\x1f\x8b not gzip", headers="Content-Type: application/json\r\nContent-Encoding: gzip\r\n"),
        reply(SUCCESS, status="204 No Content"),
        reply(SUCCESS, status="500 Internal Server Error"),
        *(reply(SUCCESS, status=status) for status in ODD_STATUSES),
        *(odd_length(length) for length in ODD_NUMBERS),
        *(odd_chunk(size) for size in ODD_NUMBERS),
        odd_chunk("0x"),
    ],
    ids=[
        "not-http",
        "bad-chunk",
        "huge-chunk",
        "huge-length",
        "length-of-many-digits",
        "too-long",
        "encoded",
        "status-204",
        "status-500",
        *(f"status {status}" for status in ODD_STATUSES),
        *(f"length {length}" for length in ODD_NUMBERS),
        *(f"chunk {size}" for size in ODD_NUMBERS),
        "chunk 0x",
    ],
)
def test_unusable_reply_is_a_failure(data: bytes) -> None:
    with Upstream(send(data)) as upstream:
        check_problem(bridge(upstream.url).deliver(), FAILED, PROBLEM)
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
def test_endless_reply_is_cut_off_at_the_limit(endless: bytes) -> None:
    """The limit holds for any content at any speed."""

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
def test_trailing_data_is_not_the_next_reply(tls: Tls, size: int | None, secure: bool) -> None:
    """Two replies arrive at once. The second one is in a buffer, so that the socket does not appear readable."""
    first = reply(SUCCESS)
    if size:  # fills the buffer at once, so that the rest stays in the TLS layer
        first = reply({**SUCCESS, "padding": "x" * (size - len(reply({**SUCCESS, "padding": "x" * 1000})) + 1000)})
        assert len(first) == size

    def talk(connection: socket.socket) -> None:
        connection.sendall(first + STRANGER if upstream.connections == 1 else WRONG)

    with Upstream(talk, tls.context if secure else None) as upstream:
        bridged = bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle if secure else "")
        assert bridged.deliver().json["code"] == "verified"
        assert bridged.deliver(contact="10086").json["code"] == "code-incorrect"
        assert (upstream.connections, len(upstream.requests)) == (2, 2)


def test_trailing_data_in_a_second_write_is_not_the_next_reply(tls: Tls) -> None:
    """The server's machine holds back a second write until the first one is acknowledged."""

    called = threading.Semaphore(0)

    def talk(connection: socket.socket) -> None:
        connection.sendall(WRONG)
        connection.sendall(STRANGER)
        called.release()

    with Upstream(talk, tls.context) as upstream:
        bridged = bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle)
        codes = []
        for number in range(20):
            codes.append(bridged.deliver(contact=f"10086{number:02}").json.get("code"))
            assert called.acquire(timeout=60)
            time.sleep(0.02)
        assert codes == ["code-incorrect"] * 20


@pytest.mark.parametrize("interim", ["102 Processing", "103 Early Hints"])
def test_reply_after_an_interim_one_is_not_the_next_reply(interim: str) -> None:
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
def test_success_that_breaks_off_after_its_last_brace_is_a_failure(head: str) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 200 OK\r\n{head}{json.dumps(SUCCESS)}".encode())
        connection.shutdown(socket.SHUT_RDWR)

    with Upstream(talk) as upstream:
        check_problem(bridge(upstream.url).deliver(), FAILED, PROBLEM)


def test_long_reply_is_read_whole() -> None:
    with Upstream(send(reply({**SUCCESS, "padding": "x" * 200_000}))) as upstream:
        assert bridge(upstream.url).deliver().status == 200


def test_reply_that_ends_with_the_connection_is_read() -> None:
    def reply_and_close(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS, headers="Connection: close\r\n"))
        connection.close()

    with Upstream(reply_and_close) as upstream:
        bridged = bridge(upstream.url)
        assert bridged.deliver().status == bridged.deliver().status == 200
        assert len(upstream.requests) == upstream.connections == 2


def test_code_and_contact_are_sent_unchanged(emulator: Emulator) -> None:
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": "+86 (137) 0000-0000"})
    sent = emulator.domain.sent_codes()[0]
    assert bridge(emulator.url).deliver(contact="\t+86 (137) 0000-0000 ", verify_code=sent.code).status == 200
    assert emulator.calls[0].contact == "+86 (137) 0000-0000"
