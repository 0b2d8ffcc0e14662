"""A batch of CKafka's: every record once, in order; sent again only when something may end otherwise."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.core.actions import CREATE, DESCRIBE
from signup_bridge.events.ckafka import BatchRetry
from signup_bridge.telemetry.logs import JsonFormatter
from signup_bridge.upstream.calls import RateLimitedApi

from local_services.redis_server import RedisServer
from signup_emulator.api.calls import Call
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.deliveries import ask
from tests.support.bridge.event_builders import CONTEXT, invoke
from tests.support.bridge.instances import Bridge, bridge, calls, environment
from tests.support.bridge.signed_requests import CODE, PHONE

LONG = CONTEXT | {"time_limit_in_ms": 60_000}


def record(at: int, message: object, **changed: Any) -> dict[str, Any]:
    """One record; its message is text, or what is written as JSON."""
    text = message if isinstance(message, str) else json.dumps(message)
    place = {"topic": "signups", "partition": 0, "offset": at, "msgKey": "", "msgBody": text}
    return {"Ckafka": {name: value for name, value in (place | changed).items() if value is not ...}}


def batch(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


@pytest.fixture
def default_bridge(emulator: Emulator) -> Bridge:
    return bridge(emulator.url, StillClock(), REQUEST_BUDGET=2)


def send(emulator: Emulator, count: int) -> list[dict[str, Any]]:
    """So many messages, each with the code that its contact was sent."""
    contacts = [f"1000000{number:04}" for number in range(count)]
    for contact in contacts:
        emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": contact})
    codes = {sent.contact[1]: sent.code for sent in emulator.domain.sent_codes()}
    return [{"type": "phone", "contact": contact, "verify_code": codes[contact]} for contact in contacts]


def wrong(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"verify_code": "0000000"}


def contacts(emulator: Emulator) -> list[str]:
    return [call.contact or "" for call in emulator.calls]


def test_batch_is_processed_in_order(emulator: Emulator, default_bridge: Bridge) -> None:
    one, two, three = send(emulator, 3)
    response = default_bridge.events.handle(batch(record(1, one), record(2, wrong(two)), record(3, three)), LONG)
    assert response == {"records": 3, "ends": {"verified": 2, "code-incorrect": 1}}
    assert [call.contact for call in emulator.calls] == [one["contact"], two["contact"], three["contact"]]


def test_batch_redelivered_makes_no_call(emulator: Emulator, default_bridge: Bridge) -> None:
    one, two = send(emulator, 2)
    event = batch(record(1, one), record(2, wrong(two)))
    response = default_bridge.events.handle(event, LONG)
    assert default_bridge.events.handle(event, LONG) == response
    assert len(emulator.calls) == 2


def test_record_without_id_is_identified_by_its_offset(emulator: Emulator, default_bridge: Bridge) -> None:
    one, two, three = send(emulator, 3)
    event = batch(record(1, one), record(2, two | {"id": "order-7"}), record(2, three, partition=1))
    default_bridge.events.handle(event, LONG)
    ids = ("signups-0-1", "order-7", "signups-1-2", "signups-0-2")
    assert [ask(default_bridge, delivery_id)[0] for delivery_id in ids] == [200, 200, 200, 404]


def test_same_message_at_two_offsets_is_two_deliveries(emulator: Emulator, default_bridge: Bridge) -> None:
    (one,) = send(emulator, 1)
    response = default_bridge.events.handle(batch(record(1, one), record(2, one)), LONG)
    assert response["ends"] == {"verified": 1, "already-verified": 1}


def test_record_without_offset_is_identified_by_its_content(emulator: Emulator, default_bridge: Bridge) -> None:
    (one,) = send(emulator, 1)
    for absent in ("topic", "partition", "offset"):
        there = record(1, one, **{absent: ...})
        assert default_bridge.events.handle(batch(there, there), LONG)["ends"] == {"verified": 2}
    assert len(emulator.calls) == 1


def test_send_limited_record_does_not_block_the_batch(emulator: Emulator) -> None:
    """Else who pumps messages would stop the topic, and be sent all of them in the end."""
    default_bridge = bridge(
        emulator.url, StillClock(), REQUEST_BUDGET=2, SEND_CODES="true", SEND_ALLOWED_PREFIXES="+86"
    )
    wanted = {"action": "send", "type": "phone", "contact": "+86 139 0000 0001"}
    event = batch(record(1, wanted), record(2, wanted), record(3, wanted | {"contact": "+44 20 7946 0018"}))
    assert default_bridge.events.handle(event, LONG) == {"records": 3, "ends": {"sent": 1, "send-limited": 2}}
    emulator.faults.arm(Fault("InternalError.SendVerifyCodeErr"))
    with pytest.raises(BatchRetry, match="1 of 1 records"):
        default_bridge.events.handle(batch(record(4, wanted | {"contact": "+86 139 0000 0002"})), LONG)
    assert len(emulator.calls) == 2


@pytest.mark.parametrize(
    "message",
    ["", "{", "5", "null", "[]", {"type": "phone"}, "\ud800", "x" * 20_000, {"type": 1, "contact": "nobody"}],
)
def test_invalid_record_does_not_block_the_batch(emulator: Emulator, default_bridge: Bridge, message: object) -> None:
    one, two = send(emulator, 2)
    response = default_bridge.events.handle(batch(record(1, one), record(2, message), record(3, two)), LONG)
    assert response["ends"].pop("verified") == 2
    ((code, count),) = response["ends"].items()
    assert code in ("body-malformed", "body-invalid", "body-too-large")
    assert count == 1


@pytest.mark.parametrize("odd", [None, 5, {}, {"Ckafka": None}, {"cos": {}}])
def test_non_record_does_not_block_the_batch(emulator: Emulator, default_bridge: Bridge, odd: Any) -> None:
    one, two = send(emulator, 2)
    response = default_bridge.events.handle(batch(record(1, one), odd, record(3, two)), LONG)
    assert response == {"records": 3, "ends": {"verified": 2, "body-malformed": 1}}


def test_direct_id_does_not_match_an_offset(emulator: Emulator, default_bridge: Bridge) -> None:
    one, two = send(emulator, 2)
    response = default_bridge.events.handle(batch(record(0, one | {"id": "signups-0-1"}), record(1, two)), LONG)
    assert response["ends"] == {"verified": 2}


@pytest.mark.parametrize("message", [..., None, 5, {}, ["x"]])
def test_message_that_is_no_string_is_malformed(emulator: Emulator, default_bridge: Bridge, message: object) -> None:
    (one,) = send(emulator, 1)
    response = default_bridge.events.handle(batch(record(1, "", msgBody=message), record(2, one)), LONG)
    assert response["ends"] == {"body-malformed": 1, "verified": 1}


def test_retryable_record_raises_after_the_last_record(
    emulator: Emulator, default_bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    messages = send(emulator, 3)
    emulator.faults.arm(Fault("InternalError"))
    event = batch(*(record(offset, message) for offset, message in enumerate(messages)))
    with pytest.raises(BatchRetry, match=r"^1 of 3 records may end otherwise: send the batch again$"):
        default_bridge.events.handle(event, LONG)
    assert [call.contact for call in emulator.calls] == [message["contact"] for message in messages]
    assert default_bridge.events.handle(event, LONG)["ends"] == {"verified": 3}
    assert Counter(calls(emulator)) == {
        (CREATE, "OK"): 3,
        (CREATE, "InternalError"): 1,
        (DESCRIBE, "OK"): 1,
    }
    assert "1000000" not in caplog.text


def test_record_without_a_whole_budget_does_not_start(emulator: Emulator) -> None:
    """And each time that the batch comes, there is progress."""
    clock, on_call = StillClock(), emulator.on_call

    def take_a_while(call: Call) -> None:
        on_call(call)
        clock.advance(0.4)

    emulator.on_call = take_a_while
    bridged = bridge(emulator.url, clock, REQUEST_BUDGET=1)
    event = batch(*(record(offset, message) for offset, message in enumerate(send(emulator, 5))))
    counts = []
    for _ in range(5):
        with suppress(BatchRetry):
            assert bridged.events.handle(event, {"time_limit_in_ms": 2300})["ends"] == {"verified": 5}
        counts.append(len(emulator.calls))
    assert counts[0] < 5
    assert counts[-1] == 5
    assert [result for _, result in calls(emulator)] == ["OK"] * 5


def test_batch_with_a_time_limit_below_the_budget_is_processed(emulator: Emulator, default_bridge: Bridge) -> None:
    event = batch(*(record(offset, message) for offset, message in enumerate(send(emulator, 3))))
    assert default_bridge.events.handle(event, {"time_limit_in_ms": 1900})["ends"] == {"verified": 3}


def test_batch_without_time_starts_nothing(emulator: Emulator, default_bridge: Bridge) -> None:
    (one,) = send(emulator, 1)
    with pytest.raises(BatchRetry):
        default_bridge.events.handle(batch(record(1, one)), {"time_limit_in_ms": 400})
    assert calls(emulator) == []
    assert default_bridge.events.handle(batch(record(1, one)), {"time_limit_in_ms": 10**9})["ends"] == {"verified": 1}


def test_rejected_list_does_not_block_a_partition_forever(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """The smallest policy, which allows `Create` alone, and an answer that was lost."""
    clock = StillClock()
    bridged = bridge(emulator.url, clock, REQUEST_BUDGET=2)
    (one,) = send(emulator, 1)
    emulator.faults.arm(Fault("close", CREATE))
    emulator.faults.arm(Fault("UnauthorizedOperation", DESCRIBE, times=100))
    for _ in range(3):
        with pytest.raises(BatchRetry):
            bridged.events.handle(batch(record(1, one)), LONG)
    refused = [line for line in caplog.records if line.levelname == "ERROR"]
    assert {line.getMessage() for line in refused} == {"the account's list is refused: no lost answer can be found out"}
    remedy = refused[0].fields["remedy"]  # type: ignore[attr-defined]
    assert "it must allow domain:DescribeIntlPhoneEmailList; or RESOLVE_UNKNOWN=never" in remedy
    clock.wall += 3601
    assert bridged.events.handle(batch(record(1, one)), LONG)["ends"] == {"outcome-unresolved": 1}
    assert [action for action, _ in calls(emulator)].count(CREATE) == 1


def test_internal_error_in_a_record_does_not_stop_the_batch(
    emulator: Emulator, default_bridge: Bridge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "signup_bridge")
    one, two = send(emulator, 2)
    create = RateLimitedApi.create

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(RateLimitedApi, "create", create)
        raise RuntimeError(f"with {PHONE} and {CODE}")

    monkeypatch.setattr(RateLimitedApi, "create", fail_once)
    with pytest.raises(BatchRetry, match="1 of 2 records"):
        default_bridge.events.handle(batch(record(1, one), record(2, two)), LONG)
    assert calls(emulator) == [(CREATE, "OK")]
    lines = [json.loads(JsonFormatter().format(line)) for line in caplog.records]
    faults = [(line["level"], line["message"]) for line in lines if line["level"] == "ERROR"]
    assert faults == [("ERROR", "internal error"), ("ERROR", "delivery")]
    assert [line["outcome"] for line in lines if line["message"] == "record"] == ["internal-error", "verified"]
    assert PHONE not in json.dumps(lines)


def test_log_lines_of_an_event_have_its_request_id(
    emulator: Emulator, default_bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.handler.setFormatter(JsonFormatter())
    caplog.set_level("INFO")
    (one,) = send(emulator, 1)
    default_bridge.events.handle(batch(record(1, one)), LONG)
    default_bridge.events.handle({"Type": "Timer"}, LONG)
    lines = [json.loads(line) for line in caplog.text.splitlines()]
    assert [(line["message"], line["request_id"]) for line in lines if line["level"] == "INFO"] == [
        (message, CONTEXT["request_id"]) for message in ("delivery", "record", "pruned")
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
    """Nothing else is ever raised, and a place that comes again is no second call."""
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
