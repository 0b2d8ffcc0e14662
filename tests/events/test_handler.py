from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.events import http_event
from signup_bridge.events.invocation import Invocation

from local_services.redis_server import RedisServer
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.event_builders import CONTEXT, DIRECT, gateway_event, handle, url_event
from tests.support.bridge.instances import Bridge, bridge, calls
from tests.support.bridge.responses import ABORT, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body

RECORDS = [{"Ckafka": {"topic": "t", "partition": 0, "offset": 1, "msgKey": "", "msgBody": json.dumps(DIRECT)}}]


@pytest.mark.parametrize("event", [url_event, gateway_event])
def test_http_event_is_verified_with_a_signature_only(emulator: Emulator, default_bridge: Bridge, event: Any) -> None:
    assert handle(default_bridge, event()).json["code"] == "verified"
    assert handle(default_bridge, event()).json["code"] == "already-verified"
    unsigned = handle(default_bridge, event(headers={"content-type": "application/json"}))
    assert unsigned.json["code"] == "signature-invalid"
    assert len(calls(emulator)) == 2


def test_direct_invocation_counts_utf8_bytes_against_the_body_limit(default_bridge: Bridge) -> None:
    assert handle(default_bridge, DIRECT | {"note": "\u4e2d" * 5000}).status == 200
    assert handle(default_bridge, DIRECT | {"note": "\u4e2d" * 6000}).json["code"] == "body-too-large"
    assert handle(default_bridge, DIRECT | {"note": "\ud800"}).json["code"] == "body-malformed"


def test_direct_invocation_without_a_signature_is_verified(emulator: Emulator, default_bridge: Bridge) -> None:
    assert handle(default_bridge, DIRECT).json["code"] == "verified"
    assert handle(default_bridge, {"Type": 1, "Code": PHONE, "VerifyCode": CODE, "id": "order-7"}).status == 409
    assert len(calls(emulator)) == 2


@pytest.mark.parametrize("wrong", ["", "x" * 257, "a\nb", 5, None, ["a"]])
def test_direct_invocation_with_an_invalid_id_is_rejected(default_bridge: Bridge, wrong: object) -> None:
    response = handle(default_bridge, DIRECT | {"id": wrong})
    errors = [{"pointer": "#/id", "detail": "must be a string of 1 to 256 printable characters"}]
    expected = problem("body-invalid", 422, retryable=False, errors=errors)
    check_problem(response, expected, ABORT)


@pytest.mark.parametrize("key", ["httpMethod", "headers", "requestContext", "path", "payload", "Records"])
@pytest.mark.parametrize("value", [None, "", "POST", {}, [], True])
def test_half_an_http_event_is_no_direct_invocation(
    emulator: Emulator, default_bridge: Bridge, key: str, value: object
) -> None:
    response = handle(default_bridge, DIRECT | {key: value, "body": body().decode()})
    assert response.json["code"] == "body-malformed"
    assert calls(emulator) == []


@pytest.mark.parametrize(
    "event",
    [
        {"Records": [{"cos": {"cosBucket": {}, "cosObject": {}}, "event": {}}]},
        {"Records": []},
        {"Records": [{"Ckafka": 5}, None]},
        {"Records": RECORDS, "httpMethod": "PO ST", "headers": {}, "path": "/"},
        {"Records": RECORDS, "Type": "Timer"},
        {"Type": "Timer", "headers": {}},
        {"clsLogs": [], "payload": "x"},
        {"headers": {}, "payload": "{}", "isBase64Encoded": False},
        url_event(httpMethod=...),
        url_event(httpMethod="PO ST"),
        url_event(httpMethod=["POST"]),
        url_event(body={"type": 1}),
        url_event(body="%%%", isBase64Encoded=True),
        url_event(body="é", isBase64Encoded=True),
    ],
)
def test_unsupported_event_is_malformed(emulator: Emulator, default_bridge: Bridge, event: object) -> None:
    headers = {"content-type": "application/problem+json", "webhook-delivery": "abort-message"}
    check_problem(handle(default_bridge, event), problem("body-malformed", 400, retryable=False), headers)
    assert calls(emulator) == []


