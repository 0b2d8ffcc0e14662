"""The contract of the ledger: a call whose outcome is unknown, the second call for it, and the rivals of both."""

from __future__ import annotations

import pytest
from signup_bridge.ledger import Record, Slot, StoredState

from tests.support.ledgers import GUESS, OTHER, VERIFIED, WRONG, Engine, Make, guess, keys, near


def test_an_unknown_is_found_by_its_delivery(engine: Engine) -> None:
    engine.end(None, sent_at=3.0, gave_up_at=1.0)
    engine.pass_by(10)
    assert engine.look() == StoredState("unknown", keys().content)
    claim = engine.claim()
    assert (claim.kind, claim.unknown, claim.wait) == ("owned", True, 0.0)
    assert near(claim.calls[0], claim.now - 13, claim.now - 11)
    assert claim.competing_calls == ()


def test_an_unknown_is_found_by_its_content(engine: Engine) -> None:
    engine.end(None)
    claim = engine.claim(OTHER, "t")
    assert (claim.kind, claim.unknown, len(claim.calls)) == ("owned", True, 1)
    assert engine.claim().kind == "busy"
    assert engine.settle("t", VERIFIED, OTHER, sent_at=None)
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
    assert engine.look() == StoredState("unknown", keys().content)
    assert len(engine.claim().calls) == 1


def test_who_found_an_unknown_of_its_content_is_unknown_too(engine: Engine) -> None:
    """It was told so."""
    engine.end(None)
    engine.release(engine.own(OTHER), OTHER)
    assert engine.look(OTHER) == StoredState("unknown", OTHER.content)
    assert engine.claim(OTHER._replace(content=GUESS.content)).kind == "reused"
    token = engine.own(OTHER)
    engine.attempt(token, OTHER)
    engine.release(token, OTHER)
    assert engine.look(OTHER) == StoredState("unknown", OTHER.content)
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
    other = guess(0)._replace(delivery=OTHER.delivery)
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
    engine.end(None, sent_at=1.0, gave_up_at=0.5)
    engine.pass_by(50)
    token = engine.own()
    engine.attempt(token)
    engine.settle(token, None, sent_at=2.0, gave_up_at=1.0)
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
            engine.end(record, of, sent_at=0.0)
        engine.pass_by(before)
    engine.end(None, sent_at=0.0)
    if after:
        engine.pass_by(after)
        for of, record in guesses.items():
            engine.end(record, of, sent_at=0.0)
    engine.pass_by(130)
    claim = engine.claim()
    at = -130 - after + (after or -before)
    assert [near(rival, claim.now + at, claim.now + at) for rival in claim.competing_calls] == [True] * 3


def test_a_rival_that_came_again_is_still_known_to_have_come(engine: Engine) -> None:
    """Under a content key its record is written anew; what it did before is not forgotten."""
    rival = keys(None, code="000000")
    engine.end(VERIFIED, rival, sent_at=0.0)
    engine.pass_by(1)
    engine.end(None, sent_at=0.0)
    engine.pass_by(121)
    engine.end(Record("already-verified", contact_type=1), rival, sent_at=0.0)
    claim = engine.claim()
    assert any(near(one, claim.now - 122, claim.now - 122) for one in claim.competing_calls)


def test_a_rival_that_came_again_and_was_given_back_is_still_known(engine: Engine) -> None:
    rival = keys(None, code="000000")
    engine.end(WRONG, rival, sent_at=0.0)
    engine.pass_by(1)
    engine.end(None, sent_at=0.0)
    engine.pass_by(121)
    engine.release(engine.own(rival), rival)
    claim = engine.claim()
    assert any(near(one, claim.now - 122, claim.now - 122) for one in claim.competing_calls)


def test_a_rivals_second_call_is_one_too(engine: Engine) -> None:
    rival = keys("rival", code="000000")
    engine.end(None, rival)
    engine.pass_by(5000)
    token = engine.own(rival)
    engine.attempt(token, rival)
    engine.settle(token, VERIFIED, rival, sent_at=0.0)
    engine.pass_by(1)
    engine.end(None, sent_at=0.0)
    claim = engine.claim()
    assert any(near(one, claim.now - 1, claim.now - 1) for one in claim.competing_calls)


# -- how many are open --


def test_those_that_are_open_are_counted(make: Make) -> None:
    """An unknown one until it is known or forgotten; a claim when its lease is over, and not while somebody works."""
    engine = make(ttl=1000)
    assert engine.unknown == 0
    engine.end(VERIFIED, keys("settled", contact="10000"))
    engine.end(None)
    assert engine.unknown == 1
    token = engine.own()
    assert engine.unknown == 0
    engine.release(token)
    assert engine.unknown == 1
    engine.own(keys("held", contact="10010"), lease=10)
    assert engine.unknown == 1
    engine.pass_by(11)
    assert engine.unknown == 2
    engine.end(VERIFIED, sent_at=None)
    assert engine.unknown == 1
    engine.pass_by(990)
    assert engine.unknown == 1
    engine.pass_by(10)
    assert engine.unknown == 0


def test_one_that_is_found_out_by_its_content_is_open_no_more(engine: Engine) -> None:
    engine.end(None)
    engine.end(None, OTHER)
    assert engine.unknown == 2
    engine.end(VERIFIED, keys("msg_4"), sent_at=None)
    assert engine.unknown == 0


def test_what_is_given_back_or_forgotten_is_not_open(make: Make) -> None:
    engine = make(ttl=1000)
    engine.release(engine.own())
    assert engine.unknown == 0
    engine.own(lease=10)
    engine.pass_by(1100)
    engine.end(WRONG)
    assert engine.unknown == 0


def test_a_lease_from_before_the_clock_was_set_back_is_over(engine: Engine) -> None:
    engine.own(lease=10)
    engine.pass_by(-5000)
    assert engine.unknown == 1
