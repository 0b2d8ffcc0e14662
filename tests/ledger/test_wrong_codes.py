"""Test the ledger's contract: the limit of wrong codes for a contact, and what counts as a wrong code."""

from __future__ import annotations

import pytest
from signup_bridge.ledger import Acquired, ContactBusy, Record, Replay, ShortCircuited

from tests.support.ledgers import GUESS, OTHER, VERIFIED, WRONG, Engine, Make, exhausted, guess, keys


def test_too_many_wrong_codes_short_circuit_claim(engine: Engine) -> None:
    for number in range(5):
        engine.end(WRONG, guess(number))
        engine.pass_by(10)
    assert engine.claim(guess(5)) == exhausted(550)
    assert isinstance(engine.claim(guess(5)), Replay)
    assert engine.claim(guess(0)) == Replay(WRONG)
    assert isinstance(engine.claim(keys("elsewhere", contact="10086")), Acquired)


def test_replay_tells_the_time_that_is_left(engine: Engine) -> None:
    for number in range(7):
        if number < 5:
            engine.end(WRONG, guess(number))
        engine.pass_by(10)
    engine.claim(guess(5))
    for passed, left in ((0, 530), (500, 30), (60, 0), (3600, 0)):
        engine.pass_by(passed)
        replay = Replay(exhausted(left).record)
        assert engine.claim(guess(5)) == replay
        stored = engine.look(guess(5))
        assert stored is not None
        assert stored.record == replay.record


def test_lowered_limit_counts_the_last_wrong_codes(make: Make) -> None:
    engine = make()
    for number in range(4):
        engine.end(WRONG, guess(number))
        engine.pass_by(100)
    strict = make(wrong_codes=2)
    strict.pass_by(400)
    assert strict.claim(guess(4)) == exhausted(400)


def test_rejected_deliveries_do_not_extend_window(engine: Engine) -> None:
    for number in range(5):
        engine.end(WRONG, guess(number))
    engine.pass_by(595)
    assert isinstance(engine.claim(guess(5)), ShortCircuited)
    engine.pass_by(10)
    assert isinstance(engine.claim(guess(6)), Acquired)


def test_unknown_outcomes_count_as_wrong_codes(engine: Engine) -> None:
    for number in range(4):
        engine.end(None, guess(number))
    engine.own(guess(4), lease=10)
    engine.pass_by(11)
    assert isinstance(engine.claim(guess(5)), ShortCircuited)


def test_delivery_counts_once(engine: Engine) -> None:
    for _ in range(6):
        token = engine.own(guess(0))
        engine.settle(token, None, guess(0))
    for number in range(1, 4):
        engine.end(WRONG, guess(number))
    engine.own(guess(4))


def test_delivery_without_id_counts_once(engine: Engine) -> None:
    content = keys(None, code="000000")
    for _ in range(3):
        engine.end(WRONG, content)
        engine.pass_by(121)
    for number in range(1, 4):
        engine.end(WRONG, guess(number))
    engine.own(guess(4))


def test_repeated_guess_does_not_clear_its_count(engine: Engine) -> None:
    """A delivery with a content key replaces its record after two minutes, with any outcome."""
    for number in range(5):
        engine.end(WRONG, keys(None, code=f"{number:06}"))
    engine.pass_by(125)
    assert engine.claim(keys(None, code="000000")) == exhausted(475)
    engine.pass_by(125)
    assert engine.claim(keys(None, code="000001")) == exhausted(350)
    assert isinstance(engine.claim(guess(7)), ShortCircuited)


@pytest.mark.parametrize("how", ["busy", "released", "wrong again"])
def test_repeated_guess_still_counts(engine: Engine, how: str) -> None:
    for number in range(4):
        engine.end(WRONG, keys(None, code=f"{number:06}"))
    engine.pass_by(125)
    again = keys(None, code="000000")
    if how == "busy":
        token = engine.own(keys("elsewhere", code="999999"))
        assert engine.claim(again) == ContactBusy()
        engine.release(token, keys("elsewhere", code="999999"))
    elif how == "released":
        engine.release(engine.own(again), again)
    else:
        engine.end(WRONG, again)
    engine.end(WRONG, guess(8))
    assert isinstance(engine.claim(guess(9)), ShortCircuited)
    engine.pass_by(480)
    assert isinstance(engine.claim(guess(10)), Acquired)


def test_reused_id_after_ttl_counts_again(make: Make) -> None:
    engine = make(ttl=60)
    for number in range(5):
        engine.end(WRONG, guess(number)._replace(delivery=keys().delivery))
        engine.pass_by(61)
    assert isinstance(engine.claim(guess(6)._replace(delivery=keys().delivery)), ShortCircuited)


def test_verification_clears_count(engine: Engine) -> None:
    for number in range(4):
        engine.end(WRONG, guess(number))
    engine.end(None, guess(4), sent_at=0.2)
    engine.pass_by(1)
    token = engine.own(guess(4))
    engine.settle(token, VERIFIED, guess(4))
    for number in range(5, 9):
        engine.end(WRONG, guess(number))
    engine.own(guess(9))


@pytest.mark.parametrize("released", [True, False])
def test_outcome_unrelated_to_code_does_not_count(engine: Engine, released: bool) -> None:
    for number in range(6):
        token = engine.own(guess(number))
        if released:
            engine.release(token, guess(number))
        else:
            engine.settle(token, Record("already-verified", contact_type=1), guess(number), counts_as_wrong=False)
    engine.own(guess(7))


def test_limit_of_zero_is_off(make: Make) -> None:
    engine = make(wrong_codes=0)
    for number in range(7):
        engine.end(WRONG, guess(number))
    engine.own(guess(8))


def test_wrong_code_of_expired_delivery_counts_whatever_follows(make: Make) -> None:
    """The id is redelivered and receives the outcome of another delivery with the same content."""
    engine = make(ttl=300.0, wrong_codes=2)
    engine.own(lease=1.0)
    engine.pass_by(302)
    engine.end(None, OTHER)
    token = engine.own()
    assert engine.settle(token, Record("already-verified", contact_type=1), sent_at=None, counts_as_wrong=False)
    assert isinstance(engine.claim(GUESS), ShortCircuited)


def test_wrong_codes_before_limit_is_set_count(make: Make) -> None:
    engine = make(wrong_codes=0)
    for number in range(5):
        engine.end(WRONG, guess(number))
    assert isinstance(make(wrong_codes=5).claim(guess(5)), ShortCircuited)


def test_spent_pair_without_id_counts_once(make: Make) -> None:
    """It is like a wrong code: the delivery expires after two minutes, and counts from its first time."""
    engine = make(conceal=True, wrong_codes=2)
    token = engine.own()
    engine.settle(token, VERIFIED, release_lock=3.0)
    engine.ledger.finish_release(keys(), token, removed=True, deadline=engine.deadline)
    pair = keys(None)
    for _ in range(3):
        assert engine.claim(pair) == ShortCircuited(Record("already-verified", contact_type=1))
        assert isinstance(engine.claim(pair), Replay)
        engine.pass_by(121)
    engine.end(WRONG, GUESS)
    assert engine.claim(guess(7)) == exhausted(237)
    assert engine.claim(pair) == exhausted(237)
