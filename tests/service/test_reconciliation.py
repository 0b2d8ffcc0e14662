"""Test lost replies of the API: the bridge looks up the outcome of the call and never guesses it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import LedgerUnavailable

from signup_emulator.api.calls import Call
from signup_emulator.api.faults.armed_faults import Fault
from tests.support.bridge.clocks import SetClock
from tests.support.bridge.instances import bridge, replies_held, wait_for_calls
from tests.support.bridge.responses import ABORT, PROBLEM, HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import PHONE, signed
from tests.support.scenarios.lost_replies import CREATE, DESCRIBE, WRONG, World, describe_with, verified


@pytest.mark.parametrize("fault", ["close", "reset", "truncate"])
def test_lost_verification_is_found_in_the_list(world: World, fault: str) -> None:
    world.lose(fault)
    assert world.deliver("a").status in (502, 504)
    world.wait(60)
    response = world.deliver("a")
    assert response.status == 200
    assert response.json == {"code": "verified", "type": "phone", "contact": "187****4433", "resolved": True}
    assert world.seen() == f"C:{fault} D:OK"
    again = world.deliver("a")
    assert (again.status, again.body) == (response.status, response.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert world.seen() == ""


def test_call_that_was_not_processed_is_repeated_once(world: World) -> None:
    world.lose("unprocessed")
    assert world.deliver("a").json["code"] == "outcome-unknown"
    response = world.deliver("a")
    assert verified(response)
    assert response.json["api_request_id"] == world.emulator.calls[-1].request_id
    assert world.seen() == "C:unprocessed D:OK C:OK"


def test_second_delivery_of_a_lost_one_gets_the_same_result(world: World) -> None:
    """The person's second click is another delivery of the same contact and code."""
    world.lose()
    world.deliver("a")
    assert verified(world.deliver("b"))
    assert world.seen() == "C:close D:OK"
    assert verified(world.deliver("a"))
    assert world.seen() == ""


def test_second_delivery_without_the_list_stays_unknown(world: World) -> None:
    """The sender received `outcome-unknown`, and the bridge stored it."""
    world.lose("http-502")
    world.deliver("a")
    world.lose("close", DESCRIBE)
    assert world.deliver("b").json["code"] == "outcome-unknown"
    for name in "ab":
        asked = world.bridge.client.get(f"/deliveries/{name}", headers=signed(b"", at=world.clock.time()))
        assert asked.status_code == 504
    assert verified(world.deliver("b"))
    assert verified(world.deliver("a"))


def test_lost_wrong_code_is_unresolved(world: World) -> None:
    world.lose()
    world.deliver("a", WRONG)
    response = world.deliver("a", WRONG)
    request_id = world.emulator.calls[2].request_id
    check_problem(response, problem("outcome-unresolved", 409, retryable=False, api_request_id=request_id), ABORT)
    assert world.seen() == "C:close D:OK C:VerifyCodeErr D:OK"
    assert world.deliver("a", WRONG).body == response.body
    assert world.seen() == ""
    assert world.deliver("b").json["code"] == "verified"


def test_two_lost_replies_are_unresolved(world: World) -> None:
    for fault in ("unprocessed", "unprocessed"):
        world.lose(fault)
        assert world.deliver("a").json["code"] == "outcome-unknown"
    response = world.deliver("a")
    check_problem(response, problem("outcome-unresolved", 409, retryable=False), ABORT)
    assert world.seen() == "C:unprocessed D:OK C:unprocessed D:OK"


