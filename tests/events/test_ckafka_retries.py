"""Test failures within a CKafka batch: which records are retried, and which calls have time to start."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from signup_bridge.core.actions import CREATE, DESCRIBE
from signup_bridge.events.ckafka import BatchRetry
from signup_bridge.telemetry.logs import JsonFormatter
from signup_bridge.upstream.calls import RateLimitedApi

from signup_emulator.api.calls import Call
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.batches import LONG, batch, record, send
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.instances import Bridge, bridge, calls
from tests.support.bridge.signed_requests import CODE, PHONE


def test_retryable_record_raises_after_the_last_record(
    emulator: Emulator, ckafka_bridge: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    messages = send(emulator, 3)
    emulator.faults.arm(Fault("InternalError"))
    event = batch(*(record(offset, message) for offset, message in enumerate(messages)))
    with pytest.raises(BatchRetry, match=r"^1 of 3 records must be retried; send the batch again$"):
        ckafka_bridge.events.handle(event, LONG)
    assert [call.contact for call in emulator.calls] == [message["contact"] for message in messages]
    assert ckafka_bridge.events.handle(event, LONG)["ends"] == {"verified": 3}
    assert Counter(calls(emulator)) == {
        (CREATE, "OK"): 3,
        (CREATE, "InternalError"): 1,
        (DESCRIBE, "OK"): 1,
    }
    assert "1000000" not in caplog.text


def test_record_without_a_whole_budget_does_not_start(emulator: Emulator) -> None:
    """Each redelivery of the batch verifies more records."""
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


def test_batch_with_a_time_limit_below_the_budget_is_processed(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    event = batch(*(record(offset, message) for offset, message in enumerate(send(emulator, 3))))
    assert ckafka_bridge.events.handle(event, {"time_limit_in_ms": 1900})["ends"] == {"verified": 3}


def test_batch_without_time_starts_nothing(emulator: Emulator, ckafka_bridge: Bridge) -> None:
    (one,) = send(emulator, 1)
    with pytest.raises(BatchRetry):
        ckafka_bridge.events.handle(batch(record(1, one)), {"time_limit_in_ms": 400})
    assert calls(emulator) == []
    assert ckafka_bridge.events.handle(batch(record(1, one)), {"time_limit_in_ms": 10**9})["ends"] == {"verified": 1}


def test_rejected_list_does_not_block_a_partition_forever(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """The minimal policy allows only `Create`, and a reply is lost."""
    clock = StillClock()
    bridged = bridge(emulator.url, clock, REQUEST_BUDGET=2)
    (one,) = send(emulator, 1)
    emulator.faults.arm(Fault("close", CREATE))
    emulator.faults.arm(Fault("UnauthorizedOperation", DESCRIBE, times=100))
    for _ in range(3):
        with pytest.raises(BatchRetry):
            bridged.events.handle(batch(record(1, one)), LONG)
    refused = [line for line in caplog.records if line.levelname == "ERROR"]
    assert {line.getMessage() for line in refused} == {"contact list not accessible, unknown outcomes not reconciled"}
    remedy = refused[0].fields["remedy"]  # type: ignore[attr-defined]
    assert "must allow domain:DescribeIntlPhoneEmailList; add it, or set RESOLVE_UNKNOWN=never" in remedy
    clock.wall += 3601
    assert bridged.events.handle(batch(record(1, one)), LONG)["ends"] == {"outcome-unresolved": 1}
    assert [action for action, _ in calls(emulator)].count(CREATE) == 1


def test_internal_error_in_a_record_does_not_stop_the_batch(
    emulator: Emulator, ckafka_bridge: Bridge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "signup_bridge")
    one, two = send(emulator, 2)
    create = RateLimitedApi.create

    def fail_once(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.setattr(RateLimitedApi, "create", create)
        raise RuntimeError(f"with {PHONE} and {CODE}")

    monkeypatch.setattr(RateLimitedApi, "create", fail_once)
    with pytest.raises(BatchRetry, match="1 of 2 records"):
        ckafka_bridge.events.handle(batch(record(1, one), record(2, two)), LONG)
    assert calls(emulator) == [(CREATE, "OK")]
    lines = [json.loads(JsonFormatter().format(line)) for line in caplog.records]
    faults = [(line["level"], line["message"]) for line in lines if line["level"] == "ERROR"]
    assert faults == [("ERROR", "internal error"), ("ERROR", "delivery")]
    assert [line["outcome"] for line in lines if line["message"] == "record"] == ["internal-error", "verified"]
    assert PHONE not in json.dumps(lines)
