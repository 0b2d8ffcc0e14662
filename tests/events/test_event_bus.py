"""Test events of EventBridge: each is one delivery, and raises only if a retry may have another outcome."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from signup_bridge.events.ckafka import BatchRetry

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.event_builders import CONTEXT, DIRECT
from tests.support.bridge.instances import Bridge, bridge, calls
from tests.support.bridge.signed_requests import CODE, PHONE, signed

EVENT = {
    "specversion": "1.0", "id": "13a3f42d", "source": "signup.system", "type": "signup:Created",
    "subject": "s", "time": 1_615_430_559_146, "region": "ap-guangzhou", "data": DIRECT,
}  # fmt: skip
BATCH = {"Records": [{"Ckafka": {"topic": "t", "partition": 0, "offset": 1, "msgBody": json.dumps(DIRECT)}}]}
TIMER = {"Type": "Timer", "TriggerName": "prune", "Time": "2026-01-15T09:30:00Z", "Message": ""}


@pytest.fixture
def default_bridge(emulator: Emulator) -> Bridge:
    return bridge(emulator.url, REQUEST_BUDGET=2)


def test_bus_event_data_is_the_body(emulator: Emulator, default_bridge: Bridge) -> None:
    assert default_bridge.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}
    assert default_bridge.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}
    assert calls(emulator) == [("CreateIntlPhoneEmail", "OK")]


def test_bus_event_msg_body_is_the_body(emulator: Emulator, default_bridge: Bridge) -> None:
    data = {"topic": "signups", "partition": 1, "offset": 7, "msgKey": "", "msgBody": json.dumps(DIRECT)}
    assert default_bridge.events.handle(EVENT | {"data": data}, CONTEXT) == {"outcome": "verified"}
    assert emulator.calls[0].contact == PHONE


def test_bus_event_id_is_unique_within_its_source(emulator: Emulator, default_bridge: Bridge) -> None:
    default_bridge.events.handle(EVENT, CONTEXT)
    other = EVENT | {"source": "other"}
    assert default_bridge.events.handle(other, CONTEXT) == {"outcome": "already-verified"}
    assert len(calls(emulator)) == 2


def test_bus_event_with_a_retryable_outcome_raises(emulator: Emulator, default_bridge: Bridge) -> None:
    emulator.faults.arm(Fault("LimitExceeded.RequestLimit"))
    with pytest.raises(BatchRetry):
        default_bridge.events.handle(EVENT, CONTEXT)
    assert default_bridge.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}


@pytest.mark.parametrize(
    ("data", "code"),
    [({"msgBody": "no json"}, "body-malformed"), ({"msgBody": "{}"}, "body-invalid"), ({"contact": 5}, "body-invalid")],
)
def test_bus_event_that_is_unreadable_is_logged_as_an_error(
    default_bridge: Bridge, caplog: pytest.LogCaptureFixture, data: dict[str, Any], code: str
) -> None:
    assert default_bridge.events.handle(EVENT | {"data": data}, CONTEXT) == {"outcome": code}
    assert "ERROR" in [record.levelname for record in caplog.records]


@pytest.mark.parametrize("key", ["httpMethod", "headers", "requestContext", "path", "payload", "Records"])
def test_bus_event_with_an_http_key_is_rejected(emulator: Emulator, default_bridge: Bridge, key: str) -> None:
    assert default_bridge.events.handle(EVENT | {key: None}, CONTEXT)["statusCode"] == 400
    assert calls(emulator) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 5}, {"id": ""}, {"id": "a\n"}, {"source": None}, {"source": ""}, {"specversion": 1}, {"type": 1},
        {"data": "x"}, {"data": None},
    ],
)  # fmt: skip
def test_bus_event_that_is_incomplete_is_rejected_and_logged(
    emulator: Emulator, default_bridge: Bridge, caplog: pytest.LogCaptureFixture, changed: dict[str, Any]
) -> None:
    assert default_bridge.events.handle(EVENT | changed, CONTEXT)["statusCode"] == 400
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.fields == {"event_keys": ["data", "id", "source", "specversion", "type"]}  # type: ignore[attr-defined]
    assert calls(emulator) == []


def nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(depth):
        data = {"a": data}
    return data


@pytest.mark.parametrize("build", [lambda: nested(100_000), lambda: {"contact": b"187"}], ids=["too deep", "not JSON"])
def test_bus_event_with_data_that_is_no_json_does_not_raise(
    default_bridge: Bridge, caplog: pytest.LogCaptureFixture, build: Callable[[], dict[str, Any]]
) -> None:
    """The bus would retry the event repeatedly."""
    assert default_bridge.events.handle(EVENT | {"data": build()}, CONTEXT)["statusCode"] == 400
    assert "ERROR" in [record.levelname for record in caplog.records]


def test_bus_event_body_id_does_not_identify_the_delivery(emulator: Emulator, default_bridge: Bridge) -> None:
    for event_id in ("1", "2"):
        default_bridge.events.handle(EVENT | {"id": event_id, "data": DIRECT | {"id": "same"}}, CONTEXT)
    assert len(calls(emulator)) == 2


def test_bus_event_outcome_is_found_by_id_and_source(default_bridge: Bridge) -> None:
    default_bridge.events.handle(EVENT, CONTEXT)
    for source, status in (("signup.system", 200), ("other", 404), ("", 404)):
        headers = signed(b"") | {"ce-source": source}
        assert default_bridge.client.get(f"/deliveries/{EVENT['id']}", headers=headers).status_code == status


def test_bus_event_and_http_event_are_two_deliveries(emulator: Emulator) -> None:
    trusting = bridge(emulator.url, WEBHOOK_AUTH="none", WEBHOOK_SECRETS="")
    trusting.events.handle(EVENT, CONTEXT)
    structured = {"Content-Type": "application/cloudevents+json"}
    assert trusting.post(json.dumps(EVENT).encode(), structured).json["code"] == "already-verified"
    assert len(calls(emulator)) == 2


def test_bus_event_data_is_mapped(emulator: Emulator) -> None:
    mapped = bridge(emulator.url, PAYLOAD_PRESET="cloudevents")
    assert mapped.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}


def test_bus_event_with_action_send_sends_a_code(emulator: Emulator) -> None:
    sending = bridge(emulator.url, SEND_CODES="true")
    wanted = EVENT | {"data": {"action": "send", "type": "phone", "contact": PHONE}}
    assert sending.events.handle(wanted, CONTEXT) == {"outcome": "sent"}
    assert sending.events.handle(wanted | {"id": "2"}, CONTEXT) == {"outcome": "send-limited"}
    assert len(calls(emulator)) == 1


@pytest.mark.parametrize("event", [BATCH, TIMER, EVENT])
def test_timeout_without_time_for_a_call_is_logged_for_each_trigger(
    default_bridge: Bridge, caplog: pytest.LogCaptureFixture, event: dict[str, Any]
) -> None:
    with suppress(BatchRetry):
        default_bridge.events.handle(event, CONTEXT | {"time_limit_in_ms": 500})
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[0].startswith("function timeout too short for an API call")


@pytest.mark.parametrize("milliseconds", [1, 30, 500])
def test_timeout_without_time_for_a_call_is_logged(
    emulator: Emulator, default_bridge: Bridge, caplog: pytest.LogCaptureFixture, milliseconds: int
) -> None:
    context = CONTEXT | {"time_limit_in_ms": milliseconds}
    response = default_bridge.events.handle(DIRECT, context)
    assert json.loads(response["body"])["code"] == "overloaded"
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "timeout" in line.getMessage()
    assert "serverless.yml" in line.getMessage()
    assert calls(emulator) == []
    assert CODE not in caplog.text


def test_timeout_with_time_for_a_call_is_not_logged(default_bridge: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    default_bridge.events.handle(DIRECT, CONTEXT)
    assert "timeout" not in caplog.text
