"""Test the methods of each path, OPTIONS, and the page at the root."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.support.bridge.instances import Bridge


def plain(response: Any) -> tuple[int, str]:
    return response.status_code, response.json["code"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        *((method, "/", "OPTIONS, POST") for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH")),
        *((method, "/webhooks/signup", "OPTIONS, POST") for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH")),
        *(("POST", path, "GET, HEAD, OPTIONS") for path in ("/health", "/openapi.json")),
    ],
)  # fmt: skip
def test_method_not_allowed_names_the_allowed_ones(
    default_bridge: Bridge, method: str, path: str, allowed: str
) -> None:
    response = default_bridge.client.open(path, method=method)
    assert (response.status_code, response.headers["Allow"]) == (405, allowed)
    assert response.content_type == "application/problem+json"
    assert json.loads(response.data or '{"code": "method-not-allowed"}')["code"] == "method-not-allowed"
    assert (response.data == b"") is (method == "HEAD")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [("/", "OPTIONS, POST"), ("/webhooks/signup", "OPTIONS, POST"), ("/health", "GET, HEAD, OPTIONS")],
)
def test_options_names_the_methods_of_a_path(default_bridge: Bridge, path: str, allowed: str) -> None:
    response = default_bridge.client.options(path)
    assert (response.status_code, response.headers["Allow"], response.data) == (204, allowed, b"")
    assert not {"Content-Type", "Content-Length"} & set(response.headers.keys())
    assert plain(default_bridge.client.options("/nowhere")) == (404, "not-found")


@pytest.mark.parametrize("accept", ["text/html", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"])
def test_root_is_a_page_for_browsers(default_bridge: Bridge, accept: str) -> None:
    response = default_bridge.client.get("/", headers={"Accept": accept})
    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    assert "signup-bridge" in response.text
    (link,) = re.findall('href="([^"]+)"', response.text)
    assert default_bridge.client.get(f"/{link}").get_json()["openapi"] == "3.1.0"


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
def test_root_is_no_success_for_senders(default_bridge: Bridge, accept: str) -> None:
    response = default_bridge.client.get("/", headers={"Accept": accept})
    assert plain(response) == (405, "method-not-allowed")
