"""Test that calls are spaced evenly, slow down, are retried if not processed, and stop while the circuit is open."""

from __future__ import annotations

import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.core.rate_limit import interval
from signup_bridge.ledger import Slot
from signup_bridge.upstream.client import DomainApi

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import Bridge, bridge, calls
from tests.support.bridge.responses import PROBLEM, HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import body, signed
from tests.support.network.upstream import SUCCESS, Upstream, reply, send

UNREACHABLE = problem("upstream-unreachable", 503, retryable=True)


def deliver(to: Bridge, number: int, clock: SetClock | None = None) -> HttpResponse:
    data = body(contact=f"{number:09}")
    return to.post(data, signed(data, at=clock.time() if clock else None))


def test_calls_in_a_burst_leave_evenly(emulator: Emulator) -> None:
    clock = StillClock()
    emulator.now = clock.time
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=8)
    for number in range(8):
        deliver(instance, number)
    at = [call.at for call in emulator.calls]
    assert [late - early for early, late in pairwise(at)] == pytest.approx([interval(8)] * 7)


def test_call_without_a_slot_in_time_returns_when_the_next_is_free(emulator: Emulator) -> None:
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=0.1, REQUEST_BUDGET=4)
    assert deliver(instance, 0).json["code"] == "code-incorrect"
    response = deliver(instance, 1)
    assert clock.run == 0  # no wait
    check_problem(response, problem("upstream-throttled", 503, retryable=True), PROBLEM | {"retry-after": "11"})
    assert deliver(instance, 0).json["code"] == "upstream-throttled"
    assert len(emulator.calls) == 1


def test_call_that_was_throttled_is_retried_at_a_lower_rate(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", times=2))
    emulator.faults.arm(Fault("RequestLimitExceeded.UinLimitExceeded"))
    clock = StillClock()
    emulator.now = clock.time
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=4)
    assert instance.deliver().json["code"] == "verified"
    assert [result for _, result in calls(emulator)][:3] == ["RequestLimitExceeded"] * 2 + [
        "RequestLimitExceeded.UinLimitExceeded"
    ]
    at = [call.at for call in emulator.calls]
    assert at[3] - at[2] == pytest.approx(interval(4) / 0.7, rel=0.1)


def test_call_that_missed_its_slot_reserves_another(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """Otherwise it would cluster with punctual calls. The number of reservations is limited."""
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5)
    ledger = instance.app.extensions["ledger"]
    deliver(instance, 0)
    slept: list[float] = []
    reserved: list[Any] = []
    reserve = ledger.reserve_slot

    def oversleep(seconds: float) -> None:
        slept.append(seconds)
        clock.run += seconds + 0.03
        clock.wall += seconds + 0.03

    def counted(action: str, *, max_wait: float, deadline: Deadline) -> Any:
        reserved.append(reserve(action, max_wait=max_wait, deadline=deadline))
        return reserved[-1]

    monkeypatch.setattr(clock, "sleep", oversleep)
    monkeypatch.setattr(ledger, "reserve_slot", counted)
    assert deliver(instance, 1, clock).json["code"] == "code-incorrect"
    assert (len(slept), len(reserved)) == (3, 3)
    monkeypatch.setattr(ledger, "reserve_slot", lambda *_, **__: Slot(9.0, fits=False))
    assert deliver(instance, 2, clock).json["code"] == "code-incorrect"
    assert len(emulator.calls) == 3


def test_call_after_a_slow_ledger_keeps_its_slot(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5)
    ledger = instance.app.extensions["ledger"]
    deliver(instance, 0)
    claim = ledger.claim

    def slow(*of: Any, **named: Any) -> Any:
        clock.advance(0.05)
        claimed = claim(*of, **named)
        clock.advance(0.05)
        return claimed

    def reserve(*_: Any, **__: Any) -> Any:
        raise AssertionError("a slot was reserved again")

    monkeypatch.setattr(ledger, "claim", slow)
    monkeypatch.setattr(ledger, "reserve_slot", reserve)
    assert deliver(instance, 1).json["code"] == "code-incorrect"
    assert clock.run == pytest.approx(interval(5), abs=0.05)


def test_call_that_stays_throttled_returns_within_the_budget(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", times=1000))
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5, REQUEST_BUDGET=1.5)
    response = instance.deliver()
    assert 0 < clock.run < 1.5
    request_id = emulator.calls[-1].request_id
    expected = problem("upstream-throttled", 503, retryable=True, api_request_id=request_id)
    check_problem(response, expected, PROBLEM | {"retry-after": "1"})
    emulator.faults.clear()
    assert instance.deliver().json["code"] == "verified"


