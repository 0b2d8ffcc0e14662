from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from bridge import events
from builders import (
    ABORT,
    CODE,
    PHONE,
    ROOT,
    VARYING,
    Answer,
    Bridge,
    answer,
    body,
    bridge,
    calls,
    check_problem,
    environment,
    gunicorn,
    problem,
    signed,
)  # fmt: skip
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.faults import Fault
from emulator.server import Emulator

CONTEXT = {
    "memory_limit_in_mb": 128,
    "time_limit_in_ms": 10_000,
    "request_id": "c1ab2d3e-0000-4000-8000-000000000000",
    "function_name": "signup-bridge",
    "tencentcloud_region": "ap-singapore",
}
DIRECT = {"type": "phone", "contact": PHONE, "verify_code": CODE}


def url_event(data: bytes | None = None, **changed: Any) -> dict[str, Any]:
    """What a Function URL gives to an event function."""
    data = body() if data is None else data
    headers = {name.lower(): value for name, value in signed(data).items()}
    event = {"body": data.decode(), "headers": headers, "httpMethod": "POST", "path": "/", "queryString": {}}
    return {name: value for name, value in (event | changed).items() if value is not ...}


def gateway_event(data: bytes | None = None, **changed: Any) -> dict[str, Any]:
    """What an API gateway gives."""
    data = body() if data is None else data
    return (
        url_event(
            data,
            headers=signed(data),
            path="/webhooks/signup",
            requestContext={"serviceId": "s", "path": "/webhooks/signup", "httpMethod": "POST", "stage": "release"},
            queryStringParameters={},
            pathParameters={},
            headerParameters={},
            stageVariables={},
            isBase64Encoded=False,
        )
        | changed
    )


def handle(bridged: Bridge, event: object, context: object = CONTEXT) -> Answer:
    given_answer = events.handle(event, context, bridged.app)
    assert set(given_answer) == {"isBase64Encoded", "statusCode", "headers", "body"}
    assert given_answer["isBase64Encoded"] is False
    assert json.loads(json.dumps(given_answer)) == given_answer
    return answer(given_answer["statusCode"], given_answer["headers"].items(), given_answer["body"].encode())


@pytest.mark.parametrize("event", [url_event, gateway_event])
def test_http_events(emulator: Emulator, wired: Bridge, event: Any) -> None:
    assert handle(wired, event()).json["status"] == "verified"
    assert handle(wired, event()).json["code"] == "already-verified"
    unsigned = handle(wired, event(headers={"content-type": "application/json"}))
    assert unsigned.json["code"] == "signature-invalid"
    assert len(calls(emulator)) == 2


def test_a_direct_invocation_is_measured_as_it_was_sent(wired: Bridge) -> None:
    assert handle(wired, DIRECT | {"note": "\u4e2d" * 5000}).status == 200
    assert handle(wired, DIRECT | {"note": "\u4e2d" * 6000}).json["code"] == "body-too-large"
    assert handle(wired, DIRECT | {"note": "\ud800"}).json["code"] == "body-malformed"


def test_a_direct_invocation_needs_no_signature(emulator: Emulator, wired: Bridge) -> None:
    assert handle(wired, DIRECT).json["status"] == "verified"
    assert handle(wired, {"Type": 1, "Code": PHONE, "VerifyCode": CODE, "id": "order-7"}).status == 409
    assert len(calls(emulator)) == 2


@pytest.mark.parametrize("wrong", ["", "x" * 257, "a\nb", 5, None, ["a"]])
def test_the_id_of_a_direct_invocation_is_checked(wired: Bridge, wrong: object) -> None:
    given_answer = handle(wired, DIRECT | {"id": wrong})
    errors = [{"pointer": "#/id", "detail": "must be a string of 1 to 256 printable characters"}]
    expected = problem("body-invalid", 422, retryable=False, errors=errors)
    check_problem(given_answer, expected, ABORT)


@pytest.mark.parametrize("key", ["httpMethod", "headers", "requestContext", "path", "payload", "Records"])
@pytest.mark.parametrize("value", [None, "", "POST", {}, [], True])
def test_half_an_http_event_never_passes_as_a_direct_one(
    emulator: Emulator, wired: Bridge, key: str, value: object
) -> None:
    given_answer = handle(wired, DIRECT | {key: value, "body": body().decode()})
    assert given_answer.json["code"] == "body-malformed"
    assert calls(emulator) == []


