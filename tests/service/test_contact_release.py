"""Test that AFTER_VERIFIED=release removes a verified contact from the list, so that it can be verified again."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import LedgerUnavailable, Slot

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import bridge, calls, wait_for_calls
from tests.support.bridge.responses import ABORT, PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed


def listed(emulator: Emulator) -> list[str]:
    return [code for _, code in emulator.domain.verified()]


def send_code(emulator: Emulator, contact: str = PHONE) -> str:
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": contact})
    return emulator.domain.sent_codes()[0].code


def test_verified_contact_when_released_can_be_verified_again(emulator: Emulator) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    assert instance.deliver().json["code"] == "verified"
    assert listed(emulator) == []
    assert instance.deliver(verify_code=send_code(emulator)).json["code"] == "verified"
    assert listed(emulator) == []
    spent = instance.deliver()
    check_problem(spent, problem("already-verified", 409, retryable=False), ABORT)
    assert [action[:6] for action, _ in calls(emulator)] == ["Create", "Delete"] * 2


@pytest.mark.parametrize("fault", ["unprocessed", "FailedOperation", "RequestLimitExceeded", "hang"])
def test_failed_release_is_retried_before_the_next_call(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault, "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, StillClock(), AFTER_VERIFIED="release")
    assert instance.deliver().json["code"] == "verified"
    if fault == "hang":
        emulator.domain.accept((1, PHONE))
    assert listed(emulator) == [PHONE]
    assert instance.deliver(verify_code=send_code(emulator)).json["code"] == "verified"
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
def test_contact_with_a_pending_release_is_not_verified(emulator: Emulator, fault: str, code: str) -> None:
    emulator.faults.arm(Fault("FailedOperation", "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    instance.deliver()
    renewed = body(verify_code=send_code(emulator))
    emulator.faults.arm(Fault(fault, "DeleteIntlPhoneEmail"))
    response = instance.post(renewed, signed(renewed, delivery_id="again"))
    assert (response.json["code"], response.json["retryable"]) == (code, True)
    assert instance.post(renewed, signed(renewed, delivery_id="again")).json["code"] == "verified"
    assert [action[:6] for action, _ in calls(emulator)] == [
        "Create", "Delete", "Delete", "Delete", "Create", "Delete",
    ]  # fmt: skip


def test_contact_during_its_release_is_locked(emulator: Emulator, tmp_path: Path) -> None:
    ledger: dict[str, Any] = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "AFTER_VERIFIED": "release"}
    emulator.faults.arm(Fault("hang", "DeleteIntlPhoneEmail"))
    clock = StillClock()
    instance, hasty = bridge(emulator.url, clock, **ledger), bridge(emulator.url, clock, **ledger, REQUEST_BUDGET=2)
    thread = threading.Thread(target=instance.deliver)
    thread.start()
    wait_for_calls(emulator, 2)
    assert hasty.deliver(verify_code="000000").json["code"] == "in-progress"
    thread.join()
    emulator.close_connections()


def test_throttled_release_slows_releases_down(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    instance.deliver()
    query = "SELECT factor FROM paces WHERE action = 'DeleteIntlPhoneEmail'"
    ledger = instance.app.extensions["ledger"]
    found = ledger.database.read(lambda db: db.execute(query).fetchone(), Deadline(SetClock(), 5))
    assert tuple(found) == (0.7,)


def test_contact_without_a_settlement_is_not_released(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    instance = bridge(emulator.url, StillClock(), AFTER_VERIFIED="release", REQUEST_BUDGET=4)

    def fail(*_: Any, **__: Any) -> Any:
        raise LedgerUnavailable("for long")

    monkeypatch.setattr(instance.app.extensions["ledger"], "settle", fail)
    assert instance.deliver().json["code"] == "verified"
    assert [action for action, _ in calls(emulator)] == ["CreateIntlPhoneEmail"]


def test_call_after_a_retried_release_reserves_another_slot(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.faults.arm(Fault("FailedOperation", "DeleteIntlPhoneEmail"))
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    instance.deliver()
    ledger = instance.app.extensions["ledger"]
    reserve = ledger.reserve_slot

    def no_slot(action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        if action == "CreateIntlPhoneEmail":
            return Slot(7.0, fits=False)
        slot: Slot = reserve(action, max_wait=max_wait, deadline=deadline)
        return slot

    renewed = body(verify_code=send_code(emulator))
    with monkeypatch.context() as full:
        full.setattr(ledger, "reserve_slot", no_slot)
        response = instance.post(renewed, signed(renewed, delivery_id="b"))
        check_problem(response, problem("upstream-throttled", 503, retryable=True), PROBLEM | {"retry-after": "7"})
    assert instance.post(renewed, signed(renewed, delivery_id="b")).json["code"] == "verified"


def test_release_of_an_unlisted_contact_succeeds(emulator: Emulator) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    emulator.faults.arm(Fault("ResourceNotFound", "DeleteIntlPhoneEmail"))
    assert instance.deliver().json["code"] == "verified"
    emulator.domain.perform("DeleteIntlPhoneEmail", {"Type": 1, "Code": PHONE})
    assert instance.deliver(verify_code=send_code(emulator)).json["code"] == "verified"
    assert [action[:6] for action, _ in calls(emulator)] == ["Create", "Delete", "Create", "Delete"]


def test_contact_verified_by_others_stays_listed(emulator: Emulator) -> None:
    emulator.domain.perform("CreateIntlPhoneEmail", {"Type": 1, "Code": PHONE, "VerifyCode": CODE})
    instance = bridge(emulator.url, AFTER_VERIFIED="release")
    assert instance.deliver().json["code"] == "already-verified"
    assert listed(emulator) == [PHONE]


def test_release_waits_a_second_at_most_for_its_slot(emulator: Emulator) -> None:
    clock = StillClock()
    instance = bridge(emulator.url, clock, AFTER_VERIFIED="release", DOMAIN_API_RATE=0.5)
    deadline = Deadline(SetClock(), 5)
    for _ in range(3):
        instance.app.extensions["ledger"].reserve_slot("DeleteIntlPhoneEmail", max_wait=100, deadline=deadline)
    assert instance.deliver().json["code"] == "verified"
    assert clock.run <= 1
    assert listed(emulator) == [PHONE]


def test_ledger_failure_during_a_release_leaves_it_pending(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    instance = bridge(emulator.url, AFTER_VERIFIED="release", LEDGER_URL=f"sqlite:///{tmp_path}/ledger.db")
    ledger = instance.app.extensions["ledger"]
    reserve = ledger.reserve_slot

    def lose_the_ledger(action: str, *, max_wait: float, deadline: Deadline) -> Any:
        ledger.close()
        (tmp_path / "ledger.db").rename(tmp_path / "elsewhere")
        (tmp_path / "ledger.db").mkdir()
        try:
            return reserve(action, max_wait=max_wait, deadline=deadline)
        finally:
            (tmp_path / "ledger.db").rmdir()
            (tmp_path / "elsewhere").rename(tmp_path / "ledger.db")

    monkeypatch.setattr(ledger, "reserve_slot", lose_the_ledger)
    assert instance.deliver().json["code"] == "verified"
    assert "contact removal postponed to its next call" in caplog.text
    assert listed(emulator) == [PHONE]
