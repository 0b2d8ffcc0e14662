"""An answer of the API that was lost: what became of the call is found out, and never guessed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timezone
from pathlib import Path
from typing import Any

import pytest
from bridge.clock import Deadline
from bridge.ledger import Claim, Interval, LedgerUnavailable
from bridge.resolution import is_ours
from builders import (
    ABORT,
    CODE,
    PHONE,
    PROBLEM,
    Answer,
    Bridge,
    SetClock,
    body,
    bridge,
    check_problem,
    problem,
    signed,
)  # fmt: skip

from emulator.faults import Fault
from emulator.server import Emulator

CREATE = "CreateIntlPhoneEmail"
DESCRIBE = "DescribeIntlPhoneEmailList"
WRONG = "000000"


@dataclass
class World:
    """An account, a bridge, and one clock for both."""

    emulator: Emulator
    clock: SetClock
    ledger: str
    bridge: Bridge

    def wait(self, seconds: float) -> None:
        self.clock.wall += seconds

    def lose(self, fault: str = "close", action: str = CREATE) -> None:
        """Lose the answer to the next call; by default it has been processed."""
        self.emulator.faults.arm(Fault(fault, action))

    def deliver(self, delivery_id: str, code: str = CODE, contact: str = PHONE, **members: Any) -> Answer:
        data = body(contact=contact, verify_code=code, **members)
        return self.bridge.post(data, signed(data, delivery_id=delivery_id, at=self.clock.time()))

    def seen(self) -> str:
        """The calls that the API saw since the last time, each by its first letter and what came of it."""
        of = "".join(
            f" {call.action[0]}:{call.fault or call.result.rpartition('.')[2]}" for call in self.emulator.calls
        ).strip()
        self.emulator.calls.clear()
        return of


@pytest.fixture
def build(emulator: Emulator, tmp_path: Path) -> Callable[..., World]:
    clock = SetClock()
    emulator.domain._now = clock.time
    ledger = f"sqlite:///{tmp_path}/ledger.db"

    def world(**changed: Any) -> World:
        changed = {"LEDGER_URL": ledger, "MAX_WRONG_CODES": 0} | changed
        return World(emulator, clock, ledger, bridge(emulator.url, clock, **changed))

    return world


@pytest.fixture
def world(build: Callable[..., World]) -> World:
    return build()


def describe_with(world: World, answer: Callable[..., dict[str, Any]]) -> None:
    """Let the list be answered by a function of type, limit and offset."""
    world.emulator.domain._describe = answer  # type: ignore[method-assign]


def verified(given: Answer, *, resolved: bool = True) -> bool:
    return given.status == 200 and given.json.get("resolved") == (resolved or None)


# -- what is found out --


@pytest.mark.parametrize("fault", ["close", "reset", "truncate"])
def test_a_verification_whose_answer_was_lost_is_found(world: World, fault: str) -> None:
    world.lose(fault)
    assert world.deliver("a").status in (502, 504)
    world.wait(60)
    given = world.deliver("a")
    assert given.status == 200
    assert given.json == {"status": "verified", "type": "phone", "contact": "187****4433", "resolved": True}
    assert world.seen() == f"C:{fault} D:OK"
    again = world.deliver("a")
    assert (again.status, again.body) == (given.status, given.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert world.seen() == ""


def test_a_call_that_was_not_processed_is_made_once_more(world: World) -> None:
    world.lose("unprocessed")
    assert world.deliver("a").json["code"] == "outcome-unknown"
    given = world.deliver("a")
    assert verified(given)
    assert given.json["request_id"] == world.emulator.calls[-1].request_id
    assert world.seen() == "C:unprocessed D:OK C:OK"


def test_whoever_clicks_again_gets_the_same(world: World) -> None:
    """The person's second click is another delivery of the same contact and code."""
    world.lose()
    world.deliver("a")
    assert verified(world.deliver("b"))
    assert world.seen() == "C:close D:OK"
    assert verified(world.deliver("a"))
    assert world.seen() == ""


def test_whoever_clicks_again_while_the_list_cannot_be_had(world: World) -> None:
    """It was told that the outcome is unknown, and so it is remembered."""
    world.lose("http-502")
    world.deliver("a")
    world.lose("close", DESCRIBE)
    assert world.deliver("b").json["code"] == "outcome-unknown"
    for name in "ab":
        asked = world.bridge.client.get(f"/deliveries/{name}", headers=signed(b"", at=world.clock.time()))
        assert asked.status_code == 504
    assert verified(world.deliver("b"))
    assert verified(world.deliver("a"))


