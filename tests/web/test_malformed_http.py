"""Test that each malformed or incomplete HTTP request receives a response in the profile's format."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from signup_bridge.web.profiles import PROFILES

from signup_emulator.server import Emulator
from tests.support.bridge.instances import gunicorn
from tests.support.bridge.targets import Running
from tests.support.network.raw_requests import raw

pytestmark = pytest.mark.usefixtures("fresh")
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"POST / HTTP/9.9\r\n\r\n",
        b"POST  /\x00 HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nsecret-of-somebody\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: secret-of-somebody\x00\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\n" + b"X: secret-of-somebody\r\n" * 500 + b"\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 8300 + b"\r\n\r\n",
        b"POST /" + b"y" * 8300 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: secret-of-somebody\r\n\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-1\r\nx\r\n",
        CHUNKED + b"1\r\nxy",
        CHUNKED + b"0\r\nsecret-of-somebody\r\n\r\n",
    ],
)  # fmt: skip
def test_malformed_http_returns_a_problem_document(running: Running, data: bytes) -> None:
    status, headers, document = raw(running.url, data)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert json.loads(document)["code"] == "body-malformed"
    assert {"x-request-id", "server-timing"} <= set(headers)
    assert b"secret-of-somebody" not in document
    assert "secret-of-somebody" not in running.log.read_text()


LENGTH = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\n\r\n"

INCOMPLETE = {
    "body": LENGTH + b'{"type": "phone"',
    "no body": LENGTH,
    "no chunk": CHUNKED,
    "chunk size": CHUNKED + b"1",
    "chunk": CHUNKED + b"5\r\nxy",
    "chunk's end": CHUNKED + b"2\r\nxy",
    "half of a chunk's end": CHUNKED + b"2\r\nxy\r",
    "next chunk": CHUNKED + b"2\r\nxy\r\n",
    "trailers": CHUNKED + b"2\r\nxy\r\n0\r\n",
}


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    log = tmp_path_factory.mktemp("bridge") / "log"
    with Emulator(rate=0) as emulator, gunicorn(
        emulator.url, log, REQUEST_BUDGET=0.3, SENDER_PROFILE=request.param
    ) as url:  # fmt: skip
        yield url


@pytest.mark.parametrize("hasty", ["status"], indirect=True)
@pytest.mark.parametrize("data", INCOMPLETE.values(), ids=INCOMPLETE)
def test_incomplete_body_is_retryable(hasty: str, data: bytes) -> None:
    assert_retryable(hasty, data)


@pytest.mark.parametrize("hasty", PROFILES, indirect=True)
@pytest.mark.parametrize("data", [INCOMPLETE["body"], INCOMPLETE["chunk"]], ids=["length", "chunked"])
@pytest.mark.parametrize("silent", [False, True], ids=["closed", "silent"])
def test_incomplete_body_is_retryable_in_every_profile(hasty: str, data: bytes, silent: bool) -> None:
    assert_retryable(hasty, data, silent=silent)


def assert_retryable(url: str, data: bytes, *, silent: bool = False) -> None:
    status, headers, document = raw(url, data, silent=silent)
    assert (status, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert "webhook-delivery" not in headers
    members = json.loads(document)
    assert (members.get("code", "body-incomplete"), members.get("retryable", True)) == ("body-incomplete", True)


def test_malformed_http_returns_a_response_of_the_profile(tmp_path: Path) -> None:
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, tmp_path / "log", SENDER_PROFILE="ack") as url:
        status, headers, document = raw(url, b"POST / HTTP/9.9\r\n\r\n")
    members = json.loads(document)
    assert (status, headers["content-type"]) == (200, "application/json")
    assert (members["code"], members["verified"]) == ("body-malformed", False)