@pytest.mark.parametrize(
    "event",
    [
        {"Type": "Timer", "TriggerName": "t", "Time": "2026-01-01T00:00:00Z", "Message": "", **DIRECT},
        {"Records": [{"Ckafka": {"topic": "t", "partition": 0, "offset": 1, "msgKey": "", "msgBody": "{}"}}]},
        {"headers": {}, "payload": "{}", "isBase64Encoded": False},
        url_event(httpMethod=...),
        url_event(httpMethod="PO ST"),
        url_event(httpMethod=["POST"]),
        url_event(body={"type": 1}),
        url_event(body="%%%", isBase64Encoded=True),
        url_event(body="é", isBase64Encoded=True),
    ],
)
def test_events_that_stand_for_no_request(emulator: Emulator, wired: Bridge, event: object) -> None:
    headers = {"content-type": "application/problem+json", "webhook-delivery": "abort-message"}
    check_problem(handle(wired, event), problem("body-malformed", 400, retryable=False), headers)
    assert calls(emulator) == []


def test_a_body_in_base64(wired: Bridge) -> None:
    event = url_event(isBase64Encoded=True)
    event["body"] = base64.b64encode(event["body"].encode()).decode()
    assert handle(wired, event).json["status"] == "verified"


@pytest.mark.parametrize("event", [None, [], [DIRECT], "text", 5, True, 1.5, {"type"}, b"bytes", {1: {2}}])
def test_what_is_no_event(emulator: Emulator, wired: Bridge, event: object) -> None:
    assert handle(wired, event).json["code"] in ("body-invalid", "body-malformed")
    assert calls(emulator) == []


def test_absent_keys(wired: Bridge) -> None:
    assert handle(wired, {"httpMethod": "GET", "headers": {}}).json["code"] == "method-not-allowed"
    assert handle(wired, {"httpMethod": "GET", "headers": {}, "path": "/health?x=1"}).json["status"] == "ok"
    assert handle(wired, url_event(headers=...)).json["code"] == "body-malformed"
    assert handle(wired, url_event(headers=["webhook-id"])).json["code"] == "body-malformed"
    assert handle(wired, url_event(body=...)).json["code"] == "signature-invalid"
    assert handle(wired, url_event(path=None), context=None).json["status"] == "verified"


def received(event: object) -> dict[str, Any]:
    """What the application is given."""
    seen: dict[str, Any] = {}

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        seen.update(environ)
        start_response("200 OK", [])
        return [b""]

    events.handle(event, None, application)
    return seen


def test_headers_of_every_kind(wired: Bridge) -> None:
    event = url_event()
    event["headers"] = {name.upper(): [value] for name, value in event["headers"].items()} | {
        "X-Many": ["a", None, 5, {}],
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
        "HTTP_X_MANY": "a,5,b",
        "HTTP_X_WIDE": "\u4e2d".encode().decode("latin-1"),
        "HTTP_X_LATIN": "\u00e9",
        "HTTP_X_HALF": "\xed\xa0\x80",
    }
    assert environ["CONTENT_LENGTH"] == str(len(body()))
    assert environ["CONTENT_TYPE"] == "application/json"
    assert not {"HTTP_BAD NAME", "HTTP_TRANSFER_ENCODING", "HTTP_CONTENT_LENGTH"} & set(environ)
    assert handle(wired, event).json["status"] == "verified"


def test_two_ids_are_none(wired: Bridge) -> None:
    doubled = url_event()
    doubled["headers"]["Webhook-Id"] = doubled["headers"]["webhook-id"]
    assert handle(wired, doubled).json["code"] == "signature-invalid"


@pytest.mark.parametrize("encoded", ["true", 1, "false", None, 0])
def test_only_true_says_base64(encoded: object) -> None:
    assert received(url_event(isBase64Encoded=encoded))["wsgi.input"].read() == body()


def test_what_unicode_cannot_write() -> None:
    environ = received(url_event(body="\ud800", path="/\ud800%41"))
    assert environ["wsgi.input"].read() == b"\xed\xa0\x80"
    assert environ["PATH_INFO"] == "/\xed\xa0\x80A"


def test_an_event_that_is_nested_too_deep(wired: Bridge) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert handle(wired, DIRECT | {"deep": deep}).json["code"] == "body-malformed"
    while deep:  # taken apart from the top: its own end would recurse
        deep = deep[0]