def test_lost_second_call_that_verified_is_found(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a")
    world.wait(600)
    world.lose("close")
    assert world.deliver("a").json["code"] == "outcome-unknown"
    world.wait(10)
    assert verified(world.deliver("a"))
    assert world.seen() == "C:unprocessed D:OK C:close D:OK"


def test_late_call_is_found_after_the_second_one(world: World) -> None:
    """The contact is not on the list yet. The error of the second call shows that it was verified."""
    world.lose("unprocessed")
    world.deliver("a")
    slow = {"done": False}
    perform = world.emulator.domain.perform

    def late(action: str, parameters: Any) -> dict[str, Any]:
        if action == CREATE and not slow["done"]:
            slow["done"] = True
            perform(CREATE, parameters)
        return perform(action, parameters)

    world.emulator.domain.perform = late  # type: ignore[method-assign]  # completes the first call late
    assert verified(world.deliver("a"))
    assert world.seen() == "C:unprocessed D:OK C:VerifiedPhoneEmailErr D:OK"
    assert "api_request_id" not in world.deliver("a").json


@pytest.mark.parametrize("fault", ["InternalError", "http-502", "RequestLimitExceeded", "empty-response", "close"])
def test_outcome_without_the_list_stays_unknown(world: World, fault: str) -> None:
    world.lose()
    world.deliver("a")
    world.lose(fault, DESCRIBE)
    check_problem(world.deliver("a"), problem("outcome-unknown", 504, retryable=True), PROBLEM)
    assert world.seen() == f"C:close D:{fault}"
    assert verified(world.deliver("a"))


def test_reconciliation_without_a_slot_stays_unknown(new_world: Callable[..., World]) -> None:
    world = new_world(DOMAIN_API_RATE=0.1, REQUEST_BUDGET=4)
    world.lose("unprocessed")
    world.deliver("a")
    assert world.deliver("a").json["code"] == "outcome-unknown"
    assert world.deliver("a").json["code"] == "outcome-unknown"
    assert world.seen() == "C:unprocessed D:OK"
    world.wait(20)
    assert verified(world.deliver("a"))


@pytest.mark.parametrize(("verb", "code"), [("reserve_slot", "outcome-unknown"), ("begin_retry", "ledger-unavailable")])
def test_reconciliation_with_a_failing_ledger_is_unavailable(
    world: World, monkeypatch: pytest.MonkeyPatch, verb: str, code: str
) -> None:
    world.lose("unprocessed")
    world.deliver("a")

    def fail(*_: Any, **__: Any) -> Any:
        raise LedgerUnavailable("for a moment")

    with monkeypatch.context() as failing:
        failing.setattr(world.bridge.app.extensions["ledger"], verb, fail)
        assert world.deliver("a").json["code"] == code
    assert verified(world.deliver("a"))
    assert world.seen().split()[-1] == "C:OK"


def test_slow_ledger_does_not_shift_the_call_window(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the window would begin after the row that the call created."""
    world.deliver("warm", contact="10086")
    world.seen()
    world.lose()
    thread = threading.Thread(target=world.deliver, args=("a",))
    ledger = world.bridge.app.extensions["ledger"]
    begun, settling = threading.Event(), threading.Event()
    settle = ledger.settle

    def settle_the_lost_reply(*of: Any, **named: Any) -> Any:
        settling.set()
        return settle(*of, **named)

    def hold(_: object) -> None:
        begun.set()
        settling.wait()
        world.clock.wall += 3.0
        world.clock.run += 3.0

    monkeypatch.setattr(ledger, "settle", settle_the_lost_reply)
    with replies_held(world.emulator):
        thread.start()
        wait_for_calls(world.emulator)
        writing = threading.Thread(target=ledger.database.write, args=(hold, Deadline(world.clock, 60)))
        writing.start()
        begun.wait()
    writing.join()
    thread.join()
    assert verified(world.deliver("a"))


@pytest.mark.parametrize("code", ["verified", "outcome-unknown"])
def test_delivery_taken_over_returns_the_ledgers_result(new_world: Callable[..., World], code: str) -> None:
    """An instance whose clock is far ahead considers the lease expired and reconciles the outcome."""
    slow = new_world()
    hasty = new_world()
    hasty.clock = SetClock()
    hasty.clock.wall = 20.0
    hasty.bridge = bridge(slow.emulator.url, hasty.clock, LEDGER_URL=slow.ledger)
    responses: list[HttpResponse] = []
    thread = threading.Thread(target=lambda: responses.append(slow.deliver("a")))
    asked, found_out = threading.Event(), threading.Event()

    def hold(call: Call) -> None:
        """Delay the slow instance's reply until the hasty one reconciles the outcome, or has reconciled it."""
        if call.action == CREATE:
            (found_out if code == "verified" else asked).wait()
        elif code == "outcome-unknown":
            asked.set()
            thread.join()

    slow.emulator.on_call = hold
    thread.start()
    wait_for_calls(slow.emulator)
    taken_over = hasty.deliver("a")
    found_out.set()
    thread.join()
    assert verified(taken_over)
    assert responses[0].json["code"] == code
    if code == "verified":
        assert responses[0].body == taken_over.body
    assert slow.deliver("a").body == taken_over.body
    assert slow.seen() == "C:OK D:OK"


def test_list_failure_after_the_second_call_stays_unknown(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a", WRONG)
    world.emulator.faults.arm(Fault("InternalError.VerifyCodeErr", CREATE))
    perform = world.emulator.domain.perform
    asked = []

    def once(kind: int, limit: int, offset: int) -> dict[str, Any]:
        asked.append(offset)
        if len(asked) == 2:
            return {"PhoneEmailList": None, "TotalCount": 0}
        return perform(DESCRIBE, {"Type": kind, "Limit": limit, "Offset": offset})

    describe_with(world, once)
    assert world.deliver("a", WRONG).json["code"] == "outcome-unknown"
    assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"
    assert world.seen() == "C:unprocessed D:OK C:InternalError.VerifyCodeErr D:OK D:OK"


def test_reconciliation_without_describe_calls_once_more(new_world: Callable[..., World]) -> None:
    world = new_world(RESOLVE_UNKNOWN="never")
    world.lose("unprocessed")
    world.deliver("a")
    assert verified(world.deliver("a"))
    world.lose("close")
    world.deliver("b", WRONG, contact="10086")
    assert world.deliver("b", WRONG, contact="10086").json["code"] == "outcome-unresolved"
    assert world.seen() == "C:unprocessed C:OK C:close C:VerifyCodeErr"


def test_second_call_with_a_contact_error_is_definitive(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a")
    world.lose("InvalidParameter.TelephoneIsInvalid")
    assert world.deliver("a").json["code"] == "contact-invalid"
    assert world.deliver("a").json["code"] == "contact-invalid"
    assert world.seen() == "C:unprocessed D:OK C:InvalidParameter.TelephoneIsInvalid"


@pytest.mark.parametrize(
    ("fault", "code"),
    [("LimitExceeded.RequestLimit", "outcome-unknown"), ("AuthFailure.MFAFailure", "bridge-misconfigured")],
)
def test_second_call_that_was_not_processed_stays_unknown(world: World, fault: str, code: str) -> None:
    world.lose("close")
    world.deliver("a")
    world.emulator.domain.perform("DeleteIntlPhoneEmail", {"Type": 1, "Code": PHONE})
    world.lose(fault)
    response = world.deliver("a")
    assert response.json["code"] == code
    assert "retry-after" not in response.headers
    assert world.deliver("a", WRONG).json["code"] == "idempotency-key-reused"
    assert world.deliver("a").json["code"] == "outcome-unresolved"
