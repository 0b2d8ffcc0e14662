"""Calls leave evenly, slow down, go again when they were not processed, breaker; and what that answers."""

from __future__ import annotations

import socket
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.core.rate_limit import RateLimiterState, interval
from signup_bridge.ledger import Slot
from signup_bridge.upstream.circuit_breaker import CircuitBreaker

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.builders import (  # fmt: skip
    PROBLEM,
    SUCCESS,
    Answer,
    Bridge,
    SetClock,
    StillClock,
    Upstream,
    body,
    bridge,
    calls,
    check_problem,
    problem,
    reply,
    send,
    signed,
)

UNREACHABLE = problem("upstream-unreachable", 503, retryable=True)


def deliver(to: Bridge, number: int, clock: SetClock | None = None) -> Answer:
    data = body(contact=f"{number:09}")
    return to.post(data, signed(data, at=clock.time() if clock else None))


# -- the arithmetic --


def test_the_pace_is_a_little_below_the_quota() -> None:
    assert interval(20) == pytest.approx(1 / 19.2)


def test_slots_come_one_after_the_other() -> None:
    pace, slots = RateLimiterState(), []
    for _ in range(3):
        slots.append(pace.next_slot(100.0))
        pace = pace.after_reserve(100.0, 0.05)
    assert slots == pytest.approx([100.0, 100.05, 100.1])
    assert pace.next_slot(200.0) == 200.0
    assert pace.next_slot(50.0) == 50.0


def test_it_slows_down_once_a_second_to_a_quarter_and_comes_back() -> None:
    pace = RateLimiterState().after_throttle(10.0)
    assert pace.factor(10.0) == 0.7
    assert pace.after_throttle(10.9) == pace
    assert pace.after_throttle(11.0).factor(11.0) == pytest.approx(0.8 * 0.7)
    for second in range(11, 30):
        pace = pace.after_throttle(float(second))
    assert pace.factor(29.0) == 0.25
    assert pace.factor(33.0) == pytest.approx(0.65)
    assert pace.factor(99.0) == 1.0
    assert pace.factor(28.5) == 0.25
    assert pace.factor(0.0) == 1.0
    assert pace.after_reserve(29.0, 1.0).free == pytest.approx(33.0)


def end(breaker: CircuitBreaker, *, replied: bool) -> None:
    with breaker.call() as permitted:
        permitted.replied = replied


def test_a_pause_begins_after_ten_failures_in_a_row_and_doubles_with_each_probe() -> None:
    clock = StillClock()
    breaker = CircuitBreaker(clock)
    for _ in range(9):
        end(breaker, replied=False)
    end(breaker, replied=True)
    for _ in range(9):
        end(breaker, replied=False)
    assert breaker.open_for() == 0
    for _ in range(5):  # those that were under way count once
        end(breaker, replied=False)
    lengths = []
    for _ in range(6):
        lengths.append(breaker.open_for())
        clock.run += lengths[-1] + 0.01
        assert breaker.open_for() == 0
        assert breaker.open_for() > 0  # one probe at a time
        end(breaker, replied=False)
    assert lengths == pytest.approx([1, 2, 4, 8, 15, 15], abs=0.1)
    clock.run += 16
    assert breaker.open_for() == 0
    end(breaker, replied=True)
    assert [breaker.open_for() for _ in range(3)] == [0, 0, 0]
    for _ in range(10):
        end(breaker, replied=False)
    assert breaker.open_for() == pytest.approx(1, abs=0.1)


def test_a_probe_that_fails_in_an_unforeseen_way_is_a_failure() -> None:
    clock = StillClock()
    breaker = CircuitBreaker(clock)
    for _ in range(10):
        end(breaker, replied=False)
    clock.run += 1.1
    assert breaker.open_for() == 0
    with pytest.raises(KeyError), breaker.call():
        raise KeyError
    assert breaker.open_for() == pytest.approx(2, abs=0.1)


# -- over the wire --


def test_calls_leave_evenly(emulator: Emulator) -> None:
    clock = StillClock()
    emulator.now = clock.time
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=8)
    for number in range(8):
        deliver(instance, number)
    at = [call.at for call in emulator.calls]
    assert [late - early for early, late in pairwise(at)] == pytest.approx([interval(8)] * 7)


def test_no_slot_within_the_budget_is_told_with_the_first_that_is_free(emulator: Emulator) -> None:
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=0.1, REQUEST_BUDGET=4)
    assert deliver(instance, 0).json["code"] == "code-incorrect"
    given = deliver(instance, 1)
    assert clock.run == 0  # it waited for nothing
    check_problem(given, problem("upstream-throttled", 503, retryable=True), PROBLEM | {"retry-after": "11"})
    assert deliver(instance, 0).json["code"] == "upstream-throttled"
    assert len(emulator.calls) == 1


