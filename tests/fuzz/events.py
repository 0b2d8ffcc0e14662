"""Fuzz the deployed event function with an event and its context, over a real socket to the emulated API.

Each event receives a response of the contract. No contact is verified that the API did not accept. Unsigned requests
cause no calls. Only a CKafka batch or a bus event raises `BatchRetry`.

An input is the JSON ``[event, context]``. In an event's headers, ``{now}`` is replaced by the time and ``{sign}`` by
the valid signature.
"""

from __future__ import annotations

import atexit
import base64
import hmac
import io
import json
import logging
import time
from contextlib import suppress
from typing import Any

from signup_bridge.core.outcomes import BODY_INCOMPLETE, BY_CODE
from signup_bridge.events import event_bus
from signup_bridge.events.ckafka import BatchRetry
from signup_bridge.setting_parsers import standard_webhooks_key
from signup_bridge.telemetry import logs

from signup_emulator.server import Emulator
from tests.support.bridge.event_builders import CONTEXT, DIRECT, gateway_event, url_event
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.signed_requests import CODE, PHONE, SECRET, body

MARKS = {"httpMethod", "headers", "requestContext", "path", "payload", "Records"}


class _Log(logging.StreamHandler):  # type: ignore[type-arg]  # subscriptable since Python 3.11
    """A handler that fails if a line cannot be written."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        raise AssertionError("a log line cannot be written")


class Platform:
    """The function, the emulated API, and the contacts that the API accepted, by request id."""

    def __init__(self) -> None:
        self.emulator = Emulator(rate=0).__enter__()
        self.bridge: Bridge = bridge(self.emulator.url, REQUEST_BUDGET=2, MAX_WRONG_CODES=1000)
        self.accepted: dict[str, str | None] = {}
        self.log = _Log(io.StringIO())
        self.log.setFormatter(logs.JsonFormatter())
        logs.log.addHandler(self.log)
        logs.log.propagate = False
        logs.log.setLevel("DEBUG")

    def close(self) -> None:
        logs.log.removeHandler(self.log)
        logs.log.propagate = True
        logs.log.setLevel("NOTSET")
        self.bridge.app.extensions["ledger"].close()
        self.emulator.__exit__()

    def handle(self, event: object, context: object) -> Any:
        self.log.setStream(io.StringIO())
        self.emulator.reset()  # so that the API accepts the reference example again
        try:
            return self.bridge.events.handle(event, context)
        finally:
            self.accepted |= {call.request_id: call.contact for call in self.emulator.calls if call.result == "OK"}


_platform: Platform | None = None


def _running() -> Platform:
    global _platform  # noqa: PLW0603  Atheris calls a plain function
    if _platform is None:
        _platform = Platform()
        atexit.register(end)
    return _platform


def accepted() -> set[str]:
    """Return the request ids of all contacts that the API has accepted since the platform started."""
    return set(_running().accepted)


def end() -> None:
    global _platform  # noqa: PLW0603
    if _platform is not None:
        _platform.close()
        _platform = None


def try_one(data: bytes) -> None:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return
    event, context = document if isinstance(document, list) and len(document) == 2 else (document, CONTEXT)
    platform = _running()
    is_signed = isinstance(event, dict) and _sign(event)
    try:
        response = platform.handle(event, context)
    except BatchRetry:
        assert isinstance(event, dict)
        assert "Records" in event or event_bus.looks_like_event(event), (
            "BatchRetry is raised for neither a batch nor a bus event"
        )
        return
    assert json.loads(json.dumps(response)) == response, "the response is not JSON"
    if "records" in response and "ends" in response:
        _check_batch(platform, event, response)
    elif "outcome" in response:
        assert event_bus.looks_like_event(event)
        assert not MARKS & set(event), "an event with a trigger's keys is handled as a bus event"
        assert response["outcome"] in BY_CODE
        assert response["outcome"] != "internal-error", "the bridge failed"
    elif "isBase64Encoded" in response:
        verified = _check_response(platform, response)
        if isinstance(event, dict) and MARKS & set(event) and not is_signed:
            assert not platform.emulator.calls, "an unsigned request caused a call"
            assert not verified, "an unsigned request was verified"
    else:
        assert isinstance(event, dict)
        assert event["Type"] == "Timer"
        assert response["status"] == "pruned"


def _sign(event: dict[Any, Any]) -> bool:
    """Replace the placeholders in the event's headers; return whether one was the signature."""
    headers, sent = event.get("headers"), event.get("body")
    if not isinstance(headers, dict):
        return False
    data = sent.encode("utf-8", "surrogatepass") if isinstance(sent, str) else b""
    if event.get("isBase64Encoded") is True:
        with suppress(ValueError):
            data = base64.b64decode(data, validate=True)
    now = str(int(time.time()))
    texts = {name: value.replace("{now}", now) for name, value in headers.items() if isinstance(value, str)}
    event["headers"] = headers | {
        name: value.replace("{sign}", _signature(texts, data)) for name, value in texts.items()
    }
    return any("{sign}" in value for value in texts.values())


