"""Test the ledger's contract: setting the clock back by an hour does not block a contact for that hour."""

from __future__ import annotations

import pytest
from signup_bridge.ledger import Acquired, Replay, ShortCircuited

from tests.support.ledgers import VERIFIED, WRONG, Engine, Make, guess, keys

HOUR = 3600.0


@pytest.mark.parametrize("record", [WRONG, None])
def test_clock_set_back_counts_wrong_codes_for_window_from_now_at_most(make: Make, record: None) -> None:
    """They do not count for the hour and the window."""
    engine = make(wrong_codes=3)
    for number in range(3):
        engine.end(record, guess(number))
    engine.pass_by(-HOUR)
    assert isinstance(engine.claim(guess(3)), ShortCircuited)
    engine.pass_by(590)
    assert isinstance(engine.claim(guess(4)), ShortCircuited)
    engine.pass_by(20)
    assert isinstance(engine.claim(guess(5)), Acquired)


def test_clock_set_back_repeated_wrong_code_keeps_its_count(engine: Engine) -> None:
    """A delivery with a content key replaces its record, and the stored time is corrected once."""
    for number in range(5):
        engine.end(WRONG, keys(None, code=f"{number:06}"))
    engine.pass_by(-HOUR)
    assert isinstance(engine.claim(guess(6)), ShortCircuited)
    engine.pass_by(130)
    assert isinstance(engine.claim(keys(None, code="000000")), Replay)
    engine.pass_by(130)
    assert isinstance(engine.claim(keys(None, code="000000")), ShortCircuited)
    engine.pass_by(350)
    assert isinstance(engine.claim(guess(7)), Acquired)


def test_clock_set_back_verification_clears_earlier_count(make: Make) -> None:
    engine = make(wrong_codes=3)
    for number in range(2):
        engine.end(WRONG, guess(number))
    engine.pass_by(-HOUR)
    engine.end(VERIFIED)
    for number in range(2, 4):
        engine.end(WRONG, guess(number))
    engine.own(guess(4))


def test_clock_set_back_content_key_is_replayed_for_two_minutes_from_now(engine: Engine) -> None:
    content = keys(None)
    engine.end(VERIFIED, content)
    engine.pass_by(-HOUR)
    assert engine.claim(content) == Replay(VERIFIED)
    engine.pass_by(115)
    assert isinstance(engine.claim(content), Replay)
    engine.pass_by(10)
    assert isinstance(engine.claim(content), Acquired)


def test_clock_set_back_does_not_extend_replay_of_content_key(engine: Engine) -> None:
    content = keys(None)
    engine.end(VERIFIED, content)
    engine.pass_by(-30)
    engine.pass_by(145)
    assert isinstance(engine.claim(content), Replay)
    engine.pass_by(10)
    assert isinstance(engine.claim(content), Acquired)


def test_clock_set_back_delivery_with_id_is_replayed_as_before(engine: Engine) -> None:
    engine.end(WRONG)
    engine.pass_by(-HOUR)
    assert engine.claim() == Replay(WRONG)
    engine.pass_by(HOUR + 300_000)
    assert engine.claim() == Replay(WRONG)


def test_clock_set_back_release_leaves_no_count(engine: Engine) -> None:
    for number in range(4):
        engine.end(WRONG, guess(number))
    token = engine.own(guess(4))
    engine.pass_by(-HOUR)
    engine.release(token, guess(4))
    engine.own(guess(5))
