"""Test that the web function and the event function return the same responses."""

from __future__ import annotations

import base64
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.event_builders import DIRECT, handle, invoke, url_event
from tests.support.bridge.instances import Bridge, bridge, environment, gunicorn
from tests.support.bridge.responses import VARYING, HttpResponse, parse_response
from tests.support.bridge.signed_requests import body, signed


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Bridge]]:
    """Run the same bridge as a web function and as an event function."""
    log = tmp_path_factory.mktemp("both") / "log"
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log) as url:
        yield url, bridge(emulator.url)


visible = st.text(
    st.characters(min_codepoint=33, max_codepoint=255, exclude_characters="\x7f\x80\x85\xa0"), min_size=1, max_size=20
)
header_names = st.sampled_from(
    ["Content-Type", "X-Scf-Request-Id", "webhook-id", "webhook-signature", "Authorization", "X-Other"]
)


@given(
    method=st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD"]),
    path=st.sampled_from(
        ["/", "/webhooks/signup", "/health", "/openapi.json", "/x", "/webhooks%2Fsignup", "/%ff", "//"]
    ),
    data=st.sampled_from([body(verify_code="0000"), body(verify_code="x"), b"", b"[", b"x" * 17_000]) | st.binary(),
    sign=st.booleans(),
    extra=st.dictionaries(header_names, visible, max_size=2),
)
@settings(max_examples=150)
def test_web_and_event_function_respond_alike(
    both: tuple[str, Bridge], method: str, path: str, data: bytes, sign: bool, extra: dict[str, str]
) -> None:
    url, bridged = both
    headers = {"Content-Type": "application/json"}
    if sign:
        headers |= signed(data)
    headers |= extra
    web = over_http(url, method, path, data, headers)
    event = url_event(b"", httpMethod=method, path=path, headers=headers, isBase64Encoded=True)
    event["body"] = base64.b64encode(data).decode()
    event_response = bridged.events.handle(event, {})
    result = parse_response(
        event_response["statusCode"], event_response["headers"].items(), event_response["body"].encode()
    )
    assert without_ids(result) == without_ids(web)
    assert result.status < 500


def over_http(url: str, method: str, path: str, data: bytes, headers: dict[str, str]) -> HttpResponse:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(data)
        response = connection.getresponse()
        return parse_response(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


@pytest.mark.parametrize("good_first", [True, False])
def test_repeated_signature_header_is_a_list_in_both_functions(both: tuple[str, Bridge], good_first: bool) -> None:
    url, bridged = both
    data = body(verify_code="000000")
    headers = signed(data)
    signatures = ["v1,kZxAOvOreXHJXreLgUsT5C8vhiRc+z2W4lRIo+b9fAc=", headers.pop("webhook-signature")]
    signatures = signatures[:: -1 if good_first else 1]
    lines = [f"{name}: {value}" for name, value in headers.items()] + [
        f"webhook-signature: {one}" for one in signatures
    ]
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        head = "\r\n".join(["POST / HTTP/1.1", "Host: x", "Connection: close", f"Content-Length: {len(data)}", *lines])
        connection.sendall(f"{head}\r\n\r\n".encode() + data)
        response = HTTPResponse(connection)
        response.begin()
        assert (response.status, json.loads(response.read())["code"]) == (422, "code-incorrect")
    event_response = handle(bridged, url_event(data, headers=headers | {"webhook-signature": signatures}))
    assert (event_response.status, event_response.json["code"]) == (422, "code-incorrect")


def without_ids(one: HttpResponse) -> HttpResponse:
    try:
        document = one.json
    except ValueError:
        return one
    document.pop("api_request_id", None)
    return HttpResponse(one.status, one.headers, json.dumps(document).encode())


def test_verified_delivery_has_one_response_in_both_functions(tmp_path: Path) -> None:
    with Emulator() as first, Emulator() as second, gunicorn(first.url, tmp_path / "log") as url:
        web = over_http(url, "POST", "/", body(), signed(body()))
        result = handle(bridge(second.url), url_event())
    assert without_ids(web) == without_ids(result)
    assert web.status == 200


def test_main_handler_processes_http_direct_and_malformed_events(emulator: Emulator) -> None:
    responses, written = invoke(environment(emulator.url), url_event(), DIRECT, None)
    assert [one["statusCode"] for one in responses] == [200, 409, 422]
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["message"], line["request_id"], line["status"]) for line in lines] == [
        ("delivery", "r-1", 200),
        ("delivery", "r-1", 409),
        ("delivery", "r-1", 422),
    ]


def test_main_handler_without_a_key_signs_with_the_execution_role(emulator: Emulator) -> None:
    emulator.keys["role-id"] = "role-key"
    environ = environment(emulator.url, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="")
    role = {"TENCENTCLOUD_RUNENV": "SCF", "TENCENTCLOUD_SECRETID": "role-id", "TENCENTCLOUD_SECRETKEY": "role-key"}
    assert invoke(environ | role, DIRECT)[0][0]["statusCode"] == 200
    responses, written = invoke(environ, DIRECT)
    assert responses == []
    assert "TENCENT_SECRET_ID: is not set" in written


@pytest.mark.parametrize("setting", ["", "bogus"])
def test_garbage_collection_after_import_is_enabled(setting: str) -> None:
    program = """
import gc
try:
    import index
except SystemExit:
    print("refused")
print(gc.isenabled())
"""
    environ = environment("http://127.0.0.1:9", WEBHOOK_AUTH=setting)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT / "function", env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "True"
    assert ("refused" in done.stdout) == (setting == "bogus")


def test_varying_headers_are_the_only_excluded_ones() -> None:
    assert {"x-request-id", "server-timing", "date", "server", "connection", "content-length"} == VARYING
