"""Test the routes: paths, methods, media types, the headers of every response, and internal errors."""

from __future__ import annotations

import io
import json
import logging
import re
from typing import Any

import pytest
from signup_bridge.telemetry.logs import JsonFormatter

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock
from tests.support.bridge.instances import Bridge, bridge, calls
from tests.support.bridge.responses import ABORT, PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed


def plain(response: Any) -> tuple[int, str]:
    return response.status_code, response.json["code"]


@pytest.mark.parametrize("path", ["/nothing", "/webhooks//signup", "/webhooks", "/health/", "/deliveries/"])
def test_unknown_path_is_not_found(default_bridge: Bridge, path: str) -> None:
    check_problem(default_bridge.post(body(), path=path), problem("not-found", 404, retryable=False), PROBLEM)


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_media_type_other_than_json_is_unsupported(emulator: Emulator, default_bridge: Bridge, media_type: str) -> None:
    response = default_bridge.post(body(), signed(body()) | {"Content-Type": media_type})
    check_problem(response, problem("media-type-unsupported", 415, retryable=False), PROBLEM)
    assert calls(emulator) == []


@pytest.mark.parametrize("coding", ["gzip", "identity, gzip", "BR"])
def test_content_encoding_is_unsupported(emulator: Emulator, default_bridge: Bridge, coding: str) -> None:
    response = default_bridge.client.post("/", data=body(), headers=signed(body()) | {"Content-Encoding": coding})
    assert plain(response) == (415, "media-type-unsupported")
    assert response.headers["Accept-Encoding"] == "identity"
    assert calls(emulator) == []
    unsigned = default_bridge.client.post("/", data=body(), headers={"Content-Encoding": coding})
    assert plain(unsigned) == (401, "signature-invalid")


def test_openapi_names_accept_encoding_for_415(default_bridge: Bridge) -> None:
    described = default_bridge.client.get("/openapi.json").json
    assert described
    responses = described["paths"]["/webhooks/signup"]["post"]["responses"]
    named = [status for status, response in responses.items() if "Accept-Encoding" in response["headers"]]
    assert named == ["415"]
    assert responses["415"]["headers"]["Accept-Encoding"]["schema"]["enum"] == ["identity"]


def test_unsupported_media_type_has_no_accept_encoding(default_bridge: Bridge) -> None:
    response = default_bridge.client.post("/", data=body(), headers=signed(body()) | {"Content-Type": "text/plain"})
    assert response.status_code == 415
    assert "Accept-Encoding" not in response.headers


@pytest.mark.parametrize("coding", ["", "identity", "Identity "])
def test_content_encoding_identity_is_accepted(default_bridge: Bridge, coding: str) -> None:
    assert default_bridge.post(body(), signed(body()) | {"Content-Encoding": coding}).status == 200


@pytest.mark.parametrize("path", ["/webhooks/signup/", "/webhooks/code/"])
def test_webhook_path_with_a_trailing_slash_is_routed(emulator: Emulator, path: str) -> None:
    data = body() if "signup" in path else body(verify_code=None)
    assert bridge(emulator.url, SEND_CODES="true").post(data, path=path).status in (200, 202)


def test_missing_media_type_is_json(default_bridge: Bridge) -> None:
    headers = signed(body())
    del headers["Content-Type"]
    assert default_bridge.post(body(), headers).status == 200


def test_body_that_is_no_json_is_malformed(default_bridge: Bridge) -> None:
    check_problem(default_bridge.post(b"{"), problem("body-malformed", 400, retryable=False), ABORT)


def test_invalid_signature_precedes_a_malformed_body(default_bridge: Bridge) -> None:
    assert default_bridge.post(b"{", {"Content-Type": "text/plain"}).json["code"] == "signature-invalid"


