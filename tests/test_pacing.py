"""Calls leave evenly, slow down, go again when they were not processed, pause; and what that answers."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests
from bridge.clock import Deadline
from bridge.ledger import LedgerUnavailable, Slot
from bridge.pacing import Pace, Pause, interval
from builders import (
    ABORT,
    CODE,
    PHONE,
    PROBLEM,
    SUCCESS,
    Answer,
    Bridge,
    SetClock,
    Upstream,
    body,
    bridge,
    calls,
    check_problem,
    free_port,
    gunicorn,
    post,
    problem,
    reply,
    send,
    signed,
)  # fmt: skip

from emulator.faults import Fault
from emulator.server import Emulator

UNREACHABLE = problem("upstream-unreachable", 503, retryable=True)


def deliver(to: Bridge, number: int, clock: SetClock | None = None) -> Answer:
    data = body(contact=f"{number:09}")
    return to.post(data, signed(data, at=clock.time() if clock else None))


# -- the arithmetic --


def test_the_pace_is_a_little_below_the_quota() -> None:
    assert interval(20) == pytest.approx(1 / 19.2)


def test_slots_come_one_after_the_other() -> None:
    pace, slots = Pace(), []
    for _ in range(3):
        slots.append(pace.slot(100.0))
        pace = pace.taken(100.0, 0.05)
    assert slots == pytest.approx([100.0, 100.05, 100.1])
    assert pace.slot(200.0) == 200.0
    assert pace.slot(50.0) == 50.0


def test_it_slows_down_once_a_second_to_a_quarter_and_comes_back() -> None:
    pace = Pace().slower(10.0)
    assert pace.factor_at(10.0) == 0.7
    assert pace.slower(10.9) == pace
    assert pace.slower(11.0).factor_at(11.0) == pytest.approx(0.8 * 0.7)
    for second in range(11, 30):
        pace = pace.slower(float(second))
    assert pace.factor_at(29.0) == 0.25
    assert pace.factor_at(33.0) == pytest.approx(0.65)
    assert pace.factor_at(99.0) == 1.0
    assert pace.factor_at(28.5) == 0.25
    assert pace.factor_at(0.0) == 1.0
    assert pace.taken(29.0, 1.0).free == pytest.approx(33.0)


def end(pause: Pause, *, answered: bool) -> None:
    with pause.watch() as watched:
        watched.answered = answered


def test_a_pause_begins_after_ten_failures_in_a_row_and_doubles_with_each_probe() -> None:
    clock = SetClock()
    pause = Pause(clock)
    for _ in range(9):
        end(pause, answered=False)
    end(pause, answered=True)
    for _ in range(9):
        end(pause, answered=False)
    assert pause.left() == 0
    for _ in range(5):  # those that were under way count once
        end(pause, answered=False)
    lengths = []
    for _ in range(6):
        lengths.append(pause.left())
        clock.run += lengths[-1] + 0.01
        assert pause.left() == 0
        assert pause.left() > 0  # one probe at a time
        end(pause, answered=False)
    assert lengths == pytest.approx([1, 2, 4, 8, 15, 15], abs=0.1)
    clock.run += 16
    assert pause.left() == 0
    end(pause, answered=True)
    assert [pause.left() for _ in range(3)] == [0, 0, 0]
    for _ in range(10):
        end(pause, answered=False)
    assert pause.left() == pytest.approx(1, abs=0.1)


def test_a_probe_that_fails_in_an_unforeseen_way_is_a_failure() -> None:
    clock = SetClock()
    pause = Pause(clock)
    for _ in range(10):
        end(pause, answered=False)
    clock.run += 1.1
    assert pause.left() == 0
    with pytest.raises(KeyError), pause.watch():
        raise KeyError
    assert pause.left() == pytest.approx(2, abs=0.1)


# -- over the wire --


def test_calls_leave_evenly(emulator: Emulator) -> None:
    instance = bridge(emulator.url, DOMAIN_API_RATE=20)
    threads = [threading.Thread(target=deliver, args=(instance, number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    at = sorted(call.at for call in emulator.calls)
    assert len(at) == 8
    assert at[-1] - at[0] > 7 * 0.052 - 0.05


def test_no_slot_within_the_budget_is_told_with_the_first_that_is_free(emulator: Emulator) -> None:
    instance = bridge(emulator.url, DOMAIN_API_RATE=0.1, REQUEST_BUDGET=4)
    assert deliver(instance, 0).json["code"] == "code-incorrect"
    began = time.monotonic()
    given = deliver(instance, 1)
    assert time.monotonic() - began < 1
    check_problem(given, problem("upstream-throttled", 503, retryable=True), PROBLEM | {"retry-after": "11"})
    assert deliver(instance, 0).json["code"] == "upstream-throttled"
    assert len(emulator.calls) == 1


def test_a_call_that_was_refused_for_the_quota_goes_again(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", times=2))
    emulator.faults.arm(Fault("RequestLimitExceeded.UinLimitExceeded"))
    instance = bridge(emulator.url, DOMAIN_API_RATE=20)
    assert instance.deliver().json["status"] == "verified"
    assert [result for _, result in calls(emulator)][:3] == ["RequestLimitExceeded"] * 2 + [
        "RequestLimitExceeded.UinLimitExceeded"
    ]
    at = [call.at for call in emulator.calls]
    assert at[3] - at[2] > 0.05 / 0.7


def test_a_call_that_is_late_takes_another_turn(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    """With punctual ones it would bunch up; but it is not kept waiting for ever."""
    clock = SetClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5)
    ledger = instance.app.extensions["ledger"]
    deliver(instance, 0)
    slept: list[float] = []
    reserved: list[Any] = []
    reserve = ledger.reserve

    def oversleep(seconds: float) -> None:
        slept.append(seconds)
        clock.run += seconds + 0.03
        clock.wall += seconds + 0.03

    def counted(action: str, *, max_wait: float, deadline: Deadline) -> Any:
        reserved.append(reserve(action, max_wait=max_wait, deadline=deadline))
        return reserved[-1]

    monkeypatch.setattr(clock, "sleep", oversleep)
    monkeypatch.setattr(ledger, "reserve", counted)
    assert deliver(instance, 1, clock).json["code"] == "code-incorrect"
    assert (len(slept), len(reserved)) == (3, 3)
    monkeypatch.setattr(ledger, "reserve", lambda *_, **__: Slot(9.0, fits=False))
    assert deliver(instance, 2, clock).json["code"] == "code-incorrect"
    assert len(emulator.calls) == 3


def test_a_ledger_that_takes_its_time_costs_no_turns(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    instance = bridge(emulator.url, DOMAIN_API_RATE=5)
    ledger = instance.app.extensions["ledger"]
    deliver(instance, 0)
    claim = ledger.claim

    def slow(*of: Any, **named: Any) -> Any:
        time.sleep(0.05)
        claimed = claim(*of, **named)
        time.sleep(0.05)
        return claimed

    def reserve(*_: Any, **__: Any) -> Any:
        raise AssertionError("it was late")

    monkeypatch.setattr(ledger, "claim", slow)
    monkeypatch.setattr(ledger, "reserve", reserve)
    assert deliver(instance, 1).json["code"] == "code-incorrect"


def test_a_quota_that_stays_used_up_is_told_within_the_budget(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", times=1000))
    instance = bridge(emulator.url, DOMAIN_API_RATE=5, REQUEST_BUDGET=1.5)
    began = time.monotonic()
    given = instance.deliver()
    assert time.monotonic() - began < 1.6
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
    assert bridge(emulator.url).deliver().json["status"] == "verified"
    assert len(asked) == 3
    assert len(emulator.calls) == 1


def test_it_goes_again_twice_at_most(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    asked: list[Any] = []

    def stumble(*of: Any, **_: Any) -> Any:
        asked.append(of)
        raise OSError("the resolver fell")

    monkeypatch.setattr(socket, "getaddrinfo", stumble)
    check_problem(bridge(emulator.url).deliver(), UNREACHABLE, PROBLEM | {"retry-after": "5"})
    assert len(asked) == 3


def test_a_ledger_that_fails_between_two_calls(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, tmp_path: Path
) -> None:
    """The call that was not processed is answered as such."""
    instance = bridge(emulator.url, LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db")

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
    clock = SetClock()
    port = free_port()
    instance = bridge(f"http://127.0.0.1:{port}", clock)
    for number in range(3):
        check_problem(deliver(instance, number), UNREACHABLE, PROBLEM | {"retry-after": "5"})
    check_problem(deliver(instance, 4), UNREACHABLE, PROBLEM | {"retry-after": "1"})
    with Upstream(send(reply(SUCCESS)), port=port) as upstream:
        check_problem(deliver(instance, 5), UNREACHABLE, PROBLEM | {"retry-after": "1"})
        assert upstream.requests == []
        clock.run += 1.1
        assert deliver(instance, 6).json["status"] == "verified"
        assert deliver(instance, 7).json["status"] == "verified"


def test_an_api_that_hangs_holds_no_more_than_ten_calls_and_a_probe(emulator: Emulator) -> None:
    """Replays go on, and so does looking things up."""
    clock = SetClock()
    instance = bridge(emulator.url, clock, REQUEST_BUDGET=0.5)
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
    made = len(emulator.calls)
    for number in range(20, 25):
        began = time.monotonic()
        check_problem(deliver(instance, number), UNREACHABLE, PROBLEM | {"retry-after": "1"})
        assert time.monotonic() - began < 0.3
    assert len(emulator.calls) == made
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
    clock = SetClock()
    instance = bridge(emulator.url, clock, DOMAIN_API_RATE=5)
    deliver(instance, 0)

    def freeze(_seconds: float) -> None:
        setattr(clock, which, 600.0)

    monkeypatch.setattr(clock, "sleep", freeze)
    assert deliver(instance, 1).json["code"] == "upstream-throttled"
    assert len(emulator.calls) == 1


def test_the_time_in_the_servers_line_counts(emulator: Emulator, tmp_path: Path) -> None:
    """There is one thread; who stood in line for most of its budget is told so, and nothing is called."""
    emulator.delay = 0.9
    with gunicorn(emulator.url, tmp_path / "log", REQUEST_BUDGET=1, GUNICORN_CMD_ARGS="--threads 1") as url:
        given: list[Answer] = []
        data = [body(contact=f"{number:09}") for number in range(5)]
        threads = [threading.Thread(target=lambda one: given.append(post(url, one)), args=(one,)) for one in data]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert time.monotonic() - began < 2
    assert sorted(one.json["code"] for one in given) == ["code-incorrect"] + ["overloaded"] * 4
    assert len(emulator.calls) == 1


def test_a_ledger_that_hangs_leaves_threads_for_the_rest(emulator: Emulator, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"LEDGER_URL": url, "LEDGER_KEY": "k" * 32, "REQUEST_BUDGET": 4, "CONCURRENCY": 4}
        with gunicorn(emulator.url, tmp_path / "log", **settings) as bridged:
            data = [body(contact=f"{number:09}") for number in range(80)]
            threads = [threading.Thread(target=post, args=(bridged, one)) for one in data]
            asking = [
                threading.Thread(target=requests.get, args=(f"{bridged}/ready",), kwargs={"timeout": 20})
                for _ in range(20)
            ]
            for thread in threads + asking:
                thread.start()
            time.sleep(0.8)
            began = time.monotonic()
            assert requests.get(f"{bridged}/health", timeout=5).status_code == 200
            assert time.monotonic() - began < 2
            for thread in threads + asking:
                thread.join()
    assert calls(emulator) == []


def test_a_stop_lets_what_is_under_way_finish(emulator: Emulator, tmp_path: Path) -> None:
    emulator.delay = 1.0
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    data = body()
    given: list[Answer] = []
    with gunicorn(emulator.url, tmp_path / "log", LEDGER_URL=ledger) as url:
        headers = signed(data, delivery_id="msg_1")
        thread = threading.Thread(target=lambda: given.append(post(url, data, headers)))
        thread.start()
        while not emulator.calls:
            time.sleep(0.01)
    thread.join()
    assert given[0].json["status"] == "verified"
    again = bridge(emulator.url, LEDGER_URL=ledger).post(data, signed(data, delivery_id="msg_1"))
    assert (again.body, again.headers["idempotent-replayed"]) == (given[0].body, "true")
    assert len(emulator.calls) == 1


# -- taking verified contacts off the list --


def listed(emulator: Emulator) -> list[str]:
    return [code for _, code in emulator.domain._verified]


def send_code(emulator: Emulator, contact: str = PHONE) -> str:
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": contact})
    return emulator.domain.sent_codes()[0].code


def test_a_verified_contact_is_taken_off_the_list_and_can_be_verified_again(emulator: Emulator) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    assert instance.deliver().json["status"] == "verified"
    assert listed(emulator) == []
    assert instance.deliver(verify_code=send_code(emulator)).json["status"] == "verified"
    assert listed(emulator) == []
    spent = instance.deliver()
    check_problem(spent, problem("already-verified", 409, retryable=False), ABORT)
    assert [action[:6] for action, _ in calls(emulator)] == ["Create", "Delete"] * 2


@pytest.mark.parametrize("fault", ["unprocessed", "FailedOperation", "RequestLimitExceeded", "hang"])
def test_a_removal_that_failed_is_done_before_the_next_call(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault, "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    began = time.monotonic()
    assert instance.deliver().json["status"] == "verified"
    assert time.monotonic() - began < 2
    if fault == "hang":
        emulator.domain._verified[1, PHONE] = time.time()
    assert listed(emulator) == [PHONE]
    assert instance.deliver(verify_code=send_code(emulator)).json["status"] == "verified"
    assert listed(emulator) == []
    assert [action[:6] for action, _ in calls(emulator)] == ["Create", "Delete", "Delete", "Create", "Delete"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("close", "outcome-unknown"),
        ("FailedOperation", "upstream-failed"),
        ("InvalidParameter", "upstream-failed"),
        ("UnauthorizedOperation", "bridge-misconfigured"),
        ("RequestLimitExceeded", "upstream-throttled"),
    ],
)
def test_while_the_removal_fails_nothing_is_verified(emulator: Emulator, fault: str, code: str) -> None:
    emulator.faults.arm(Fault("FailedOperation", "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    instance.deliver()
    renewed = body(verify_code=send_code(emulator))
    emulator.faults.arm(Fault(fault, "DeleteIntlPhoneEmail"))
    given = instance.post(renewed, signed(renewed, delivery_id="again"))
    assert (given.json["code"], given.json["retryable"]) == (code, True)
    assert instance.post(renewed, signed(renewed, delivery_id="again")).json["status"] == "verified"
    assert [action[:6] for action, _ in calls(emulator)] == [
        "Create", "Delete", "Delete", "Delete", "Create", "Delete",
    ]  # fmt: skip


def test_the_contact_is_locked_while_it_is_removed(emulator: Emulator, tmp_path: Path) -> None:
    ledger: dict[str, Any] = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "AFTER_VERIFIED": "release"}
    emulator.faults.arm(Fault("hang", "DeleteIntlPhoneEmail"))
    instance, hasty = bridge(emulator.url, **ledger), bridge(emulator.url, **ledger, REQUEST_BUDGET=0.3)
    thread = threading.Thread(target=instance.deliver)
    thread.start()
    while len(emulator.calls) < 2:
        time.sleep(0.01)
    assert hasty.deliver(verify_code="000000").json["code"] == "in-progress"
    thread.join()
    emulator.let_go()


def test_a_removal_that_was_refused_for_the_quota_slows_removals_down(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    instance.deliver()
    query = "SELECT factor FROM paces WHERE action = 'DeleteIntlPhoneEmail'"
    ledger = instance.app.extensions["ledger"]
    found = ledger._file.read(lambda db: db.execute(query).fetchone(), Deadline(SetClock(), 5))
    assert tuple(found) == (0.7,)


def test_what_is_not_recorded_is_not_removed(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release", REQUEST_BUDGET=1)

    def fail(*_: Any, **__: Any) -> Any:
        raise LedgerUnavailable("for long")

    monkeypatch.setattr(instance.app.extensions["ledger"], "settle", fail)
    assert instance.deliver().json["status"] == "verified"
    assert [action for action, _ in calls(emulator)] == ["CreateIntlPhoneEmail"]


def test_after_a_removal_its_call_takes_another_turn(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    emulator.faults.arm(Fault("FailedOperation", "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    instance.deliver()
    ledger = instance.app.extensions["ledger"]
    reserve = ledger.reserve

    def no_slot(action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        if action == "CreateIntlPhoneEmail":
            return Slot(7.0, fits=False)
        slot: Slot = reserve(action, max_wait=max_wait, deadline=deadline)
        return slot

    renewed = body(verify_code=send_code(emulator))
    with monkeypatch.context() as full:
        full.setattr(ledger, "reserve", no_slot)
        given = instance.post(renewed, signed(renewed, delivery_id="b"))
        check_problem(given, problem("upstream-throttled", 503, retryable=True), PROBLEM | {"retry-after": "7"})
    assert instance.post(renewed, signed(renewed, delivery_id="b")).json["status"] == "verified"


def test_a_contact_that_is_off_the_list_already_is_removed(emulator: Emulator) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    emulator.faults.arm(Fault("ResourceNotFound", "DeleteIntlPhoneEmail"))
    assert instance.deliver().json["status"] == "verified"
    emulator.domain._verified.clear()
    assert instance.deliver(verify_code=send_code(emulator)).json["status"] == "verified"
    assert [action[:6] for action, _ in calls(emulator)] == ["Create", "Delete", "Create", "Delete"]


def test_what_others_verified_stays_on_the_list(emulator: Emulator) -> None:
    emulator.domain.perform("CreateIntlPhoneEmail", {"Type": 1, "Code": PHONE, "VerifyCode": CODE})
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    assert instance.deliver().json["code"] == "already-verified"
    assert listed(emulator) == [PHONE]


def test_a_removal_waits_for_its_slot_for_a_second_at_most(emulator: Emulator) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release", DOMAIN_API_RATE=0.5)
    deadline = Deadline(SetClock(), 5)
    for _ in range(3):
        instance.app.extensions["ledger"].reserve("DeleteIntlPhoneEmail", max_wait=100, deadline=deadline)
    began = time.monotonic()
    assert instance.deliver().json["status"] == "verified"
    assert time.monotonic() - began < 1.5
    assert listed(emulator) == [PHONE]


def test_a_ledger_that_fails_during_the_removal(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release", LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db")
    ledger = instance.app.extensions["ledger"]
    reserve = ledger.reserve

    def lose_the_ledger(action: str, *, max_wait: float, deadline: Deadline) -> Any:
        ledger.close()
        (tmp_path / "ledger.db").rename(tmp_path / "elsewhere")
        (tmp_path / "ledger.db").mkdir()
        try:
            return reserve(action, max_wait=max_wait, deadline=deadline)
        finally:
            (tmp_path / "ledger.db").rmdir()
            (tmp_path / "elsewhere").rename(tmp_path / "ledger.db")

    monkeypatch.setattr(ledger, "reserve", lose_the_ledger)
    assert instance.deliver().json["status"] == "verified"
    assert "the removal of a contact is left for its next call" in caplog.text
    assert listed(emulator) == [PHONE]