def test_a_wrong_code_whose_answer_was_lost_stays_unresolved(world: World) -> None:
    world.lose()
    world.deliver("a", WRONG)
    given = world.deliver("a", WRONG)
    request_id = world.emulator.calls[2].request_id
    check_problem(given, problem("outcome-unresolved", 409, retryable=False, request_id=request_id), ABORT)
    assert world.seen() == "C:close D:OK C:VerifyCodeErr D:OK"
    assert world.deliver("a", WRONG).body == given.body
    assert world.seen() == ""
    assert world.deliver("b").json["status"] == "verified"


def test_two_lost_answers_are_the_end_of_it(world: World) -> None:
    for fault in ("unprocessed", "unprocessed"):
        world.lose(fault)
        assert world.deliver("a").json["code"] == "outcome-unknown"
    given = world.deliver("a")
    check_problem(given, problem("outcome-unresolved", 409, retryable=False), ABORT)
    assert world.seen() == "C:unprocessed D:OK C:unprocessed D:OK"


def test_the_second_call_verified_and_its_answer_was_lost(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a")
    world.wait(600)
    world.lose("close")
    assert world.deliver("a").json["code"] == "outcome-unknown"
    world.wait(10)
    assert verified(world.deliver("a"))
    assert world.seen() == "C:unprocessed D:OK C:close D:OK"


def test_a_call_that_was_processed_late_is_found_after_the_second_one(world: World) -> None:
    """The list did not have it yet; then the second call says that it is there."""
    world.lose("unprocessed")
    world.deliver("a")
    slow = {"done": False}
    perform = world.emulator.domain.perform

    def late(action: str, parameters: Any) -> dict[str, Any]:
        if action == CREATE and not slow["done"]:
            slow["done"] = True
            perform(CREATE, parameters)
        return perform(action, parameters)

    world.emulator.domain.perform = late  # type: ignore[method-assign]  # the first call's work, done late
    assert verified(world.deliver("a"))
    assert world.seen() == "C:unprocessed D:OK C:VerifiedPhoneEmailErr D:OK"
    assert "request_id" not in world.deliver("a").json


@pytest.mark.parametrize("fault", ["InternalError", "http-502", "RequestLimitExceeded", "empty-response", "close"])
def test_while_the_list_cannot_be_had_it_is_still_unknown(world: World, fault: str) -> None:
    world.lose()
    world.deliver("a")
    world.lose(fault, DESCRIBE)
    check_problem(world.deliver("a"), problem("outcome-unknown", 504, retryable=True), PROBLEM)
    assert world.seen() == f"C:close D:{fault}"
    assert verified(world.deliver("a"))


def test_the_second_call_or_the_list_finds_no_slot(build: Callable[..., World]) -> None:
    world = build(DOMAIN_API_RATE=0.1, REQUEST_BUDGET=4)
    world.lose("unprocessed")
    world.deliver("a")
    assert world.deliver("a").json["code"] == "outcome-unknown"
    assert world.deliver("a").json["code"] == "outcome-unknown"
    assert world.seen() == "C:unprocessed D:OK"
    world.wait(20)
    assert verified(world.deliver("a"))


@pytest.mark.parametrize(("verb", "code"), [("reserve", "outcome-unknown"), ("attempt", "ledger-unavailable")])
def test_the_ledger_fails_in_between(world: World, monkeypatch: pytest.MonkeyPatch, verb: str, code: str) -> None:
    world.lose("unprocessed")
    world.deliver("a")

    def fail(*_: Any, **__: Any) -> Any:
        raise LedgerUnavailable("for a moment")

    with monkeypatch.context() as failing:
        failing.setattr(world.bridge.app.extensions["ledger"], verb, fail)
        assert world.deliver("a").json["code"] == code
    assert verified(world.deliver("a"))
    assert world.seen().split()[-1] == "C:OK"


def test_a_ledger_that_is_slow_does_not_shift_the_call(world: World) -> None:
    """Its time would lie behind the row that it made."""
    world.deliver("warm", contact="10086")
    world.seen()
    world.emulator.delay = 0.3
    world.lose()
    thread = threading.Thread(target=world.deliver, args=("a",))
    thread.start()
    while not world.emulator.calls:
        time.sleep(0.01)
    file = world.bridge.app.extensions["ledger"]._file
    file.write(lambda _: time.sleep(3.0), Deadline(world.clock, 5))
    thread.join()
    world.emulator.delay = 0.0
    assert verified(world.deliver("a"))


@pytest.mark.parametrize("code", ["verified", "outcome-unknown"])
def test_who_was_taken_over_answers_what_the_ledger_says(build: Callable[..., World], code: str) -> None:
    """An instance whose clock is far ahead believes that the lease is over, and finds the outcome out."""
    slow = build()
    hasty = build()
    hasty.clock = SetClock()
    hasty.clock.wall = 20.0
    hasty.bridge = bridge(slow.emulator.url, hasty.clock, LEDGER_URL=slow.ledger)
    slow.emulator.delay = 0.6 if code == "verified" else 1.0
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(slow.deliver("a")))
    thread.start()
    while not slow.emulator.calls:
        time.sleep(0.01)
    if code == "verified":
        slow.emulator.delay = 0.0
    taken_over = hasty.deliver("a")
    thread.join()
    assert verified(taken_over)
    assert (answers[0].json.get("code") or answers[0].json["status"]) == code
    if code == "verified":
        assert answers[0].body == taken_over.body
    assert slow.deliver("a").body == taken_over.body
    assert slow.seen() == "C:OK D:OK"


