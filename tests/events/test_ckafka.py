"""Test CKafka batches: each record is processed once and in order, and only an open outcome redelivers the batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.events.ckafka import BatchRetry
from signup_bridge.telemetry.logs import JsonFormatter

from local_services.redis_server import RedisServer
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.batches import LONG, batch, record, send, wrong
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.deliveries import ask
from tests.support.bridge.event_builders import CONTEXT, invoke
from tests.support.bridge.instances import Bridge, bridge, calls, environment
from tests.support.bridge.signed_requests import CODE, PHONE


def test_batch_is_processed_in_order(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    one, two, three = send(emulator, 3)
    response = ckafka_bridge.events.handle(batch(record(1, one), record(2, wrong(two)), record(3, three)), LONG)
    assert response == {"records": 3, "ends": {"verified": 2, "code-incorrect": 1}}
    assert [call.contact for call in emulator.calls] == [one["contact"], two["contact"], three["contact"]]


def test_batch_redelivered_makes_no_call(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    one, two = send(emulator, 2)
    event = batch(record(1, one), record(2, wrong(two)))
    response = ckafka_bridge.events.handle(event, LONG)
    assert ckafka_bridge.events.handle(event, LONG) == response
    assert len(emulator.calls) == 2


def test_record_without_id_is_identified_by_its_offset(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    one, two, three = send(emulator, 3)
    event = batch(record(1, one), record(2, two | {"id": "order-7"}), record(2, three, partition=1))
    ckafka_bridge.events.handle(event, LONG)
    ids = ("signups-0-1", "order-7", "signups-1-2", "signups-0-2")
    assert [ask(ckafka_bridge, delivery_id)[0] for delivery_id in ids] == [200, 200, 200, 404]


def test_same_message_at_two_offsets_is_two_deliveries(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    (one,) = send(emulator, 1)
    response = ckafka_bridge.events.handle(batch(record(1, one), record(2, one)), LONG)
    assert response["ends"] == {"verified": 1, "already-verified": 1}


def test_record_without_offset_is_identified_by_its_content(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    (one,) = send(emulator, 1)
    for absent in ("topic", "partition", "offset"):
        there = record(1, one, **{absent: ...})
        assert ckafka_bridge.events.handle(batch(there, there), LONG)["ends"] == {"verified": 2}
    assert len(emulator.calls) == 1


def test_send_limited_record_does_not_block_the_batch(emulator: Emulator) -> None:
    """Otherwise SMS pumping would block the topic."""
    ckafka_bridge = bridge(emulator.url, StillClock(), REQUEST_BUDGET=2, SEND_CODES="true", SEND_ALLOWED_PREFIXES="+86")
    wanted = {"action": "send", "type": "phone", "contact": "+86 139 0000 0001"}
    event = batch(record(1, wanted), record(2, wanted), record(3, wanted | {"contact": "+44 20 7946 0018"}))
    assert ckafka_bridge.events.handle(event, LONG) == {"records": 3, "ends": {"sent": 1, "send-limited": 2}}
    emulator.faults.arm(Fault("InternalError.SendVerifyCodeErr"))
    with pytest.raises(BatchRetry, match="1 of 1 records"):
        ckafka_bridge.events.handle(batch(record(4, wanted | {"contact": "+86 139 0000 0002"})), LONG)
    assert len(emulator.calls) == 2


@pytest.mark.parametrize(
    "message",
    ["", "{", "5", "null", "[]", {"type": "phone"}, "\ud800", "x" * 20_000, {"type": 1, "contact": "nobody"}],
)
def test_invalid_record_does_not_block_the_batch(emulator: Emulator, ckafka_bridge: Bridge, message: object) -> None:
    one, two = send(emulator, 2)
    response = ckafka_bridge.events.handle(batch(record(1, one), record(2, message), record(3, two)), LONG)
    assert response["ends"].pop("verified") == 2
    ((code, count),) = response["ends"].items()
    assert code in ("body-malformed", "body-invalid", "body-too-large")
    assert count == 1


@pytest.mark.parametrize("odd", [None, 5, {}, {"Ckafka": None}, {"cos": {}}])
def test_non_record_does_not_block_the_batch(emulator: Emulator, ckafka_bridge: Bridge, odd: Any) -> None:
    one, two = send(emulator, 2)
    response = ckafka_bridge.events.handle(batch(record(1, one), odd, record(3, two)), LONG)
    assert response == {"records": 3, "ends": {"verified": 2, "body-malformed": 1}}


def test_direct_id_does_not_match_an_offset(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    one, two = send(emulator, 2)
    response = ckafka_bridge.events.handle(batch(record(0, one | {"id": "signups-0-1"}), record(1, two)), LONG)
    assert response["ends"] == {"verified": 2}


@pytest.mark.parametrize("message", [..., None, 5, {}, ["x"]])
def test_message_that_is_no_string_is_malformed(emulator: Emulator, ckafka_bridge: Bridge, message: object) -> None:
    (one,) = send(emulator, 1)
    response = ckafka_bridge.events.handle(batch(record(1, "", msgBody=message), record(2, one)), LONG)
    assert response["ends"] == {"body-malformed": 1, "verified": 1}


def test_log_lines_of_an_event_have_its_request_id(
    emulator: Emulator, ckafka_bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    caplog.set_level("INFO")
    (one,) = send(emulator, 1)
    ckafka_bridge.events.handle(batch(record(1, one)), LONG)
    ckafka_bridge.events.handle({"Type": "Timer"}, LONG)
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert [(line["message"], line["request_id"]) for line in lines if line["level"] == "INFO"] == [
        (message, CONTEXT["request_id"]) for message in ("delivery", "record", "ledger pruned")
    ]


def test_batch_through_main_handler_is_processed(emulator: Emulator) -> None:
    one, two = send(emulator, 2)
    event = batch(record(0, one), record(1, two))
    responses, written = invoke(environment(emulator.url), event, {"Type": "Timer", "Message": ""})
    assert responses == [{"records": 2, "ends": {"verified": 2}}, {"status": "pruned", "records": 0}]
    lines = [json.loads(line) for line in written.splitlines()]
    assert [line["record"] for line in lines if line["message"] == "record"] == ["signups-0-0", "signups-0-1"]
    assert one["contact"] not in written


def test_batch_on_two_instances_calls_once(emulator: Emulator, redis_server: RedisServer) -> None:
    event = batch(*(record(offset, message) for offset, message in enumerate(send(emulator, 3))))
    for _ in range(2):
        instance = bridge(emulator.url, LEDGER_URL=redis_server.url, LEDGER_KEY="k" * 32)
        assert instance.events.handle(event, LONG)["ends"] == {"verified": 3}
    assert len(emulator.calls) == 3


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)

places = {
    "topic": st.just("t") | anything,
    "partition": st.integers(0, 1) | anything,
    "offset": st.integers(0, 2) | anything,
}

message = st.sampled_from([f'{{"type":"phone","contact":"{PHONE}","verify_code":"{CODE}"}}', "{", ""]) | anything
entry = st.fixed_dictionaries({"msgBody": message}, optional=places) | anything


@given(
    records=st.lists(entry.map(lambda one: {"Ckafka": one}) | anything, min_size=1, max_size=4),
    context=anything | st.fixed_dictionaries({"time_limit_in_ms": st.integers(0, 5000) | anything}),
)
def test_any_batch_is_processed(account: tuple[Emulator, Bridge], records: list[Any], context: object) -> None:
    """Only BatchRetry is raised, and a redelivered position causes no second call."""
    emulator, bridged = account
    with suppress(BatchRetry):
        response = bridged.events.handle({"Records": records}, context)
        assert response.get("statusCode") == 400 or response["records"] == len(records) == sum(
            response["ends"].values()
        )
        assert PHONE not in json.dumps(response)
    assert [result for _, result in calls(emulator)].count("OK") <= 1


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[Emulator, Bridge]]:
    with Emulator(rate=0) as emulator:
        yield emulator, bridge(emulator.url)