@pytest.mark.parametrize("size", [16_384, 16_385, 16_386, 1_000_000])
def test_body_limit_is_inclusive(default_bridge: Bridge, size: int) -> None:
    data = body(padding="")
    data = data.replace(b'"padding": ""', b'"padding": "' + b"x" * (size - len(data)) + b'"')
    assert len(data) == size
    response = default_bridge.post(data)
    if size <= 16_384:
        assert response.status == 200
    else:
        check_problem(response, problem("body-too-large", 413, retryable=False), PROBLEM)


def test_body_limit_with_a_mapping_is_larger(emulator: Emulator) -> None:
    mapped: dict[str, Any] = {"PAYLOAD_CONTACT": "/contact", "PAYLOAD_CODE": "/verify_code"}
    bridged = bridge(emulator.url, **mapped)
    assert bridged.post(body(metadata="x" * 200_000)).status == 200
    response = bridged.post(body(metadata="x" * 262_144))
    assert (response.status, response.json["detail"]) == (413, "Send at most 262144 bytes.")
    response = bridge(emulator.url, **mapped, BODY_LIMIT=2000).post(body(metadata="x" * 2000))
    assert (response.status, response.json["detail"]) == (413, "Send at most 2000 bytes.")


def test_body_that_breaks_off_is_incomplete(emulator: Emulator) -> None:
    """Without a signature over the body, half a body must not be accepted as the whole."""
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none")
    environ = {"CONTENT_LENGTH": str(len(body()) + 5), "wsgi.input_terminated": True}
    broken = bridged.client.post("/", input_stream=io.BytesIO(body()), environ_overrides=environ)
    assert plain(broken) == (503, "body-incomplete")

    class Gone(io.BytesIO):
        def readinto(self, _buffer: Any) -> int:
            raise OSError("no more data after: …")

    gone = bridged.client.post("/", input_stream=Gone(), environ_overrides={"wsgi.input_terminated": True})
    assert plain(gone) == (503, "body-incomplete")
    assert calls(emulator) == []


@pytest.mark.parametrize("path", ["/", "/health"])
def test_malformed_host_is_a_bad_request(default_bridge: Bridge, path: str) -> None:
    response = default_bridge.client.open(path, method="GET", environ_overrides={"HTTP_HOST": "a..b"})
    assert plain(response) == (400, "body-malformed")
    assert response.json
    assert response.json["detail"] == "The request is malformed."


def test_body_announced_as_too_large_is_not_read(emulator: Emulator) -> None:
    class Unread(io.BytesIO):
        def readinto(self, _buffer: Any) -> int:
            raise AssertionError("the body was read")

    environ = {"CONTENT_LENGTH": "1000000", "wsgi.input_terminated": True}
    response = bridge(emulator.url).client.post("/", input_stream=Unread(), environ_overrides=environ)
    assert plain(response) == (413, "body-too-large")


def test_budget_includes_reading_the_body(emulator: Emulator) -> None:
    clock = SetClock()

    class Slow(io.BytesIO):
        def readinto(self, buffer: Any) -> int:
            clock.run = 60.0
            return super().readinto(buffer)

    bridged = bridge(emulator.url, clock=clock, WEBHOOK_AUTH="none")
    response = bridged.client.post("/", input_stream=Slow(body()), environ_overrides={"wsgi.input_terminated": True})
    assert plain(response) == (503, "overloaded")
    assert calls(emulator) == []