def test_call_that_was_never_sent_is_retried(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    asked: list[Any] = []
    resolve = socket.getaddrinfo

    def stumble(*of: Any, **named: Any) -> Any:
        asked.append(of)
        if len(asked) < 3:
            raise OSError("the resolver failed")
        return resolve(*of, **named)

    monkeypatch.setattr(socket, "getaddrinfo", stumble)
    assert bridge(emulator.url, StillClock()).deliver().json["code"] == "verified"
    assert len(asked) == 3
    assert len(emulator.calls) == 1


def test_call_that_is_never_sent_is_retried_twice_at_most(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    asked: list[Any] = []

    def stumble(*of: Any, **_: Any) -> Any:
        asked.append(of)
        raise OSError("the resolver failed")

    monkeypatch.setattr(socket, "getaddrinfo", stumble)
    check_problem(bridge(emulator.url, StillClock()).deliver(), UNREACHABLE, PROBLEM | {"retry-after": "5"})
    assert len(asked) == 3


def test_retry_without_a_ledger_returns_the_first_result(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, tmp_path: Path
) -> None:
    """The response has the outcome of the call that was not processed."""
    instance = bridge(emulator.url, StillClock(), LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db", REQUEST_BUDGET=2)

    def lose_the_ledger(*_: Any, **__: Any) -> Any:
        for file in tmp_path.iterdir():
            file.unlink()
        (tmp_path / "ledger.db").mkdir()
        instance.app.extensions["ledger"].close()
        raise OSError("the resolver failed")

    monkeypatch.setattr(socket, "getaddrinfo", lose_the_ledger)
    check_problem(instance.deliver(), UNREACHABLE, PROBLEM | {"retry-after": "5"})


def test_calls_after_ten_failures_are_not_sent_until_a_probe_succeeds(emulator: Emulator) -> None:
    """One probe at a time checks whether the API is available again."""
    clock = StillClock()
    port = ports.free()
    instance = bridge(f"http://127.0.0.1:{port}", clock)
    for number in range(3):
        check_problem(deliver(instance, number), UNREACHABLE, PROBLEM | {"retry-after": "5"})
    check_problem(deliver(instance, 4), UNREACHABLE, PROBLEM | {"retry-after": "1"})
    with Upstream(send(reply(SUCCESS)), port=port) as upstream:
        check_problem(deliver(instance, 5), UNREACHABLE, PROBLEM | {"retry-after": "1"})
        assert upstream.requests == []
        clock.advance(1.1)
        assert deliver(instance, 6).json["code"] == "verified"
        assert deliver(instance, 7).json["code"] == "verified"


def test_call_that_raises_counts_as_failure(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    def fail(*_: Any) -> Any:
        raise KeyError("an error in the bridge")

    instance = bridge(emulator.url, StillClock())
    with monkeypatch.context() as faulty:
        faulty.setattr(DomainApi, "call", fail)
        for number in range(10):
            assert deliver(instance, number).json["code"] == "internal-error"
    check_problem(deliver(instance, 10), UNREACHABLE, PROBLEM | {"retry-after": "1"})
    assert emulator.calls == []


def test_api_that_hangs_holds_ten_calls_and_a_probe(emulator: Emulator) -> None:
    """Replays and reconciliations continue."""
    clock = StillClock()
    instance = bridge(emulator.url, clock, REQUEST_BUDGET=1)
    known = instance.deliver()
    emulator.faults.arm(Fault("hang", "CreateIntlPhoneEmail", times=1000))
    lost = body(contact="10086")
    responses = [instance.post(lost, signed(lost, delivery_id="lost"))]
    threads = [threading.Thread(target=lambda n: responses.append(deliver(instance, n)), args=(n,)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.json["code"] for one in responses] == ["outcome-unknown"] * 10
    calls_before, time_before = len(emulator.calls), clock.run
    for number in range(20, 25):
        check_problem(deliver(instance, number), UNREACHABLE, PROBLEM | {"retry-after": "1"})
    assert len(emulator.calls) == calls_before
    assert clock.run == pytest.approx(time_before, abs=0.1)  # no delivery waited for more than a slot
    assert instance.post(lost, signed(lost, delivery_id="lost")).json["code"] == "outcome-unknown"
    assert emulator.calls[-1].action == "DescribeIntlPhoneEmailList"
    assert known.json["code"] == "verified"
    clock.run += 1.1
    assert deliver(instance, 30).json["code"] == "outcome-unknown"
    check_problem(deliver(instance, 31), UNREACHABLE, PROBLEM | {"retry-after": "2"})


@pytest.mark.parametrize("which", ["wall", "run"])
def test_call_after_a_freeze_before_its_slot_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, which: str
) -> None:
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5)
    deliver(instance, 0)

    def freeze(_seconds: float) -> None:
        setattr(clock, which, 600.0)

    monkeypatch.setattr(clock, "sleep", freeze)
    assert deliver(instance, 1).json["code"] == "in-progress"
    assert len(emulator.calls) == 1
