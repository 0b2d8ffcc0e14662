"""Test the emulator's HTTP: raw header lines, Expect, errors, and responses that the relay forwards."""

from __future__ import annotations

import json
import re
import socket
from contextlib import closing
from typing import Any

import pytest
import requests

from signup_emulator.api.server import BODY_LIMIT
from signup_emulator.console.proxy import BridgeTarget
from signup_emulator.server import Emulator
from tests.support.bridge.signed_requests import body, signed
from tests.support.emulator.make_run import Pair
from tests.support.network.upstream import Upstream, send

PAGE_HEADERS = {"content-security-policy", "referrer-policy", "cross-origin-resource-policy", "cache-control"}


def connected(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def raw(url: str, request: str, data: bytes = b"") -> tuple[str, list[str], bytes]:
    """Send a request and return the raw response: status line, header lines, and all bytes after them."""
    with closing(connected(url)) as connection:
        lines = f"{request}\r\nHost: {url.removeprefix('http://')}\r\n"
        if data:
            lines += f"Content-Length: {len(data)}\r\n"
        connection.sendall(f"{lines}Connection: close\r\n\r\n".encode() + data)
        received = b""
        while part := connection.recv(65_536):
            received += part
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *headers = head.decode("latin-1").split("\r\n")
    return status, headers, rest


def names(headers: list[str]) -> list[str]:
    return [line.partition(":")[0].lower() for line in headers]


def relaying(emulator: Emulator, upstream: Upstream) -> None:
    emulator.console.bridge = BridgeTarget(upstream.url, auth="none", secret="x")


def test_proxy_returns_header_lines_unchanged(emulator: Emulator) -> None:
    lines = [
        "Server: bridge",
        "date: Thu, 01 Jan 1970 00:00:00 GMT",
        "X-Odd-CASE: a,  b",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "X-Latin: caf\xe9",
        "Content-Length: 2",
        "X-Hop: mine",
        "Keep-Alive: timeout=5",
        "Connection: close, X-Hop",
    ]
    head = "\r\n".join(["HTTP/1.1 299 Well Done", *lines])
    with Upstream(send(f"{head}\r\n\r\n{{}}".encode("latin-1"))) as upstream:
        relaying(emulator, upstream)
        status, headers, rest = raw(emulator.url, "POST /webhooks/signup HTTP/1.1", b"{}")
    assert (status, rest) == ("HTTP/1.1 299 Well Done", b"{}")
    assert sorted(headers) == sorted([*lines[:7], "Connection: close"])


def test_proxy_of_running_pair_returns_response_of_bridge(pair: Pair) -> None:
    data = body(contact="10086", verify_code="000000")
    head = "\r\n".join(
        ["POST /webhooks/signup HTTP/1.1", *(f"{a}: {b}" for a, b in signed(data, secret=pair.secret).items())]
    )
    raw(pair.bridge, head, data)
    direct, through = (raw(url, head, data) for url in (pair.bridge, pair.url))
    varies = ("date", "x-request-id", "server-timing")
    assert through[0] == direct[0]
    assert json.loads(through[2]).keys() == json.loads(direct[2]).keys()
    assert names(through[1]).count("server") == names(through[1]).count("date") == 1
    assert not PAGE_HEADERS - set(names(direct[1])) & set(names(through[1]))
    assert sorted(names(through[1])) == sorted(names(direct[1]))
    assert [line for line in sorted(through[1]) if not line.lower().startswith(varies)] == [
        line for line in sorted(direct[1]) if not line.lower().startswith(varies)
    ]


def test_proxy_keeps_content_length_of_head_request(emulator: Emulator) -> None:
    with Upstream(send(b"HTTP/1.1 405 METHOD NOT ALLOWED\r\nAllow: POST\r\nContent-Length: 77\r\n\r\n")) as upstream:
        relaying(emulator, upstream)
        status, headers, rest = raw(emulator.url, "HEAD /webhooks/signup HTTP/1.1")
    assert (status, rest) == ("HTTP/1.1 405 METHOD NOT ALLOWED", b"")
    assert "Content-Length: 77" in headers


def test_proxy_error_has_page_headers(emulator: Emulator) -> None:
    with Upstream(lambda connection: connection.close()) as upstream:
        relaying(emulator, upstream)
        status, headers, _ = raw(emulator.url, "POST /webhooks/signup HTTP/1.1", b"{}")
    assert status == "HTTP/1.1 502 BAD GATEWAY"
    assert set(names(headers)) >= PAGE_HEADERS


@pytest.mark.parametrize(
    "request_line",
    ["GET /", "HEAD /", "GET /emulator/codes", "HEAD /emulator/codes", "HEAD /emulator/events", "GET /nothing",
     "DELETE /", "OPTIONS /emulator/codes", "GET /emulator/redirected", "POST /emulator/reset", "POST /", "FOO /"],
)  # fmt: skip
def test_response_has_each_header_once(emulator: Emulator, request_line: str) -> None:
    status, headers, rest = raw(emulator.url, f"{request_line} HTTP/1.1")
    assert re.fullmatch(r"HTTP/1\.1 [245]\d\d .+", status)
    assert len(set(names(headers))) == len(headers)
    assert {"server", "date", "connection"} <= set(names(headers))
    if request_line.startswith("HEAD"):
        assert rest == b""


def test_known_page_returns_304(emulator: Emulator) -> None:
    _, headers, _ = raw(emulator.url, "GET /console.js HTTP/1.1")
    tag = next(line.partition(": ")[2] for line in headers if line.startswith("ETag"))
    status, headers, rest = raw(emulator.url, f"GET /console.js HTTP/1.1\r\nIf-None-Match: {tag}")
    assert (status, rest) == ("HTTP/1.1 304 NOT MODIFIED", b"")
    assert len(set(names(headers))) == len(headers)
    assert "transfer-encoding" not in names(headers)


@pytest.mark.parametrize("path", ["/", "/emulator/reset", "/webhooks/signup"])
def test_expect_continue_is_answered_before_body(emulator: Emulator, path: str) -> None:
    with Upstream(send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as upstream:
        relaying(emulator, upstream)
        with closing(connected(emulator.url)) as connection, connection.makefile("rb") as received:
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n"
            connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
            assert [received.readline(), received.readline()] == [b"HTTP/1.1 100 Continue\r\n", b"\r\n"]
            connection.sendall(b"{}")
            rest = received.read()
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert rest.count(b"HTTP/1.1 ") == 1


def test_http_1_0_client_gets_no_100_continue(emulator: Emulator) -> None:
    for path in ("/", "/emulator/reset"):
        status, _, _ = raw(emulator.url, f"POST {path} HTTP/1.0\r\nExpect: 100-continue", b"{}")
        assert status == "HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("nonsense", 400),
        ("GET / HTTP/x", 400),
        ("GET http://[x/ HTTP/1.1", 400),
        ("GET / HTTP/3.0", 505),
        ("GET /" + "a" * 70_000 + " HTTP/1.1", 414),
    ],
)
def test_malformed_request_returns_json_error(emulator: Emulator, request_line: str, status: int) -> None:
    status_line, headers, rest = raw(emulator.url, request_line)
    assert status_line.startswith(f"HTTP/1.1 {status} ")
    assert "Content-Type: application/json" in headers
    assert json.loads(rest)["error"]


def test_body_without_length_or_too_long_closes_connection(emulator: Emulator) -> None:
    chunked = requests.post(emulator.url, data=iter([b"{}"]), timeout=5)
    assert (chunked.status_code, chunked.headers["Connection"]) == (411, "close")
    long = requests.post(emulator.url, data=b" " * (BODY_LIMIT + 1), timeout=30)
    assert (long.status_code, long.headers["Connection"]) == (413, "close")
    assert long.json() == {"error": f"The body has {BODY_LIMIT + 1} bytes. The limit is {BODY_LIMIT}."}
    assert raw(emulator.url, "POST / HTTP/1.1\r\nContent-Length: \xb2")[0] == "HTTP/1.1 411 Length Required"


def test_api_connection_stays_open(emulator: Emulator) -> None:
    with requests.Session() as session:
        responses: list[Any] = [session.post(emulator.url, json={}, timeout=5) for _ in range(2)]
    assert ["Connection" in response.headers for response in responses] == [False, False]
