"""Test that only a route's exact spelling reaches it, so that a proxy's rules about paths hold."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import requests

from signup_emulator.server import Emulator
from tests.support.bridge.event_builders import handle, url_event
from tests.support.bridge.instances import Bridge, bridge, gunicorn
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import body, signed
from tests.support.network.raw_requests import raw

METRICS = [
    "//metrics", "/%6Detrics", "/%6detrics", "/metrics/", "/metrics%2F", "/./metrics", "/x/../metrics", "/metrics;x",
]  # fmt: skip


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    log = tmp_path_factory.mktemp("bridge") / "log"
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log, METRICS="true") as url:
        yield url


@pytest.mark.parametrize(
    "target",
    [
        "//health", "/%68ealth", "///health", "/health%2F", "/./health", "/x/../health", "//openapi.json", "/read%79",
        "http://x//health", "http://x/%68ealth", "//webhooks/signup", "/%77ebhooks/signup", "/deliverie%73/x",
        "//deliveries/x", "/health;x", "/health/", *METRICS,
    ],
)  # fmt: skip
def test_path_in_another_spelling_is_not_found(metered: str, target: str) -> None:
    for method in ("GET", "POST"):
        request = f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        status, _, document = raw(metered, request.encode())
        assert (status, json.loads(document)["code"]) == (404, "not-found")


@pytest.mark.parametrize("target", ["/health", "/health?a=//b", "http://x/health", "/metrics"])
def test_path_as_written_is_routed(metered: str, target: str) -> None:
    assert raw(metered, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())[0] == 200


@pytest.mark.parametrize("target", ["http://x", "http://x/", "http://x/webhooks/signup"])
def test_target_in_the_absolute_form_is_routed(metered: str, target: str) -> None:
    """Source: RFC 9112, section 3.2.2. Werkzeug would redirect an empty path to /, and no sender follows redirects."""
    data = body(contact="10086", verify_code="000000")
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(data).items())
    request = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n{head}\r\n".encode() + data
    status, _, document = raw(metered, request)
    assert (status, json.loads(document)["code"]) == (422, "code-incorrect")


def test_delivery_id_may_be_percent_encoded(metered: str) -> None:
    data = body()
    headers = signed(data, delivery_id="signup-7/a")
    assert requests.post(f"{metered}/", data=data, headers=headers, timeout=60).status_code == 200
    found = requests.get(f"{metered}/deliveries/signup-7%2F%61", headers=signed(b""), timeout=60)
    assert found.json()["code"] == "verified"


@pytest.fixture
def counted(emulator: Emulator) -> Bridge:
    return bridge(emulator.url, METRICS="true")


@pytest.mark.parametrize("path", METRICS)
def test_http_event_path_in_another_spelling_is_not_found(counted: Bridge, path: str) -> None:
    response = handle(counted, url_event(b"", httpMethod="GET", path=path))
    check_problem(response, problem("not-found", 404, retryable=False), PROBLEM)
