"""An event of the cloud's own bus: one delivery; raised only when it may end otherwise."""

from __future__ import annotations

import json
from typing import Any

import pytest
from bridge.ckafka import Redeliver
from builders import CODE, PHONE, Bridge, bridge, calls
from event_builders import CONTEXT, DIRECT

from emulator.api.faults import Fault
from emulator.server import Emulator

EVENT = {
    "specversion": "1.0", "id": "13a3f42d", "source": "signup.system", "type": "signup:Created",
    "subject": "s", "time": 1_615_430_559_146, "region": "ap-guangzhou", "data": DIRECT,
}  # fmt: skip


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
    with pytest.raises(Redeliver):
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


@pytest.mark.parametrize("changed", [{"id": 5}, {"source": None}, {"specversion": 1}, {"type": 1}, {"data": "x"}])
def test_what_lacks_a_member_is_no_event_of_a_bus(emulator: Emulator, wired: Bridge, changed: dict[str, Any]) -> None:
    assert wired.events.handle(EVENT | changed, CONTEXT)["statusCode"] == 422
    assert calls(emulator) == []


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
