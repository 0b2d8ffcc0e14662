"""The contract of the ledger, which both engines keep."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bridge.ledger import Claim, Found, Interval, Policy, Record, Slot
from bridge.ledger.keys import Keys
from bridge.payload import ContactType
from ledgers import POLICY, VERIFIED, WRONG, Engine, keys, redis_engine, sqlite_engine

Make = Callable[..., Engine]


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    made: list[Engine] = []

    def engine(**changed: Any) -> Engine:
        policy = replace(POLICY, **changed)
        if request.param == "sqlite":
            made.append(sqlite_engine(tmp_path, policy))
        else:
            made.append(redis_engine(request.getfixturevalue("redis_server"), policy))
        return made[-1]

    yield engine
    for one in made:
        one.ledger.close()


@pytest.fixture
def engine(make: Make) -> Engine:
    return make()


OTHER = keys("msg_2")
"""The same content under another id."""
GUESS = keys("msg_3", code="000000")
"""Another code for the same contact."""


def near(interval: Interval, sent: float, gave_up: float) -> bool:
    return abs(interval.sent - sent) < 0.5 and abs(interval.gave_up - gave_up) < 0.5


# -- claim, settle, replay --


def test_a_new_delivery_is_owned_and_its_end_is_remembered(engine: Engine) -> None:
    claim = engine.claim(token="t")
    assert (claim.kind, claim.wait, claim.unknown, claim.removal, claim.calls) == ("owned", 0.0, False, False, ())
    assert abs(claim.now - engine.clock.time()) < 5
    assert engine.settle("t", Record("already-verified", "r-9", resolved=True, contact_type=1))
    again = engine.claim()
    assert (again.kind, again.record) == ("replay", Record("already-verified", "r-9", True, 1))
    assert engine.look() == Found("settled", keys().content, again.record)


def test_what_was_remembered_is_there_after_a_restart(engine: Engine) -> None:
    engine.end(VERIFIED)
    engine.end(None, keys("msg_9", contact="10086"))
    engine.ledger.close()
    engine.ledger = engine.again()
    assert engine.claim().record == VERIFIED
    assert engine.claim(keys("msg_9", contact="10086")).unknown


def test_a_delivery_under_work_is_in_flight_until_its_lease_ends(engine: Engine) -> None:
    engine.own(lease=10)
    assert engine.claim().kind == "in-flight"
    assert engine.look() == Found("in-flight", keys().content)
    engine.pass_by(9)
    assert engine.claim().kind == "in-flight"
    engine.pass_by(2)
    assert engine.look() == Found("unknown", keys().content)
    claim = engine.claim()
    assert (claim.kind, claim.unknown, len(claim.calls)) == ("owned", True, 1)
    assert near(claim.calls[0], claim.now - 11, claim.now - 1)


def test_another_content_under_the_same_id(engine: Engine) -> None:
    reused = replace(keys(), content=GUESS.content)
    token = engine.own()
    assert engine.claim(reused).kind == "reused"
    engine.settle(token, VERIFIED)
    assert engine.claim(reused).kind == "reused"
    assert engine.claim().kind == "replay"


def test_what_nobody_knows(engine: Engine) -> None:
    assert engine.look() is None
    assert engine.attempt("nobody") is None
    engine.release("nobody")
    engine.ledger.unlock(keys(), "nobody", removed=True, deadline=engine.deadline)
    assert engine.look() is None


@pytest.mark.parametrize("record", [VERIFIED, None])
def test_a_claim_that_was_lost_is_settled_all_the_same(engine: Engine, record: Record | None) -> None:
    """By a failover, or a file that was moved away: the call was made, and must not be made again."""
    assert engine.settle("t", record, sent=2.0, gave_up=1.0)
    claim = engine.claim()
    if record:
        assert (claim.kind, claim.record) == ("replay", record)
    else:
        assert claim.unknown
        assert near(claim.calls[0], claim.now - 2, claim.now - 1)


def test_only_the_token_settles(engine: Engine) -> None:
    token = engine.own()
    assert not engine.settle("another", VERIFIED)
    engine.release("another")
    assert engine.claim().kind == "in-flight"
    assert engine.settle(token, WRONG)
    engine.release(token)
    assert engine.attempt(token) is None
    assert engine.claim().record == WRONG


def test_a_late_settle_makes_its_own_unknown_definitive(engine: Engine) -> None:
    token = engine.own(lease=10)
    engine.pass_by(60)
    assert engine.settle(token, VERIFIED)
    assert engine.claim().record == VERIFIED


def test_a_late_settle_takes_nothing_from_a_new_owner(engine: Engine) -> None:
    late = engine.own(lease=10)
    engine.pass_by(11)
    owner = engine.own()
    assert not engine.settle(late, WRONG)
    engine.release(late)
    assert engine.claim().kind == "in-flight"
    assert engine.settle(owner, VERIFIED)
    assert not engine.settle(late, WRONG)
    assert engine.claim().record == VERIFIED


def test_a_released_delivery_is_new_again(engine: Engine) -> None:
    engine.release(engine.own())
    assert engine.look() is None
    claim = engine.claim()
    assert (claim.kind, claim.unknown) == ("owned", False)


# -- life --


def test_outcomes_are_remembered_for_their_life(make: Make) -> None:
    engine = make(ttl=100)
    engine.end(VERIFIED)
    engine.pass_by(99)
    assert engine.claim().kind == "replay"
    engine.pass_by(2)
    assert engine.look() is None
    claim = engine.claim()
    assert (claim.kind, claim.unknown) == ("owned", False)


def test_under_a_content_key_a_definitive_outcome_lives_two_minutes(engine: Engine) -> None:
    content = keys(None)
    engine.end(WRONG, content)
    engine.pass_by(119)
    assert engine.claim(content).record == WRONG
    engine.pass_by(2)
    engine.end(VERIFIED, content)
    assert engine.claim(content).record == VERIFIED


def test_under_a_content_key_an_unknown_lives_long(engine: Engine) -> None:
    content = keys(None)
    engine.end(None, content)
    engine.pass_by(345_000)
    assert engine.claim(content).unknown


def test_an_unknown_is_forgotten_at_the_end_of_its_life(make: Make) -> None:
    engine = make(ttl=100)
    engine.end(None)
    engine.pass_by(101)
    claim = engine.claim()
    assert (claim.kind, claim.unknown) == ("owned", False)


# -- the contact's lock --


def test_a_contact_is_verified_by_one_delivery_at_a_time(engine: Engine) -> None:
    token = engine.own(lease=10)
    assert engine.claim(GUESS).kind == "busy"
    assert engine.claim(OTHER).kind == "busy"
    assert engine.claim(keys("msg_4", contact="10086")).kind == "owned"
    engine.settle(token, WRONG)
    engine.own(GUESS, lease=10)
    assert engine.claim(OTHER).kind == "busy"
    engine.pass_by(11)
    assert engine.claim(OTHER).kind == "owned"


def test_a_release_frees_the_contact(engine: Engine) -> None:
    engine.release(engine.own())
    engine.own(GUESS)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        (ContactType.PHONE, "18766554433", "+86 187-6655-4433"),
        (ContactType.PHONE, "0018766554433", "(876) 655.4433"),
        (ContactType.EMAIL, "Jo@Example.com", "jo@example.COM"),
    ],
)
def test_spellings_share_one_lock_and_one_count(engine: Engine, kind: ContactType, one: str, other: str) -> None:
    token = engine.own(keys("a", contact=one, kind=kind))
    assert engine.claim(keys("b", contact=other, kind=kind)).kind == "busy"
    engine.settle(token, WRONG, keys("a", contact=one, kind=kind))
    for number in range(4):
        engine.end(WRONG, keys(f"c{number}", contact=other, kind=kind, code=f"{number:06}"))
    claim = engine.claim(keys("d", contact=one, kind=kind, code="999999"))
    assert claim.record == Record("attempts-exhausted", None, False, kind.value)


# -- the count of wrong codes --


def guess(number: int) -> Keys:
    return keys(f"guess_{number}", code=f"{number:06}")


def test_after_too_many_wrong_codes_no_call_is_made(engine: Engine) -> None:
    for number in range(5):
        engine.end(WRONG, guess(number))
        engine.pass_by(10)
    claim = engine.claim(guess(5))
    assert (claim.kind, claim.record) == ("decided", Record("attempts-exhausted", contact_type=1))
    assert engine.claim(guess(5)).kind == "replay"
    assert engine.claim(guess(0)).record == WRONG
    assert engine.claim(keys("elsewhere", contact="10086")).kind == "owned"


def test_refused_deliveries_do_not_extend_the_window(engine: Engine) -> None:
    for number in range(5):
        engine.end(WRONG, guess(number))
    engine.pass_by(595)
    assert engine.claim(guess(5)).kind == "decided"
    engine.pass_by(10)
    assert engine.claim(guess(6)).kind == "owned"


def test_unknown_outcomes_count(engine: Engine) -> None:
    for number in range(4):
        engine.end(None, guess(number))
    engine.own(guess(4), lease=10)
    engine.pass_by(11)
    assert engine.claim(guess(5)).kind == "decided"


def test_a_delivery_counts_once(engine: Engine) -> None:
    for _ in range(6):
        token = engine.own(guess(0))
        engine.settle(token, None, guess(0))
    for number in range(1, 4):
        engine.end(WRONG, guess(number))
    engine.own(guess(4))


def test_a_delivery_without_an_id_counts_once(engine: Engine) -> None:
    content = keys(None, code="000000")
    for _ in range(3):
        engine.end(WRONG, content)
        engine.pass_by(121)
    for number in range(1, 4):
        engine.end(WRONG, guess(number))
    engine.own(guess(4))


def test_a_guess_that_comes_again_does_not_clear_its_count(engine: Engine) -> None:
    """Under a content key its record is written anew after two minutes, whatever becomes of that."""
    for number in range(5):
        engine.end(WRONG, keys(None, code=f"{number:06}"))
    engine.pass_by(125)
    assert engine.claim(keys(None, code="000000")).record == Record("attempts-exhausted", contact_type=1)
    engine.pass_by(125)
    assert engine.claim(keys(None, code="000001")).record == Record("attempts-exhausted", contact_type=1)
    assert engine.claim(guess(7)).kind == "decided"


@pytest.mark.parametrize("how", ["busy", "released", "wrong again"])
def test_a_guess_that_comes_again_counts_as_before(engine: Engine, how: str) -> None:
    for number in range(4):
        engine.end(WRONG, keys(None, code=f"{number:06}"))
    engine.pass_by(125)
    again = keys(None, code="000000")
    if how == "busy":
        token = engine.own(keys("elsewhere", code="999999"))
        assert engine.claim(again).kind == "busy"
        engine.release(token, keys("elsewhere", code="999999"))
    elif how == "released":
        engine.release(engine.own(again), again)
    else:
        engine.end(WRONG, again)
    engine.end(WRONG, guess(8))
    assert engine.claim(guess(9)).kind == "decided"
    engine.pass_by(480)
    assert engine.claim(guess(10)).kind == "owned"


def test_an_id_that_is_used_again_after_its_life_counts_again(make: Make) -> None:
    engine = make(ttl=60)
    for number in range(5):
        engine.end(WRONG, replace(guess(number), delivery=keys().delivery))
        engine.pass_by(61)
    assert engine.claim(replace(guess(6), delivery=keys().delivery)).kind == "decided"


def test_a_success_clears_the_count(engine: Engine) -> None:
    for number in range(4):
        engine.end(WRONG, guess(number))
    engine.end(None, guess(4), sent=0.2)
    engine.pass_by(1)
    token = engine.own(guess(4))
    engine.settle(token, VERIFIED, guess(4))
    for number in range(5, 9):
        engine.end(WRONG, guess(number))
    engine.own(guess(9))


@pytest.mark.parametrize("released", [True, False])
def test_what_says_nothing_of_the_code_does_not_count(engine: Engine, released: bool) -> None:
    for number in range(6):
        token = engine.own(guess(number))
        if released:
            engine.release(token, guess(number))
        else:
            engine.settle(token, Record("already-verified", contact_type=1), guess(number), counts=False)
    engine.own(guess(7))


def test_the_limit_can_be_switched_off(make: Make) -> None:
    engine = make(wrong_codes=0)
    for number in range(7):
        engine.end(WRONG, guess(number))
    engine.own(guess(8))


# -- late comers --


def test_a_late_settle_takes_nobodys_lock(engine: Engine) -> None:
    late = engine.own(lease=10)
    engine.pass_by(11)
    engine.own(GUESS, lease=60)
    assert engine.settle(late, VERIFIED, removal=3.0)
    same = replace(GUESS, delivery=OTHER.delivery)
    assert engine.claim(same).kind == "busy"
    engine.ledger.unlock(keys(), late, removed=True, deadline=engine.deadline)
    assert engine.claim(same).kind == "busy"


def test_a_late_removal_forgets_nobodys(engine: Engine) -> None:
    late = engine.own()
    engine.settle(late, VERIFIED, removal=3.0)
    engine.pass_by(4)
    token = engine.own(GUESS)
    engine.settle(token, VERIFIED, GUESS, removal=3.0)
    engine.ledger.unlock(GUESS, token, removed=False, deadline=engine.deadline)
    engine.ledger.unlock(keys(), late, removed=True, deadline=engine.deadline)
    assert engine.claim(keys("next", code="000007")).removal


def test_a_call_that_others_settled_ends_with_its_lease(engine: Engine) -> None:
    engine.own(lease=10)
    engine.pass_by(11)
    engine.end(VERIFIED, OTHER, sent=None)
    engine.end(None, GUESS)
    claim = engine.claim(GUESS)
    assert near(claim.rivals[0], claim.now - 11, claim.now - 1)


# -- unknown outcomes --


def test_an_unknown_is_found_by_its_delivery(engine: Engine) -> None:
    engine.end(None, sent=3.0, gave_up=1.0)
    engine.pass_by(10)
    assert engine.look() == Found("unknown", keys().content)
    claim = engine.claim()
    assert (claim.kind, claim.unknown, claim.wait) == ("owned", True, 0.0)
    assert near(claim.calls[0], claim.now - 13, claim.now - 11)
    assert claim.rivals == ()


def test_an_unknown_is_found_by_its_content(engine: Engine) -> None:
    engine.end(None)
    claim = engine.claim(OTHER, "t")
    assert (claim.kind, claim.unknown, len(claim.calls)) == ("owned", True, 1)
    assert engine.claim().kind == "busy"
    assert engine.settle("t", VERIFIED, OTHER, sent=None)
    assert engine.claim(OTHER).record == VERIFIED
    assert engine.claim().record == VERIFIED


def test_a_spelling_is_another_content(engine: Engine) -> None:
    engine.end(None)
    assert not engine.claim(keys("msg_2", contact="+8618766554433")).unknown


def test_a_crash_is_found_by_its_content(engine: Engine) -> None:
    engine.own(lease=10)
    engine.pass_by(20)
    claim = engine.claim(OTHER)
    assert claim.unknown
    assert near(claim.calls[0], claim.now - 20, claim.now - 10)


def test_what_was_unknown_is_unknown_again_after_a_release(engine: Engine) -> None:
    engine.end(None)
    token = engine.own()
    engine.release(token)
    assert engine.look() == Found("unknown", keys().content)
    assert len(engine.claim().calls) == 1


def test_who_found_an_unknown_of_its_content_is_unknown_too(engine: Engine) -> None:
    """It was told so."""
    engine.end(None)
    engine.release(engine.own(OTHER), OTHER)
    assert engine.look(OTHER) == Found("unknown", OTHER.content)
    assert engine.claim(replace(OTHER, content=GUESS.content)).kind == "reused"
    token = engine.own(OTHER)
    engine.attempt(token, OTHER)
    engine.release(token, OTHER)
    assert engine.look(OTHER) == Found("unknown", OTHER.content)
    assert len(engine.claim(OTHER).calls) == 1


def test_it_is_unknown_for_a_life_of_its_own(make: Make) -> None:
    engine = make(ttl=1000)
    engine.end(None)
    engine.pass_by(900)
    engine.release(engine.own(OTHER), OTHER)
    engine.pass_by(200)
    claim = engine.claim(OTHER)
    assert (claim.kind, claim.unknown, claim.calls) == ("owned", True, ())


def test_the_second_call_of_another_delivery_counts(engine: Engine) -> None:
    engine.end(None, guess(0))
    other = replace(guess(0), delivery=OTHER.delivery)
    token = engine.own(other)
    engine.attempt(token, other)
    engine.settle(token, WRONG, other)
    for number in range(1, 4):
        engine.end(WRONG, guess(number))
    assert engine.claim(guess(4)).kind == "decided"


def test_a_second_call_is_noted_before_it_is_made(engine: Engine) -> None:
    engine.end(None)
    engine.pass_by(100)
    token = engine.own(lease=10)
    assert engine.attempt(token) == Slot(0.0, fits=True)
    assert engine.attempt(token) is None
    engine.pass_by(11)
    claim = engine.claim()
    assert [near(call, claim.now + at, claim.now + at + 10) for call, at in zip(claim.calls[1:], [-11], strict=True)]
    assert len(claim.calls) == 2


def test_a_second_call_that_was_not_processed_is_forgotten(engine: Engine) -> None:
    engine.end(None)
    token = engine.own()
    engine.attempt(token)
    engine.release(token)
    assert len(engine.claim().calls) == 1


def test_a_second_call_that_is_lost_too(engine: Engine) -> None:
    engine.end(None, sent=1.0, gave_up=0.5)
    engine.pass_by(50)
    token = engine.own()
    engine.attempt(token)
    engine.settle(token, None, sent=2.0, gave_up=1.0)
    claim = engine.claim()
    assert len(claim.calls) == 2
    assert near(claim.calls[0], claim.now - 51, claim.now - 50.5)
    assert near(claim.calls[1], claim.now - 2, claim.now - 1)


def test_the_second_call_of_another_delivery_of_the_content(engine: Engine) -> None:
    engine.end(None)
    token = engine.own(OTHER)
    engine.attempt(token, OTHER)
    engine.settle(token, None, OTHER)
    assert len(engine.claim().calls) == 2


def test_a_second_call_needs_a_slot(make: Make) -> None:
    engine = make(interval=100)
    engine.end(None)
    token = engine.own()
    slot = engine.attempt(token)
    assert slot is not None
    assert not slot.fits
    assert slot.wait == pytest.approx(100, abs=3)
    engine.release(token)
    assert len(engine.claim().calls) == 1


@pytest.mark.parametrize(("before", "after"), [(0, 10), (10, 0)])
def test_other_codes_for_the_contact_are_rivals(engine: Engine, before: float, after: float) -> None:
    """Whatever became of them, and whatever their spelling."""
    guesses = {
        keys("a", code="000001"): WRONG,
        keys("b", code="000002", contact="+86 187 6655 4433"): None,
        keys(None, code="000003"): VERIFIED,
    }
    if before:
        for of, record in guesses.items():
            engine.end(record, of, sent=0.0)
        engine.pass_by(before)
    engine.end(None, sent=0.0)
    if after:
        engine.pass_by(after)
        for of, record in guesses.items():
            engine.end(record, of, sent=0.0)
    engine.pass_by(130)
    claim = engine.claim()
    at = -130 - after + (after or -before)
    assert [near(rival, claim.now + at, claim.now + at) for rival in claim.rivals] == [True] * 3


def test_a_rival_that_came_again_is_still_known_to_have_come(engine: Engine) -> None:
    """Under a content key its record is written anew; what it did before is not forgotten."""
    rival = keys(None, code="000000")
    engine.end(VERIFIED, rival, sent=0.0)
    engine.pass_by(1)
    engine.end(None, sent=0.0)
    engine.pass_by(121)
    engine.end(Record("already-verified", contact_type=1), rival, sent=0.0)
    claim = engine.claim()
    assert any(near(one, claim.now - 122, claim.now - 122) for one in claim.rivals)


def test_a_rival_that_came_again_and_was_given_back_is_still_known(engine: Engine) -> None:
    rival = keys(None, code="000000")
    engine.end(WRONG, rival, sent=0.0)
    engine.pass_by(1)
    engine.end(None, sent=0.0)
    engine.pass_by(121)
    engine.release(engine.own(rival), rival)
    claim = engine.claim()
    assert any(near(one, claim.now - 122, claim.now - 122) for one in claim.rivals)


def test_a_rivals_second_call_is_one_too(engine: Engine) -> None:
    rival = keys("rival", code="000000")
    engine.end(None, rival)
    engine.pass_by(5000)
    token = engine.own(rival)
    engine.attempt(token, rival)
    engine.settle(token, VERIFIED, rival, sent=0.0)
    engine.pass_by(1)
    engine.end(None, sent=0.0)
    claim = engine.claim()
    assert any(near(one, claim.now - 1, claim.now - 1) for one in claim.rivals)


# -- pace --


def test_slots_are_even(make: Make) -> None:
    engine = make(interval=0.5)
    waits = [engine.claim(keys(f"m{n}", contact=f"1008{n}00")).wait for n in range(4)]
    assert waits == pytest.approx([0, 0.5, 1.0, 1.5], abs=0.3)
    assert waits == sorted(waits)


def test_a_slot_that_comes_too_late_is_not_reserved(make: Make) -> None:
    engine = make(interval=4.0)
    engine.own(keys("a"))
    engine.own(keys("b", contact="10086"))
    for name in "cd":
        claim = engine.claim(keys(name, contact=f"1001{ord(name)}"))
        assert claim.kind == "no-slot"
        assert claim.wait == pytest.approx(8, abs=1)
        assert engine.look(keys(name, contact=f"1001{ord(name)}")) is None


def test_each_action_has_its_own_pace(make: Make) -> None:
    engine = make(interval=4.0)
    for action in ("DescribeIntlPhoneEmailList", "DeleteIntlPhoneEmail"):
        first = engine.ledger.reserve(action, max_wait=5, deadline=engine.deadline)
        second = engine.ledger.reserve(action, max_wait=5, deadline=engine.deadline)
        third = engine.ledger.reserve(action, max_wait=5, deadline=engine.deadline)
        assert (first, second.fits, third.fits) == (Slot(0.0, fits=True), True, False)
        assert second.wait == pytest.approx(4, abs=1)
    assert engine.claim().wait == 0


def test_replays_and_refusals_take_no_slot(make: Make) -> None:
    engine = make(interval=100)
    engine.end(WRONG)
    assert engine.claim().kind == "replay"
    assert engine.claim(GUESS).kind == "no-slot"


def test_the_pace_slows_down_and_comes_back(make: Make) -> None:
    engine = make(interval=1.0)

    def step() -> float:
        engine.pass_by(0.01)
        slots = [engine.ledger.reserve("x", max_wait=1e6, deadline=engine.deadline).wait for _ in range(2)]
        return slots[1] - slots[0]

    def slow_down() -> None:
        engine.ledger.slow_down("x", deadline=engine.deadline)

    assert step() == pytest.approx(1.0, abs=0.1)
    slow_down()
    slow_down()
    assert step() == pytest.approx(1 / 0.7, abs=0.1)
    engine.pass_by(1.1)
    slow_down()
    assert step() == pytest.approx(1 / (0.8 * 0.7), rel=0.1)
    for _ in range(9):
        engine.pass_by(1.1)
        slow_down()
    assert step() == pytest.approx(4, rel=0.1)
    engine.pass_by(5)
    assert step() == pytest.approx(1 / 0.75, rel=0.1)
    engine.pass_by(10)
    assert step() == pytest.approx(1.0, abs=0.1)


def test_a_clock_that_was_set_back_stops_nothing(engine: Engine) -> None:
    engine.own(keys("a"))
    engine.own(keys("b", contact="10086"))
    engine.pass_by(-86_400)
    claim = engine.claim(keys("c", contact="10010"))
    assert (claim.kind, claim.wait) == ("owned", 0.0)
    assert engine.claim(keys("a")).unknown


# -- taking contacts off the list --


def test_a_removal_is_remembered_until_it_is_done(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, removal=3.0)
    assert engine.claim().kind == "replay"
    assert engine.claim(GUESS).kind == "busy"
    engine.ledger.unlock(keys(), token, removed=False, deadline=engine.deadline)
    other = engine.claim(GUESS, "t")
    assert (other.kind, other.removal) == ("owned", True)
    engine.ledger.unlock(GUESS, "t", removed=True, deadline=engine.deadline)
    assert engine.claim(GUESS).kind == "in-flight"
    engine.release("t", GUESS)
    assert not engine.claim(GUESS).removal


def test_a_removal_is_of_one_spelling(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, removal=3.0)
    engine.pass_by(4)
    assert not engine.claim(keys("x", contact="+8618766554433", code="000001")).removal


def test_a_pair_that_was_verified_and_removed_is_spent(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, removal=3.0)
    engine.ledger.unlock(keys(), token, removed=True, deadline=engine.deadline)
    claim = engine.claim(OTHER)
    assert (claim.kind, claim.record) == ("decided", Record("already-verified", contact_type=1))
    assert engine.claim(OTHER).kind == "replay"
    assert engine.claim().record == VERIFIED
    assert engine.claim(GUESS).kind == "owned"


def test_a_removal_that_died_leaves_the_contact_in_the_end(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, removal=3.0)
    engine.pass_by(4)
    claim = engine.claim(GUESS)
    assert (claim.kind, claim.removal) == ("owned", True)


# -- many at once --


def test_of_many_at_once_one_owns_it(engine: Engine) -> None:
    claims: list[Claim] = []
    threads = [threading.Thread(target=lambda: claims.append(engine.claim())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(claim.kind for claim in claims) == ["in-flight"] * 19 + ["owned"]


def test_of_many_at_once_each_has_its_own_slot(make: Make) -> None:
    engine = make(interval=0.25)
    waits: list[float] = []

    def claim(number: int) -> None:
        claim = engine.claim(keys(f"m{number}", contact=f"{number:09}"))
        waits.append(claim.now + claim.wait)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits.sort()
    assert all(late - early > 0.24 for early, late in pairwise(waits))


def test_the_ledger_works(engine: Engine) -> None:
    engine.ledger.check(deadline=engine.deadline)


def test_the_policy_keeps_what_the_count_and_the_history_need() -> None:
    assert Policy(60, 5, 86_400, 1).kept == 86_400
    assert Policy(60, 5, 1, 1).kept == 4000
