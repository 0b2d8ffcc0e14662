"""Test that scripts and host names of other sites cannot use the console, and that shown content cannot run."""

from __future__ import annotations

import socket

import pytest
import requests

from signup_emulator.console.event_stream import BACKLOG, EventStream
from signup_emulator.console.origin_check import is_own_host
from signup_emulator.server import Emulator
from tests.support.bridge.instances import bridge


@pytest.mark.parametrize("path", ["/", "/emulator/codes", "/emulator/events", "/emulator/reset", "/webhooks/signup"])
def test_forged_host_header_is_rejected(emulator: Emulator, path: str) -> None:
    method = "POST" if path.endswith(("reset", "signup")) else "GET"
    response = requests.request(method, emulator.url + path, headers={"Host": "evil.example"}, data=b"", timeout=60)
    assert response.status_code == 403
    assert "127.0.0.1" in response.json()["error"]
    assert "--allow-host" in response.json()["error"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1:1"])
def test_cross_site_request_is_rejected(emulator: Emulator, origin: str) -> None:
    for method, path in (("POST", "reset"), ("POST", "codes"), ("DELETE", "faults"), ("PATCH", "behaviour")):
        response = requests.request(
            method, f"{emulator.url}/emulator/{path}", headers={"Origin": origin}, json={}, timeout=60
        )
        assert response.status_code == 403
    own = requests.post(f"{emulator.url}/emulator/reset", headers={"Origin": emulator.url}, json={}, timeout=60)
    assert own.status_code == 200


def test_api_accepts_any_host_with_valid_signature(emulator: Emulator) -> None:
    assert bridge(emulator.url).deliver().json["code"] == "verified"
    foreign = requests.post(emulator.url, json={}, headers={"Host": "emulator:9010"}, timeout=60).json()
    assert foreign["Response"]["Error"]["Code"].startswith("AuthFailure")


def test_every_response_has_security_headers(emulator: Emulator) -> None:
    for path in ("/", "/emulator/codes", "/nothing"):
        headers = requests.get(emulator.url + path, timeout=60).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'; ")
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "Access-Control-Allow-Origin" not in headers


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9010", "localhost", "a.localhost:1", "[::1]:9010", "192.0.2.7", "LOCALHOST"]
)
def test_is_own_host_accepts_local_hosts(host: str) -> None:
    assert is_own_host(host, "127.0.0.1")


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "user@evil"])
def test_is_own_host_rejects_foreign_hosts(host: str) -> None:
    assert not is_own_host(host, "127.0.0.1")


def test_is_own_host_accepts_machine_name_if_others_may_connect() -> None:
    assert is_own_host(socket.gethostname(), "0.0.0.0")
    assert not is_own_host("evil.example", "0.0.0.0")
    assert is_own_host("bridge.test", "bridge.test")


def test_allowed_host_is_accepted() -> None:
    with Emulator(rate=0, allowed=["Emulator.test", "ci"]) as emulator:
        port = emulator.url.rpartition(":")[2]
        for host, status in {
            f"emulator.test:{port}": 200, "EMULATOR.TEST": 200, "ci": 200, "127.0.0.1": 200,
            "evil.example": 403, "x.emulator.test": 403, "emulator.test.evil.example": 403,
        }.items():  # fmt: skip
            response = requests.get(f"{emulator.url}/emulator/codes", headers={"Host": host}, timeout=5)
            assert response.status_code == status, host
        headers = {"Host": "emulator.test", "Origin": "http://emulator.test"}
        assert requests.post(f"{emulator.url}/emulator/reset", headers=headers, data=b"", timeout=5).status_code == 200
        headers["Origin"] = "http://ci"
        assert requests.post(f"{emulator.url}/emulator/reset", headers=headers, data=b"", timeout=5).status_code == 403


def test_event_stream_drops_slow_listener() -> None:
    live = EventStream()
    slow = live.watch()
    assert next(slow) == "retry: 1000\n\n"
    for number in range(BACKLOG + 1):
        live.publish("delivery", {"number": number})
    assert list(slow) == []
    fast = live.watch()
    next(fast)
    live.publish("reset", {})
    assert next(fast) == "event: reset\ndata: {}\n\n"
    live.close()
    assert list(fast) == []