@pytest.mark.parametrize(
    ("data", "headers", "result"),
    [
        (body(), {}, {"outcome": "signature-invalid", "reason": "no signature headers", "status": 401}),
        (
            body(type=3, verify_code=""),
            None,
            {"outcome": "body-invalid", "invalid_members": ["#/type", "#/verify_code"], "status": 422},
        ),
        (
            body(contact="10086"),
            None,
            {
                "outcome": "code-incorrect",
                "type": "phone",
                "contact": "***86",
                "api_code": "InternalError.VerifyCodeErr",
                "status": 422,
            },
        ),
    ],
)
def test_delivery_writes_one_log_line(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, data: bytes, headers: Any, result: dict[str, Any]
) -> None:
    bridged = bridge(emulator.url)
    caplog.set_level(logging.INFO, "signup_bridge")
    bridged.post(data, headers)
    (line,) = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert {"duration_ms", "wait_ms", "upstream_ms", "time"} <= set(line)
    kept = {name: value for name, value in line.items() if not name.endswith("_ms") and name != "time"}
    assert kept.pop("api_request_id", None) == (emulator.calls[0].request_id if emulator.calls else None)
    assert kept == {"level": "INFO", "message": "delivery", **result}


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("7f3c2f1e-0000-4000-8000-000000000000", True),
        ("00000000-0000-4000-8000-000000000000", True),
        ("req-1", True),
        ("13912345678", False),
        ("139-1234-5678", False),
        ("", False),
        ("a b", False),
        ("x" * 65, False),
        ("é", False),
    ],
)
def test_request_id_of_the_platform_is_kept_if_well_formed(default_bridge: Bridge, header: str, kept: bool) -> None:
    response = default_bridge.client.get("/health", headers={"X-Scf-Request-Id": header})
    request_id = response.headers["X-Request-Id"]
    assert (request_id == header) is kept
    assert re.fullmatch("[0-9A-Za-z-]{1,64}", request_id)


def test_server_timing_shows_wait_and_upstream(default_bridge: Bridge) -> None:
    response = default_bridge.client.post("/", data=body(), headers=signed(body()))
    match = re.fullmatch(r"wait;dur=([0-9.]+), upstream;dur=([0-9.]+)", response.headers["Server-Timing"])
    assert match
    assert float(match[1]) < 1000
    assert float(match[2]) > 0


@pytest.mark.parametrize(
    ("fault", "code", "status", "retryable", "headers"),
    [
        ("LimitExceeded.RequestLimit", "upstream-throttled", 503, True, PROBLEM | {"retry-after": "1"}),
        ("AuthFailure.SecretIdNotFound", "bridge-misconfigured", 500, True, PROBLEM),
        ("InternalError.AddPhoneEmailErr", "upstream-failed", 502, True, PROBLEM),
        ("InvalidParameterValue.InvalidParameterFormat", "contact-invalid", 422, False, ABORT),
    ],
)
def test_api_error_maps_to_its_response(  # noqa: PLR0917  pytest's fixtures and parameters
    emulator: Emulator,
    default_bridge: Bridge,
    fault: str,
    code: str,
    status: int,
    retryable: bool,
    headers: dict[str, str],
) -> None:
    emulator.faults.arm(Fault(fault))
    response = default_bridge.deliver()
    request_id = emulator.calls[0].request_id
    check_problem(response, problem(code, status, retryable=retryable, api_request_id=request_id), headers)
    assert calls(emulator) == [("CreateIntlPhoneEmail", fault)]


def test_wrong_key_is_logged_with_its_remedy(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    bridged = bridge(emulator.url, TENCENT_SECRET_KEY="wrong")
    caplog.set_level(logging.INFO, "signup_bridge")
    assert bridged.deliver().json["code"] == "bridge-misconfigured"
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    line = json.loads(JsonFormatter().format(record))
    assert line["api_code"] == "AuthFailure.SignatureFailure"
    assert line["remedy"].startswith("TENCENT_SECRET_KEY")


def test_internal_error_shows_no_details(
    monkeypatch: pytest.MonkeyPatch, default_bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError(f"with {PHONE} and {CODE}")

    monkeypatch.setattr("signup_bridge.upstream.calls.RateLimitedApi.create", fail)
    caplog.set_level(logging.INFO, "signup_bridge")
    check_problem(default_bridge.deliver(), problem("internal-error", 500, retryable=True), PROBLEM)
    lines = [JsonFormatter().format(record) for record in caplog.records]
    assert [json.loads(line)["message"] for line in lines] == ["internal error", "delivery"]
    assert json.loads(lines[0])["error"] == "RuntimeError"
    assert json.loads(lines[0])["stack"][-1].endswith("fail")
    assert not any(PHONE in line or CODE in line for line in lines)