def test_a_call_that_was_refused_for_the_quota_goes_again(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", times=2))
    emulator.faults.arm(Fault("RequestLimitExceeded.UinLimitExceeded"))
    clock = StillClock()
    emulator.now = clock.time
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=4)
    assert instance.deliver().json["status"] == "verified"
    assert [result for _, result in calls(emulator)][:3] == ["RequestLimitExceeded"] * 2 + [
        "RequestLimitExceeded.UinLimitExceeded"
    ]
    at = [call.at for call in emulator.calls]
    assert at[3] - at[2] == pytest.approx(interval(4) / 0.7, rel=0.1)


def test_a_call_that_is_late_takes_another_turn(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """With punctual ones it would bunch up; but it is not kept waiting for ever."""
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


def test_a_ledger_that_takes_its_time_costs_no_turns(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
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
        raise AssertionError("it was late")

    monkeypatch.setattr(ledger, "claim", slow)
    monkeypatch.setattr(ledger, "reserve_slot", reserve)
    assert deliver(instance, 1).json["code"] == "code-incorrect"
    assert clock.run == pytest.approx(interval(5), abs=0.05)


def test_a_quota_that_stays_used_up_is_told_within_the_budget(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", times=1000))
    clock = StillClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5, REQUEST_BUDGET=1.5)
    given = instance.deliver()
    assert 0 < clock.run < 1.5
    request_id = emulator.calls[-1].request_id
    expected = problem("upstream-throttled", 503, retryable=True, request_id=request_id)
    check_problem(given, expected, PROBLEM | {"retry-after": "1"})
    emulator.faults.clear()
    assert instance.deliver().json["status"] == "verified"


def test_a_call_that_was_never_sent_goes_again(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    asked: list[Any] = []
    resolve = socket.getaddrinfo

    def stumble(*of: Any, **named: Any) -> Any:
        asked.append(of)
        if len(asked) < 3:
            raise OSError("the resolver stumbled")
        return resolve(*of, **named)

    monkeypatch.setattr(socket, "getaddrinfo", stumble)
    assert bridge(emulator.url, StillClock()).deliver().json["status"] == "verified"
    assert len(asked) == 3
    assert len(emulator.calls) == 1


def test_it_goes_again_twice_at_most(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    asked: list[Any] = []

    def stumble(*of: Any, **_: Any) -> Any:
        asked.append(of)
        raise OSError("the resolver fell")

    monkeypatch.setattr(socket, "getaddrinfo", stumble)
    check_problem(bridge(emulator.url, StillClock()).deliver(), UNREACHABLE, PROBLEM | {"retry-after": "5"})
    assert len(asked) == 3


def test_a_ledger_that_fails_between_two_calls(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, tmp_path: Path
) -> None:
    """The call that was not processed is answered as such."""
    instance = bridge(emulator.url, StillClock(), LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db", REQUEST_BUDGET=2)

    def lose_the_ledger(*_: Any, **__: Any) -> Any:
        for file in tmp_path.iterdir():
            file.unlink()
        (tmp_path / "ledger.db").mkdir()
        instance.app.extensions["ledger"].close()
        raise OSError("the resolver stumbled")

    monkeypatch.setattr(socket, "getaddrinfo", lose_the_ledger)
    check_problem(instance.deliver(), UNREACHABLE, PROBLEM | {"retry-after": "5"})


def test_after_ten_failures_no_call_is_made_for_a_while(emulator: Emulator) -> None:
    """One probe at a time finds out whether the API is back."""
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
        assert deliver(instance, 6).json["status"] == "verified"
        assert deliver(instance, 7).json["status"] == "verified"


def test_an_api_that_hangs_holds_no_more_than_ten_calls_and_a_probe(emulator: Emulator) -> None:
    """Replays go on, and so does looking things up."""
    clock = StillClock()
    instance = bridge(emulator.url, clock, REQUEST_BUDGET=1)
    known = instance.deliver()
    emulator.faults.arm(Fault("hang", "CreateIntlPhoneEmail", times=1000))
    lost = body(contact="10086")
    answers = [instance.post(lost, signed(lost, delivery_id="lost"))]
    threads = [threading.Thread(target=lambda n: answers.append(deliver(instance, n)), args=(n,)) for n in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.json["code"] for one in answers] == ["outcome-unknown"] * 10
    made, passed = len(emulator.calls), clock.run
    for number in range(20, 25):
        check_problem(deliver(instance, number), UNREACHABLE, PROBLEM | {"retry-after": "1"})
    assert len(emulator.calls) == made
    assert clock.run == pytest.approx(passed, abs=0.1)  # nobody waited for more than a slot
    assert instance.post(lost, signed(lost, delivery_id="lost")).json["code"] == "outcome-unknown"
    assert emulator.calls[-1].action == "DescribeIntlPhoneEmailList"
    assert known.json["status"] == "verified"
    clock.run += 1.1
    assert deliver(instance, 30).json["code"] == "outcome-unknown"
    check_problem(deliver(instance, 31), UNREACHABLE, PROBLEM | {"retry-after": "2"})


@pytest.mark.parametrize("which", ["wall", "run"])
def test_a_thread_that_was_frozen_while_it_waited_calls_nothing(
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