def test_the_platforms_request_id_and_time_are_used(emulator: Emulator, wired: Bridge) -> None:
    event = url_event()
    event["headers"]["x-scf-request-id"] = "forged"
    given_answer = events.handle(event, CONTEXT, wired.app)
    assert given_answer["headers"]["X-Request-Id"] == CONTEXT["request_id"]
    emulator.faults.arm(Fault("hang"))
    hanging = handle(wired, url_event(), {"time_limit_in_ms": 800, "request_id": 5})
    assert hanging.json["code"] == "outcome-unknown"
    assert handle(wired, url_event(), {"time_limit_in_ms": 100}).json["code"] == "upstream-unreachable"
    emulator.faults.arm(Fault("hang"))
    short = bridge(emulator.url, REQUEST_BUDGET=0.5)
    assert handle(short, url_event(), {"time_limit_in_ms": 120_000}).json["code"] == "outcome-unknown"
    for senseless in (10**400, float("nan"), -1, "3000", None):
        assert handle(wired, url_event(), {"time_limit_in_ms": senseless}).status in (200, 409)


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
def test_any_event_is_answered(shared: tuple[Emulator, Bridge], event: object, context: object) -> None:
    emulator, bridged = shared
    emulator.calls.clear()
    given_answer = handle(bridged, event, context)
    out_of_time = isinstance(context, dict) and "time_limit_in_ms" in context
    assert given_answer.status < 500 or (out_of_time and given_answer.json["code"] == "upstream-unreachable")
    if emulator.calls:
        assert isinstance(event, dict)
        assert not {"httpMethod", "headers", "requestContext", "path", "payload", "Records"} & set(event)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Bridge]]:
    """The same bridge as a web and as an event function."""
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
def test_both_shapes_of_the_function_answer_the_same(  # noqa: PLR0917  pytest's and hypothesis' parameters
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
    given_event = events.handle(event, {}, bridged.app)
    told = answer(given_event["statusCode"], given_event["headers"].items(), given_event["body"].encode())
    assert without_ids(told) == without_ids(web)
    assert told.status < 500


def over_http(url: str, method: str, path: str, data: bytes, headers: dict[str, str]) -> Answer:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            connection.putheader(name, value.encode("latin-1"))
        connection.endheaders(data)
        response = connection.getresponse()
        return answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


def without_ids(one: Answer) -> Answer:
    try:
        document = one.json
    except ValueError:
        return one
    document.pop("request_id", None)
    return Answer(one.status, one.headers, json.dumps(document).encode())


def test_the_answer_of_a_verified_delivery_is_the_same_too(tmp_path: Path) -> None:
    with Emulator() as first, Emulator() as second, gunicorn(first.url, tmp_path / "log") as url:
        web = over_http(url, "POST", "/", body(), signed(body()))
        told = handle(bridge(second.url), url_event())
    assert without_ids(web) == without_ids(told)
    assert web.status == 200


INVOKE = """
import json, sys
from index import main_handler
for line in sys.stdin:
    print("ANSWER", json.dumps(main_handler(json.loads(line), {"request_id": "r-1"})), flush=True)
"""


def invoke(environ: dict[str, str], *given_events: object) -> tuple[list[dict[str, Any]], str]:
    """Call the deployed entry point in a process of its own; the answers and what it wrote."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", INVOKE],
        cwd=ROOT / "function",
        env=kept | environ,
        input="".join(json.dumps(event) + "\n" for event in given_events),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = done.stdout.splitlines()
    answers = [json.loads(line.removeprefix("ANSWER ")) for line in lines if line.startswith("ANSWER ")]
    return answers, "\n".join([line for line in lines if not line.startswith("ANSWER ")] + [done.stderr])


def test_main_handler(emulator: Emulator) -> None:
    answers, written = invoke(environment(emulator.url), url_event(), DIRECT, None)
    assert [one["statusCode"] for one in answers] == [200, 409, 422]
    lines = [json.loads(line) for line in written.splitlines()]
    assert [(line["message"], line["request_id"], line["status"]) for line in lines] == [
        ("delivery", "r-1", 200),
        ("delivery", "r-1", 409),
        ("delivery", "r-1", 422),
    ]


def test_main_handler_signs_with_the_execution_role(emulator: Emulator) -> None:
    emulator.keys["role-id"] = "role-key"
    environ = environment(emulator.url, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="")
    role = {"TENCENTCLOUD_SECRETID": "role-id", "TENCENTCLOUD_SECRETKEY": "role-key"}
    assert invoke(environ | role, DIRECT)[0][0]["statusCode"] == 200
    answers, written = invoke(environ, DIRECT)
    assert answers == []
    assert "TENCENT_SECRET_ID: is not set" in written


def test_varying_headers_are_the_only_ones_left_out() -> None:
    assert {"x-request-id", "server-timing", "date", "server", "connection", "content-length"} == VARYING