def test_unsupported_event_is_logged_with_its_known_keys(
    default_bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    handle(default_bridge, {"Records": [{"cos": {}}], "path": "/18766554433", "18766554433": 1})
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.getMessage() == "unsupported event"
    assert line.fields == {"event_keys": ["Records", "path"]}  # type: ignore[attr-defined]


def test_http_event_with_records_needs_a_signature(emulator: Emulator, default_bridge: Bridge) -> None:
    """The event is an HTTP request, not a CKafka batch, which needs no signature."""
    event = {"Records": RECORDS, "httpMethod": "POST", "headers": {}, "path": "/", "body": json.dumps(DIRECT)}
    assert handle(default_bridge, event).json["code"] == "signature-invalid"
    assert calls(emulator) == []


TIMER = {"Type": "Timer", "TriggerName": "t", "Time": "2026-01-01T00:00:00Z", "Message": ""}


def test_timer_prunes_the_ledger(emulator: Emulator) -> None:
    clock = SetClock()
    bridged = bridge(emulator.url, clock)
    for number in range(3):
        handle(bridged, DIRECT | {"contact": f"1000{number}", "id": f"m{number}"})
    assert bridged.events.handle(TIMER, CONTEXT) == {"status": "pruned", "records": 0}
    clock.wall += 345_600 + 1
    assert bridged.events.handle(TIMER, None) == {"status": "pruned", "records": 3}
    assert bridged.events.handle(TIMER, CONTEXT) == {"status": "pruned", "records": 0}


def test_timer_with_a_failing_ledger_reports_it(emulator: Emulator, tmp_path: Path) -> None:
    bridged = bridge(emulator.url, LEDGER_URL=f"sqlite:///{tmp_path}/nowhere/ledger.db")
    assert bridged.events.handle(TIMER, CONTEXT) == {"status": "ledger-unavailable"}


def test_timer_with_a_redis_ledger_prunes_nothing(emulator: Emulator, redis_server: RedisServer) -> None:
    bridged = bridge(emulator.url, LEDGER_URL=redis_server.url, LEDGER_KEY="k" * 32)
    assert bridged.events.handle(TIMER, CONTEXT) == {"status": "pruned", "records": 0}


def test_http_event_with_a_base64_body_is_verified(default_bridge: Bridge) -> None:
    event = url_event(isBase64Encoded=True)
    event["body"] = base64.b64encode(event["body"].encode()).decode()
    assert handle(default_bridge, event).json["code"] == "verified"


@pytest.mark.parametrize("event", [None, [], [DIRECT], "text", 5, True, 1.5, {"type"}, b"bytes", {1: {2}}])
def test_event_that_is_no_object_is_rejected(emulator: Emulator, default_bridge: Bridge, event: object) -> None:
    assert handle(default_bridge, event).json["code"] in ("body-invalid", "body-malformed")
    assert calls(emulator) == []


def test_http_event_without_optional_keys_is_handled(default_bridge: Bridge) -> None:
    assert handle(default_bridge, {"httpMethod": "GET", "headers": {}}).json["code"] == "method-not-allowed"
    assert handle(default_bridge, {"httpMethod": "GET", "headers": {}, "path": "/health?x=1"}).json["status"] == "ok"
    assert handle(default_bridge, url_event(headers=...)).json["code"] == "body-malformed"
    assert handle(default_bridge, url_event(headers=["webhook-id"])).json["code"] == "body-malformed"
    assert handle(default_bridge, url_event(body=...)).json["code"] == "signature-invalid"
    assert handle(default_bridge, url_event(path=None), context=None).json["code"] == "verified"


def received(event: dict[str, Any]) -> dict[str, Any]:
    """Return the environment that the application receives."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    http_event.respond(application, event, Invocation())
    return seen


def test_http_event_headers_become_wsgi_headers(default_bridge: Bridge) -> None:
    event = url_event()
    event["headers"] = {name.upper(): [value] for name, value in event["headers"].items()} | {
        "X-Many": ["a", "c", None, 10**5000, {}],
        "x-many": "b",
        "X-None": None,
        "X-Empty": [],
        "x_dropped": "as gunicorn does",
        "bad name": "x",
        "X-Wide": "\u4e2d",
        "X-Latin": "\u00e9",
        "X-Half": "\ud800",
        "Content-Length": "1",
        "Transfer-Encoding": "chunked",
    }
    environ = received(event)
    headers = {name: value for name, value in environ.items() if name.startswith("HTTP_X_")}
    assert headers == {
        "HTTP_X_MANY": "a,c,b",
        "HTTP_X_WIDE": "\u4e2d".encode().decode("latin-1"),
        "HTTP_X_LATIN": "\u00e9",
        "HTTP_X_HALF": "\xed\xa0\x80",
    }
    assert environ["CONTENT_LENGTH"] == str(len(body()))
    assert environ["CONTENT_TYPE"] == "application/json"
    assert not {"HTTP_BAD NAME", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH"} & set(environ)
    assert handle(default_bridge, event).json["code"] == "verified"


def test_http_event_with_two_ids_is_rejected(default_bridge: Bridge) -> None:
    doubled = url_event()
    doubled["headers"]["Webhook-Id"] = doubled["headers"]["webhook-id"]
    assert handle(default_bridge, doubled).json["code"] == "signature-invalid"


@pytest.mark.parametrize("encoded", ["true", 1, "false", None, 0])
def test_http_event_body_is_base64_only_if_true(encoded: object) -> None:
    assert received(url_event(isBase64Encoded=encoded))["wsgi.input"].read() == body()


def test_http_event_with_lone_surrogates_is_encoded() -> None:
    environ = received(url_event(body="\ud800", path="/\ud800%41"))
    assert environ["wsgi.input"].read() == b"\xed\xa0\x80"
    assert environ["PATH_INFO"] == "/\xed\xa0\x80A"


def test_event_nested_too_deep_is_malformed(default_bridge: Bridge) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert handle(default_bridge, DIRECT | {"deep": deep}).json["code"] == "body-malformed"
    while deep:  # unnest it in a loop: deallocating it at once would recurse
        deep = deep[0]


def test_context_sets_the_request_id_and_budget(emulator: Emulator, default_bridge: Bridge) -> None:
    event = url_event()
    event["headers"]["x-scf-request-id"] = "forged"
    response = default_bridge.events.handle(event, CONTEXT)
    assert response["headers"]["X-Request-Id"] == CONTEXT["request_id"]
    emulator.faults.arm(Fault("hang"))
    still = bridge(emulator.url, StillClock(), REQUEST_BUDGET=5)
    hanging = handle(still, url_event(), {"time_limit_in_ms": 800, "request_id": 5})
    assert hanging.json["code"] == "outcome-unknown"
    assert handle(still, url_event(), {"time_limit_in_ms": 100}).json["code"] == "overloaded"
    emulator.faults.arm(Fault("hang"))
    short = bridge(emulator.url, StillClock(), REQUEST_BUDGET=0.5)
    assert handle(short, url_event(), {"time_limit_in_ms": 120_000}).json["code"] == "outcome-unknown"
    for senseless in (10**400, float("nan"), -1, True, "3000", None):
        assert handle(default_bridge, url_event(), {"time_limit_in_ms": senseless}).status in (200, 409)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)
event_keys = st.sampled_from(
    ["httpMethod", "headers", "requestContext", "path", "payload", "Records", "Type", "body", "isBase64Encoded", "type",
     "contact", "verify_code", "Code", "VerifyCode", "id"]
)  # fmt: skip
event_values = any_json | st.sampled_from(
    ["POST", "GET", "/", "/health", PHONE, CODE, "phone", 1, url_event()["headers"]]
)


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[Emulator, Bridge]]:
    with Emulator(rate=0) as emulator:
        yield emulator, bridge(emulator.url)


contexts = any_json | st.fixed_dictionaries(
    {}, optional={"time_limit_in_ms": any_json | st.integers(0, 10_000), "request_id": any_json}
)


@given(event=any_json | st.dictionaries(event_keys, event_values), context=contexts)
def test_any_event_gets_a_response(shared: tuple[Emulator, Bridge], event: object, context: object) -> None:
    emulator, bridged = shared
    emulator.calls.clear()
    response = handle(bridged, event, context)
    out_of_time = isinstance(context, dict) and "time_limit_in_ms" in context
    assert response.status < 500 or (out_of_time and response.json["code"] == "overloaded")
    if emulator.calls:
        assert isinstance(event, dict)
        assert not {"httpMethod", "headers", "requestContext", "path", "payload", "Records"} & set(event)
