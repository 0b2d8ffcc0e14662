"""Test that the console's REST interface rejects invalid requests with a reason."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from signup_bridge.cli.installation import command_line

from signup_emulator.server import Emulator
from tests.support.emulator.console_requests import CONTACT, refusal
from tests.support.emulator.make_run import Pair, running_pair


@pytest.mark.parametrize("fault", ["html", "empty-response", "error-without-content-type", "reset"])
def test_send_code_with_broken_reply_returns_409(pair: Pair, fault: str) -> None:
    pair.post("faults", {"fault": fault, "action": "SendIntlPhoneEmailCode"})
    response = requests.post(f"{pair.url}/emulator/codes", json={"contact": CONTACT}, timeout=60)
    assert response.status_code == 409, response.text


@pytest.mark.parametrize(
    ("method", "path", "document", "status", "words"),
    [
        ("POST", "codes", {}, 422, "contact: is required"),
        ("POST", "codes", [], 422, "the body must be a JSON object"),
        ("POST", "codes", {"contact": 5}, 422, "contact: must be a string"),
        ("POST", "codes", {"contact": "1", "type": "fax"}, 422, "type: must be one of phone, email"),
        ("POST", "deliveries", {"contact": "1", "verify_code": "2", "x": 1}, 422, "x: is not supported"),
        ("POST", "deliveries", {"contact": "1", "verify_code": "2", "wait": 1}, 422, "wait: must be a boolean"),
        ("POST", "deliveries", {"contact": "1", "verify_code": "2", "sender": "x"}, 422, "sender: must be one of"),
        ("POST", "deliveries/7/redeliver", {"as": "x"}, 422, "as: must be one of fresh, stale, tampered"),
        ("POST", "deliveries/7/redeliver", {}, 409, "delivery 7 does not exist"),
        ("GET", "deliveries/7", None, 404, "delivery 7 does not exist"),
        ("GET", "deliveries/7/curl", None, 409, "delivery 7 does not exist"),
        ("GET", "deliveries?limit=x", None, 422, "limit: must be a whole number"),
        ("PATCH", "behaviour", {"nothing": 1}, 422, "nothing: is not supported"),
        ("GET", "nothing", None, 404, "not found"),
    ],
)  # fmt: skip
def test_invalid_request_is_explained(
    pair: Pair, method: str, path: str, document: Any, status: int, words: str
) -> None:
    response_status, error = refusal(pair, method, path, document)
    assert response_status == status
    assert words in error


def test_emulator_without_bridge_has_codes_but_no_deliveries(emulator: Emulator) -> None:
    url = f"{emulator.url}/emulator"
    assert requests.get(f"{url}/status", timeout=60).json()["bridge"] is None
    assert requests.post(f"{url}/codes", json={"contact": CONTACT}, timeout=60).status_code == 201
    for path in ("emulator/deliveries", "webhooks/signup"):
        order = {"contact": CONTACT, "verify_code": "000000"}
        response = requests.post(f"{emulator.url}/{path}", json=order, timeout=60)
        assert response.status_code == 409
        assert f"start both with `{command_line('run')}`" in response.json()["error"]


def test_malformed_http_to_proxy_ends_delivery(pair: Pair) -> None:
    address = urlsplit(pair.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=60) as connection:
        head = f"Host: {address.netloc}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        connection.sendall(b"POST /webhooks/\xff HTTP/1.1\r\n" + head)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 502 ")
    assert [one["state"] for one in pair.get("deliveries")] == ["done"]


def test_bridge_without_send_codes_requires_code(tmp_path: Path) -> None:
    with running_pair(tmp_path, SEND_CODES="false") as pair:
        assert pair.get("status")["sends"] is False
        response_status, error = refusal(pair, "POST", "deliveries", {"contact": CONTACT})
        assert (response_status, error.startswith("verify_code: is required")) == (409, True)
