"""An event of the cloud's own bus: one delivery; raised only when it may end otherwise."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from signup_bridge.events.ckafka import BatchRetry

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.builders import CODE, PHONE, Bridge, bridge, calls, signed
from tests.support.event_builders import CONTEXT, DIRECT

EVENT = {
    "specversion": "1.0", "id": "13a3f42d", "source": "signup.system", "type": "signup:Created",
    "subject": "s", "time": 1_615_430_559_146, "region": "ap-guangzhou", "data": DIRECT,
}  # fmt: skip
BATCH = {"Records": [{"Ckafka": {"topic": "t", "partition": 0, "offset": 1, "msgBody": json.dumps(DIRECT)}}]}
TIMER = {"Type": "Timer", "TriggerName": "prune", "Time": "2026-01-15T09:30:00Z", "Message": ""}


@pytest.fixture
def wired(emulator: Emulator) -> Bridge:
    return bridge(emulator.url, REQUEST_BUDGET=2)


def test_data_is_the_body(emulator: Emulator, wired: Bridge) -> None:
    assert wired.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}
    assert wired.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}
    assert calls(emulator) == [("CreateIntlPhoneEmail", "OK")]


def test_a_connectors_message_is_the_body(emulator: Emulator, wired: Bridge) -> None:
    data = {"topic": "signups", "partition": 1, "offset": 7, "msgKey": "", "msgBody": json.dumps(DIRECT)}
    assert wired.events.handle(EVENT | {"data": data}, CONTEXT) == {"outcome": "verified"}
    assert emulator.calls[0].contact == PHONE


def test_the_id_counts_within_its_source(emulator: Emulator, wired: Bridge) -> None:
    wired.events.handle(EVENT, CONTEXT)
    other = EVENT | {"source": "other"}
    assert wired.events.handle(other, CONTEXT) == {"outcome": "already-verified"}
    assert len(calls(emulator)) == 2


def test_a_retryable_outcome_raises(emulator: Emulator, wired: Bridge) -> None:
    emulator.faults.arm(Fault("LimitExceeded.RequestLimit"))
    with pytest.raises(BatchRetry):
        wired.events.handle(EVENT, CONTEXT)
    assert wired.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}


@pytest.mark.parametrize(
    ("data", "code"),
    [({"msgBody": "no json"}, "body-malformed"), ({"msgBody": "{}"}, "body-invalid"), ({"contact": 5}, "body-invalid")],
)
def test_an_unreadable_event_is_an_error(
    wired: Bridge, caplog: pytest.LogCaptureFixture, data: dict[str, Any], code: str
) -> None:
    assert wired.events.handle(EVENT | {"data": data}, CONTEXT) == {"outcome": code}
    assert "ERROR" in [record.levelname for record in caplog.records]


@pytest.mark.parametrize("key", ["httpMethod", "headers", "requestContext", "path", "payload", "Records"])
def test_half_an_http_event_is_refused(emulator: Emulator, wired: Bridge, key: str) -> None:
    assert wired.events.handle(EVENT | {key: None}, CONTEXT)["statusCode"] == 400
    assert calls(emulator) == []


@pytest.mark.parametrize(
    "changed",
    [
        {"id": 5}, {"id": ""}, {"id": "a\n"}, {"source": None}, {"source": ""}, {"specversion": 1}, {"type": 1},
        {"data": "x"}, {"data": None},
    ],
)  # fmt: skip
def test_incomplete_event_is_refused_and_logged_as_an_error(
    emulator: Emulator, wired: Bridge, caplog: pytest.LogCaptureFixture, changed: dict[str, Any]
) -> None:
    assert wired.events.handle(EVENT | changed, CONTEXT)["statusCode"] == 400
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert line.fields == {"event_keys": ["data", "id", "source", "specversion", "type"]}  # type: ignore[attr-defined]
    assert calls(emulator) == []


def nested(depth: int) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for _ in range(depth):
        data = {"a": data}
    return data


@pytest.mark.parametrize("data", [nested(5000), {"contact": b"187"}], ids=["too deep", "not JSON"])
def test_data_that_is_no_json_does_not_raise(
    wired: Bridge, caplog: pytest.LogCaptureFixture, data: dict[str, Any]
) -> None:
    """The bus would send it again and again."""
    assert wired.events.handle(EVENT | {"data": data}, CONTEXT)["statusCode"] == 400
    assert "ERROR" in [record.levelname for record in caplog.records]


def test_id_in_the_body_does_not_name_the_delivery(emulator: Emulator, wired: Bridge) -> None:
    for event_id in ("1", "2"):
        wired.events.handle(EVENT | {"id": event_id, "data": DIRECT | {"id": "same"}}, CONTEXT)
    assert len(calls(emulator)) == 2


def test_outcome_is_found_by_id_and_source(wired: Bridge) -> None:
    wired.events.handle(EVENT, CONTEXT)
    for source, status in (("signup.system", 200), ("other", 404), ("", 404)):
        headers = signed(b"") | {"ce-source": source}
        assert wired.client.get(f"/deliveries/{EVENT['id']}", headers=headers).status_code == status


def test_event_of_http_is_another_delivery(emulator: Emulator) -> None:
    trusting = bridge(emulator.url, WEBHOOK_AUTH="none", WEBHOOK_SECRETS="")
    trusting.events.handle(EVENT, CONTEXT)
    structured = {"Content-Type": "application/cloudevents+json"}
    assert trusting.post(json.dumps(EVENT).encode(), structured).json["code"] == "already-verified"
    assert len(calls(emulator)) == 2


def test_mapping_applies_to_the_data(emulator: Emulator) -> None:
    mapped = bridge(emulator.url, PAYLOAD_PRESET="cloudevents")
    assert mapped.events.handle(EVENT, CONTEXT) == {"outcome": "verified"}


def test_action_sends_a_code_and_a_limit_does_not_raise(emulator: Emulator) -> None:
    sending = bridge(emulator.url, SEND_CODES="true")
    wanted = EVENT | {"data": {"action": "send", "type": "phone", "contact": PHONE}}
    assert sending.events.handle(wanted, CONTEXT) == {"outcome": "sent"}
    assert sending.events.handle(wanted | {"id": "2"}, CONTEXT) == {"outcome": "send-limited"}
    assert len(calls(emulator)) == 1


@pytest.mark.parametrize("event", [BATCH, TIMER, EVENT])
def test_time_out_that_leaves_no_time_is_named_for_each_trigger(
    wired: Bridge, caplog: pytest.LogCaptureFixture, event: dict[str, Any]
) -> None:
    with suppress(BatchRetry):
        wired.events.handle(event, CONTEXT | {"time_limit_in_ms": 500})
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings[0].startswith("the function's time-out leaves no time for a call")


@pytest.mark.parametrize("milliseconds", [1, 30, 500])
def test_a_time_out_that_leaves_no_time_is_named(
    emulator: Emulator, wired: Bridge, caplog: pytest.LogCaptureFixture, milliseconds: int
) -> None:
    context = CONTEXT | {"time_limit_in_ms": milliseconds}
    answer = wired.events.handle(DIRECT, context)
    assert json.loads(answer["body"])["code"] == "overloaded"
    (line,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "time-out" in line.getMessage()
    assert "serverless.yml" in line.getMessage()
    assert calls(emulator) == []
    assert CODE not in caplog.text


def test_a_time_out_with_time_is_not_named(wired: Bridge, caplog: pytest.LogCaptureFixture) -> None:
    wired.events.handle(DIRECT, CONTEXT)
    assert "time-out" not in caplog.text
