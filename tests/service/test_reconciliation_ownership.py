"""Test that a wrong code is never verified if its reply was lost and the list shows another verification."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from signup_bridge.ledger import CallWindow, UnknownOutcome
from signup_bridge.service.reconciliation import is_own_call

from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import CODE, PHONE, body
from tests.support.scenarios.lost_replies import CREATE, WRONG, World, describe_with, listed_rows, verified


def stranger_verifies(world: World) -> None:
    """Verify the contact as its owner does through another system of the same account."""
    world.emulator.domain.perform(CREATE, {"Type": 1, "Code": PHONE, "VerifyCode": CODE})


@pytest.mark.parametrize("before", [3 * 86_400.0, 3600.0, 60.0, 3.0])
@pytest.mark.parametrize("through", ["another system", "this bridge"])
def test_row_before_the_call_is_already_verified(world: World, before: float, through: str) -> None:
    if through == "this bridge":
        assert world.deliver("b").status == 200
    else:
        stranger_verifies(world)
    world.wait(before)
    world.lose()
    world.deliver("a", WRONG)
    for later in (0, 1, 30, 4000):
        world.wait(later)
        response = world.deliver("a", WRONG)
        assert response.json["code"] == "already-verified"
        assert world.deliver(f"c{later}", WRONG).json["code"] == "already-verified"


@pytest.mark.parametrize("fault", ["close", "unprocessed"])
def test_competing_code_a_second_later_is_unresolved(world: World, fault: str) -> None:
    world.lose(fault)
    world.deliver("a", WRONG)
    world.wait(1)
    assert world.deliver("b").status == 200
    for later in (0, 5, 60):
        world.wait(later)
        assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"


def test_competing_code_two_seconds_earlier_is_not_matched(world: World) -> None:
    """The reply to the wrong code is lost, and the other verification's row is as close as possible."""
    assert world.deliver("b").status == 200
    world.wait(2)
    world.lose()
    world.deliver("a", WRONG)
    world.wait(1)
    assert world.deliver("a", WRONG).json["code"] in ("already-verified", "outcome-unresolved")


@pytest.mark.parametrize("gap", [-2.0, -1.0, 0.0, 1.0, 14.0])
def test_competing_code_with_another_spelling_is_unresolved(world: World, gap: float) -> None:
    """The list has the contact as the wrong code's delivery spells it, too."""
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
def test_list_in_utc_proves_nothing(world: World, hours: float) -> None:
    """Parsed as UTC+8, a verification eight hours later has the time of the lost call."""
    world.emulator.domain.change({"list_zone": 0})
    world.lose()
    world.deliver("a", WRONG)
    world.wait(hours * 3600)
    stranger_verifies(world)
    assert world.deliver("a", WRONG).status == 409


def test_list_in_utc_with_an_own_row_proves_nothing(world: World) -> None:
    """The bridge cannot determine which call created the row, so that the delivery is not verified."""
    world.emulator.domain.change({"list_zone": 0})
    world.lose()
    world.deliver("a")
    assert world.deliver("a").json["code"] == "already-verified"


def test_competing_call_repeated_after_an_hour_counts(new_world: Callable[..., World]) -> None:
    """Without ids, its record expires after two minutes, but the times of its calls are kept."""
    world = new_world(WEBHOOK_AUTH="none")

    def post(code: str, contact: str = PHONE) -> HttpResponse:
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


def test_masked_list_proves_nothing(world: World) -> None:
    """A masked row can belong to another contact. It does not show when the contact was verified."""
    world.emulator.domain.change({"list_masked": True})
    world.lose()
    world.deliver("a", WRONG)
    stranger_verifies(world)
    assert world.deliver("a", WRONG).json["code"] == "outcome-unresolved"
    assert world.seen() == "C:close D:OK C:VerifiedPhoneEmailErr D:OK"


def test_list_after_an_hour_proves_nothing(world: World) -> None:
    world.lose()
    world.deliver("a")
    world.wait(3601)
    assert world.deliver("a").json["code"] == "outcome-unresolved"


@pytest.mark.parametrize("seconds", [-3.0, 20.0])
def test_row_at_another_time_is_not_matched(world: World, seconds: float) -> None:
    world.lose()
    world.deliver("a")
    contact, domain = (1, PHONE), world.emulator.domain
    domain.accept(contact, at=domain.verified()[contact] + seconds)
    world.wait(30)
    expected = "already-verified" if seconds < 0 else "outcome-unresolved"
    assert world.deliver("a").json["code"] == expected


@pytest.mark.parametrize("created", ["2026-11-23T10:00:00", "", "soon", "0000-00-00 00:00:00"])
def test_row_with_another_time_format_proves_nothing(world: World, created: str) -> None:
    world.lose()
    world.deliver("a")
    row = {"Code": PHONE, "Type": 1, "CreatedOn": created}
    describe_with(world, lambda *_: {"PhoneEmailList": [row], "TotalCount": 1})
    assert world.deliver("a").json["code"] == "outcome-unresolved"


def test_two_rows_with_an_older_one_prove_nothing(world: World) -> None:
    world.lose()
    world.deliver("a")
    (row,) = listed_rows(world)
    rows = [row, row | {"CreatedOn": "2020-01-01 00:00:00"}]
    describe_with(world, lambda *_: {"PhoneEmailList": rows, "TotalCount": 2})
    assert world.deliver("a").json["code"] == "outcome-unresolved"


def test_unresolved_outcome_counts_as_wrong_code(new_world: Callable[..., World]) -> None:
    world = new_world(MAX_WRONG_CODES=2)
    for number in range(2):
        for _ in range(2):
            if not _:
                world.lose()
            code = world.deliver(f"m{number}", f"{number:06}").json["code"]
        assert code == "outcome-unresolved"
    assert world.deliver("next").json["code"] == "attempts-exhausted"


# -- is_own_call --


CALL = CallWindow(1000.0, 1008.0)


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
        (1000.0, 1010.0, CallWindow(980.0, 984.9), True),
        (1000.0, 1010.0, CallWindow(980.0, 985.0), False),
        (1000.0, 1010.0, CallWindow(970.0, 1100.0), False),
        (1000.0, 1010.0, CallWindow(1003.0, 1004.0), False),
        (1000.0, 1030.0, CallWindow(1023.0, 1024.0), False),
        (1000.0, 1030.0, CallWindow(1023.1, 1024.0), True),
    ],
)
def test_own_call_matches_only_its_window(created: float, now: float, rival: CallWindow | None, ours: bool) -> None:
    unknown = UnknownOutcome(now, (CALL,), (rival,) if rival else ())
    assert is_own_call(created, unknown) is ours
    assert is_own_call(created, unknown._replace(calls=(CallWindow(10.0, 20.0), CALL))) is ours
    assert not is_own_call(created, UnknownOutcome(now))
    assert not is_own_call(created, unknown._replace(has_more_calls=True))
