"""Test TLS faults between the bridge and the API."""

from __future__ import annotations

import socket
import time

import pytest

from local_services.certificates import Tls
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.instances import bridge
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import PHONE
from tests.support.network.upstream import SUCCESS, Script, Upstream, cut, reply

UNKNOWN = problem("outcome-unknown", 504, retryable=True)


@pytest.mark.parametrize("break_off", [cut, lambda connection: connection.close()], ids=["reset", "no-goodbye"])
def test_tls_that_breaks_after_the_request_is_unknown(tls: Tls, break_off: Script) -> None:
    """The exception's class is that of a failed handshake, but the API may have used up the code."""
    with Upstream(break_off, tls.context) as upstream:
        check_problem(bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver(), UNKNOWN, PROBLEM)
        assert len(upstream.requests) == 1
        assert PHONE.encode() in upstream.requests[0]


def test_tls_that_replies_with_nonsense_is_unknown(tls: Tls) -> None:
    def nonsense(connection: socket.socket) -> None:
        with socket.socket(fileno=connection.detach()) as plain:
            plain.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            time.sleep(0.2)

    with Upstream(nonsense, tls.context) as upstream:
        check_problem(bridge(upstream.url, DOMAIN_API_CA_BUNDLE=tls.bundle).deliver(), UNKNOWN, PROBLEM)
        assert len(upstream.requests) == 1


def test_tls_that_stalls_in_the_body_is_unknown(tls: Tls) -> None:
    def stall(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS)[:-9])
        connection.recv(1)  # until the bridge has disconnected

    with Upstream(stall, tls.context) as upstream:
        bridged = bridge(upstream.url, StillClock(), DOMAIN_API_CA_BUNDLE=tls.bundle, REQUEST_BUDGET=0.8)
        check_problem(bridged.deliver(), UNKNOWN, PROBLEM)


def test_tls_connection_is_kept(tls: Tls) -> None:
    with Emulator(rate=0, tls=tls.context) as emulator:
        bridged = bridge(emulator.url, DOMAIN_API_CA_BUNDLE=tls.bundle)
        assert bridged.deliver().json["code"] == "verified"
        assert bridged.deliver().json["code"] == "already-verified"