def _signature(headers: dict[str, str], data: bytes) -> str:
    """Return the signature for the ``webhook-`` headers. Another target tests Svix's names."""
    lower = {name.lower(): value for name, value in headers.items()}
    covered = f"{lower.get('webhook-id')}.{lower.get('webhook-timestamp')}.".encode("latin-1", "replace")
    return base64.b64encode(hmac.digest(standard_webhooks_key(SECRET), covered + data, "sha256")).decode()


def _check_response(platform: Platform, response: dict[str, Any]) -> bool:
    """Return whether the response says that a contact is verified."""
    assert set(response) == {"isBase64Encoded", "statusCode", "headers", "body"}
    media_type = response["headers"]["Content-Type"]
    members = json.loads(response["body"]) if response["body"] else {}
    if media_type == "application/problem+json":
        outcome = BY_CODE[members["code"]]
        assert outcome is not BODY_INCOMPLETE, "the body of an event cannot be incomplete"
        assert response["statusCode"] == outcome.status == members["status"]
        assert members["code"] != "internal-error", "the bridge failed"
        return False
    assert (response["statusCode"], media_type) == (200, "application/json"), "the response is not in the contract"
    if members.get("code") != "verified":
        return False
    assert members["api_request_id"] in platform.accepted, "verified although the API did not accept the contact"
    return True


def _check_batch(platform: Platform, event: dict[str, Any], response: dict[str, Any]) -> None:
    ends = response["ends"]
    assert response["records"] == len(event["Records"]) == sum(ends.values())
    assert set(ends) <= set(BY_CODE) - {"internal-error"}, "a record has an unknown outcome"
    contacts = {contact for contact in platform.accepted.values() if contact}
    may_be = [json.dumps(record) for record in event["Records"]]
    named = sum(any(contact in text for contact in contacts) for text in may_be)
    assert ends.get("verified", 0) <= named, "verified although the API did not accept the contact"


def _unsigned(event: dict[str, Any], delivery_id: str = "msg_1") -> dict[str, Any]:
    """Return the event with placeholders for id, time and signature."""
    words = {"webhook-id": delivery_id, "webhook-timestamp": "{now}", "webhook-signature": "v1,{sign}"}
    headers = {name: words.get(name.lower(), value) for name, value in event["headers"].items()}
    return event | {"headers": headers}


def seeds() -> list[bytes]:
    record = {"topic": "t", "partition": 0, "offset": 1, "msgKey": "", "msgBody": body().decode()}
    wrong = record | {"offset": 2, "msgBody": body(verify_code="000000").decode()}
    ask: dict[str, Any] = {"httpMethod": "GET", "body": ""}
    events: list[Any] = [
        _unsigned(url_event()),
        _unsigned(gateway_event(), "msg_2"),
        _unsigned(url_event(isBase64Encoded=True, body=base64.b64encode(body()).decode()), "msg_3"),
        _unsigned(url_event(path="/deliveries/msg_1", **ask)),
        *(url_event(path=path, **ask) for path in ("/health", "/ready", "/openapi.json", "/nowhere")),
        DIRECT,
        DIRECT | {"id": "direct-1", "verify_code": "000000"},
        {"Type": 1, "Code": PHONE, "VerifyCode": CODE},
        {"Type": "Timer", "TriggerName": "prune", "Time": "2026-01-15T09:30:00Z", "Message": ""},
        {"Records": [{"Ckafka": record}, {"Ckafka": wrong}, {"Ckafka": {"msgBody": "{"}}, 1]},
        {"specversion": "1.0", "id": "e-1", "source": "/s", "data": DIRECT},
        {"specversion": "1.0", "id": "e-2", "source": "/s", "type": "signup", "data": DIRECT},
    ]
    return [json.dumps([event, CONTEXT]).encode() for event in events]


_WORDS: tuple[Any, ...] = (
    *sorted(MARKS), "Type", "Timer", "Ckafka", "msgBody", "topic", "partition", "offset", "POST", "GET", "PUT", "/",
    "/health", "/ready", "/webhooks/signup", "/deliveries/msg_1", "body", "isBase64Encoded", "type", "contact",
    "verify_code", "Code", "VerifyCode", "id", "phone", "email", PHONE, CODE, "webhook-id", "webhook-timestamp",
    "webhook-signature", "v1,{sign}", "{now}", "msg_1", "content-type", "application/json",
    "application/cloudevents+json", "idempotency-key", "traceparent", "content-length", "time_limit_in_ms",
    "request_id", True, False, None, 1, 2, {}, [], "", "\ud800", "é",
)  # fmt: skip
WORDS = tuple(json.dumps(word).encode() for word in _WORDS)