def test_the_list_fails_after_the_second_call(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a", WRONG)
    world.emulator.faults.arm(Fault("InternalError.VerifyCodeErr", CREATE))
    describe = world.emulator.domain._describe
    asked = []

    def once(*of: Any) -> dict[str, Any]:
        asked.append(of)
        if len(asked) == 2:
            return {"PhoneEmailList": None, "TotalCount": 0}
        return describe(*of)

    describe_with(world, once)
    assert world.deliver("a", WRONG).json["code"] == "outcome-unknown"
    assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"
    assert world.seen() == "C:unprocessed D:OK C:InternalError.VerifyCodeErr D:OK D:OK"


def test_without_the_list_one_more_call_is_all(build: Callable[..., World]) -> None:
    world = build(RESOLVE_UNKNOWN="never")
    world.lose("unprocessed")
    world.deliver("a")
    assert verified(world.deliver("a"))
    world.lose("close")
    world.deliver("b", WRONG, contact="10086")
    assert world.deliver("b", WRONG, contact="10086").json["code"] == "outcome-unresolved"
    assert world.seen() == "C:unprocessed C:OK C:close C:VerifyCodeErr"


def test_what_the_second_call_says_of_the_contact_holds(world: World) -> None:
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
def test_a_second_call_that_was_not_processed_decides_nothing(world: World, fault: str, code: str) -> None:
    world.lose("close")
    world.deliver("a")
    world.emulator.domain._verified.clear()
    world.lose(fault)
    given = world.deliver("a")
    assert given.json["code"] == code
    assert "retry-after" not in given.headers
    assert world.deliver("a", WRONG).json["code"] == "idempotency-key-reused"
    assert world.deliver("a").json["code"] == "outcome-unresolved"


# -- what must never pass: the answer to a wrong code was lost, and somebody else's verification is on the list --


def stranger_verifies(world: World) -> None:
    """The contact's owner, through another system of the same account."""
    world.emulator.domain.perform(CREATE, {"Type": 1, "Code": PHONE, "VerifyCode": CODE})


@pytest.mark.parametrize("before", [3 * 86_400.0, 3600.0, 60.0, 3.0])
@pytest.mark.parametrize("through", ["another system", "this bridge"])
def test_the_contact_was_verified_before(world: World, before: float, through: str) -> None:
    if through == "this bridge":
        assert world.deliver("b").status == 200
    else:
        stranger_verifies(world)
    world.wait(before)
    world.lose()
    world.deliver("a", WRONG)
    for later in (0, 1, 30, 4000):
        world.wait(later)
        given = world.deliver("a", WRONG)
        assert given.json["code"] == "already-verified"
        assert world.deliver(f"c{later}", WRONG).json["code"] == "already-verified"


@pytest.mark.parametrize("fault", ["close", "unprocessed"])
def test_the_right_code_verifies_a_second_later(world: World, fault: str) -> None:
    world.lose(fault)
    world.deliver("a", WRONG)
    world.wait(1)
    assert world.deliver("b").status == 200
    for later in (0, 5, 60):
        world.wait(later)
        assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"


def test_the_right_code_verified_two_seconds_earlier(world: World) -> None:
    """Its own wrong code's answer is lost; the list's row is as near as can be."""
    assert world.deliver("b").status == 200
    world.wait(2)
    world.lose()
    world.deliver("a", WRONG)
    world.wait(1)
    assert world.deliver("a", WRONG).json["code"] in ("already-verified", "outcome-unresolved")


@pytest.mark.parametrize("gap", [-2.0, -1.0, 0.0, 1.0, 14.0])
def test_another_spelling_with_the_right_code_is_a_rival(world: World, gap: float) -> None:
    """The list names the spelling that the wrong code was given for, too."""
    first, second = ("+8618766554433", PHONE) if gap < 0 else (PHONE, "+8618766554433")
    world.emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": "+8618766554433"})
    right = world.emulator.domain.sent_codes()[0].code
    for contact in (first, second):
        if contact == PHONE:
            world.lose("unprocessed")
            world.deliver("a", WRONG)
            stranger_verifies(world)
        else:
            assert world.deliver("b", right, contact="+8618766554433").status == 200
        world.wait(abs(gap))
    assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"


@pytest.mark.parametrize("hours", [7.9, 8.0, 8.1])
def test_the_list_is_in_utc(world: World, hours: float) -> None:
    """Read as UTC+8, a verification eight hours later looks as if it were the lost one."""
    world.emulator.domain.list_zone = timezone.utc
    world.lose()
    world.deliver("a", WRONG)
    world.wait(hours * 3600)
    stranger_verifies(world)
    assert world.deliver("a", WRONG).status == 409


def test_the_list_is_in_utc_and_it_was_ours(world: World) -> None:
    """It cannot be told, and so it does not pass."""
    world.emulator.domain.list_zone = timezone.utc
    world.lose()
    world.deliver("a")
    assert world.deliver("a").json["code"] == "already-verified"


def test_a_rival_that_was_called_again_an_hour_later(build: Callable[..., World]) -> None:
    """Without ids, its record is forgotten after two minutes; the times of its calls are not."""
    world = build(WEBHOOK_AUTH="none")

    def post(code: str, contact: str = PHONE) -> Answer:
        return world.bridge.post(body(contact=contact, verify_code=code), {})

    world.lose("unprocessed")
    assert post(CODE).json["code"] == "outcome-unknown"
    world.wait(3940)
    world.lose()
    assert post(WRONG).json["code"] == "outcome-unknown"
    world.wait(3)
    assert verified(post(CODE))
    world.wait(130)
    for number in range(4):
        post(WRONG, f"10086{number}")
    assert post(WRONG).json["code"] == "outcome-unresolved"


def test_the_list_is_masked(world: World) -> None:
    """A row that may be anybody's proves nothing; whether it was verified before or by the lost call."""
    world.emulator.domain.list_masked = True
    world.lose()
    world.deliver("a", WRONG)
    stranger_verifies(world)
    assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"
    assert world.seen() == "C:close D:OK C:VerifiedPhoneEmailErr D:OK"


def test_after_an_hour_the_list_proves_nothing(world: World) -> None:
    world.lose()
    world.deliver("a")
    world.wait(3601)
    assert world.deliver("a").json["code"] == "outcome-unresolved"


@pytest.mark.parametrize("seconds", [-3.0, 20.0])
def test_a_row_at_another_time_is_not_ours(world: World, seconds: float) -> None:
    world.lose()
    world.deliver("a")
    contact = (1, PHONE)
    world.emulator.domain._verified[contact] += seconds
    world.wait(30)
    expected = "already-verified" if seconds < 0 else "outcome-unresolved"
    assert world.deliver("a").json["code"] == expected


@pytest.mark.parametrize("created", ["2026-11-23T10:00:00", "", "soon", "0000-00-00 00:00:00"])
def test_a_time_of_another_form_proves_nothing(world: World, created: str) -> None:
    world.lose()
    world.deliver("a")
    row = {"Code": PHONE, "Type": 1, "CreatedOn": created}
    describe_with(world, lambda *_: {"PhoneEmailList": [row], "TotalCount": 1})
    assert world.deliver("a").json["code"] == "outcome-unresolved"


def test_two_rows_of_which_one_is_older_prove_nothing(world: World) -> None:
    world.lose()
    world.deliver("a")
    (row,) = world.emulator.domain._describe(1, 200, 0)["PhoneEmailList"]
    rows = [row, row | {"CreatedOn": "2020-01-01 00:00:00"}]
    describe_with(world, lambda *_: {"PhoneEmailList": rows, "TotalCount": 2})
    assert world.deliver("a").json["code"] == "outcome-unresolved"


def test_unresolved_outcomes_count_as_wrong_codes(build: Callable[..., World]) -> None:
    world = build(MAX_WRONG_CODES=2)
    for number in range(2):
        for _ in range(2):
            if not _:
                world.lose()
            code = world.deliver(f"m{number}", f"{number:06}").json["code"]
        assert code == "outcome-unresolved"
    assert world.deliver("next").json["code"] == "attempts-exhausted"


def test_the_lists_quota_is_minded_too(world: World) -> None:
    world.lose()
    world.deliver("a")
    world.lose("RequestLimitExceeded", DESCRIBE)
    world.deliver("a")
    assert factor(world.bridge, DESCRIBE) == 0.7


def factor(of: Bridge, action: str) -> float:
    """What the rate of an action is multiplied by."""
    query = "SELECT factor FROM paces WHERE action = ?"
    ledger = of.app.extensions["ledger"]
    (found,) = ledger._file.read(lambda db: db.execute(query, (action,)).fetchone(), Deadline(SetClock(), 5))
    return float(found)


@pytest.mark.parametrize(
    "answered",
    [
        {"PhoneEmailList": [], "TotalCount": "0"},
        {"PhoneEmailList": [], "TotalCount": True},
        {"PhoneEmailList": {}, "TotalCount": 0},
        {"TotalCount": 0},
        {"PhoneEmailList": ["x"], "TotalCount": 1},
        {"PhoneEmailList": [{"Code": 5}], "TotalCount": 1},
    ],
)
def test_a_list_that_is_none_decides_nothing(world: World, answered: dict[str, Any]) -> None:
    world.lose()
    world.deliver("a")
    describe_with(world, lambda *_: answered)
    assert world.deliver("a").json["code"] == "outcome-unknown"


# -- long lists --


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
@pytest.mark.parametrize("offset", ["rows", "pages", "pages from one"])
@pytest.mark.parametrize("others", [150, 430, 600])
def test_a_long_list_is_read_where_the_newest_are(world: World, order: str, offset: str, others: int) -> None:
    """The reference says neither how the rows are ordered nor what Offset counts."""
    world.lose()
    world.deliver("a")
    now = world.clock.time()
    for number in range(others):
        world.emulator.domain._verified[(1, f"{number:09}")] = now - 10_000 + number
    describe = world.emulator.domain._describe

    def page(kind: int, limit: int, start: int) -> dict[str, Any]:
        rows = describe(kind, 10_000, 0)["PhoneEmailList"]
        if order == "oldest first":
            rows.reverse()
        if offset != "rows":
            start = max(0, start - (offset == "pages from one")) * limit
        return {"PhoneEmailList": rows[start : start + limit], "TotalCount": len(rows)}

    describe_with(world, page)
    assert verified(world.deliver("a"))
    assert 1 <= world.seen().count("D:OK") <= 4


def test_a_list_whose_pages_are_shorter_than_asked_for(world: World) -> None:
    world.lose()
    world.deliver("a")
    row = {"Code": PHONE, "Type": 1, "CreatedOn": "2020-01-01 00:00:00"}
    asked: list[int] = []

    def page(_kind: int, _limit: int, start: int) -> dict[str, Any]:
        asked.append(start)
        return {"PhoneEmailList": [{**row, "Code": f"{start}{n}"} for n in range(20)], "TotalCount": 105}

    describe_with(world, page)
    world.deliver("a")
    assert asked[:4] == [0, 5, 6, 85]


def test_a_list_that_says_it_is_long_and_is_empty(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a")
    describe_with(world, lambda *_: {"PhoneEmailList": [], "TotalCount": 1})
    assert verified(world.deliver("a"))


# -- the judgement alone --


CALL = Interval(1000.0, 1008.0)


@pytest.mark.parametrize(
    ("created", "now", "rival", "ours"),
    [
        (1000.0, 1010.0, None, True),
        (998.0, 1010.0, None, True),
        (997.9, 1010.0, None, False),
        (1013.0, 1014.0, None, True),
        (1013.1, 1014.0, None, False),
        (1000.0, 4599.9, None, True),
        (1000.0, 4600.0, None, False),
        (1000.0, 1010.0, Interval(980.0, 984.9), True),
        (1000.0, 1010.0, Interval(980.0, 985.0), False),
        (1000.0, 1010.0, Interval(970.0, 1100.0), False),
        (1000.0, 1010.0, Interval(1003.0, 1004.0), False),
        (1000.0, 1030.0, Interval(1023.0, 1024.0), False),
        (1000.0, 1030.0, Interval(1023.1, 1024.0), True),
    ],
)
def test_whose_a_row_is(created: float, now: float, rival: Interval | None, ours: bool) -> None:
    claim = Claim("owned", now, calls=(CALL,), rivals=(rival,) if rival else (), unknown=True)
    assert is_ours(created, claim) is ours
    two = Claim("owned", now, calls=(Interval(10.0, 20.0), CALL), rivals=claim.rivals, unknown=True)
    assert is_ours(created, two) is ours
    assert not is_ours(created, Claim("owned", now, unknown=True))
