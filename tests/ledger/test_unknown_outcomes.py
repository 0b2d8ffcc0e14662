"""Test the ledger's contract: calls with an unknown outcome, their second calls, and competing calls."""

from __future__ import annotations

import pytest
from signup_bridge.ledger import ContactBusy, KeyMismatch, Record, Replay, ShortCircuited, Slot, StoredState

from tests.support.ledgers import GUESS, OTHER, VERIFIED, WRONG, Engine, Make, guess, keys, near


def test_unknown_outcome_is_found_by_delivery(engine: Engine) -> None:
    engine.end(None, sent_at=3.0, gave_up_at=1.0)
    engine.pass_by(10)
    assert engine.look() == StoredState("unknown", keys().content)
    unknown = engine.acquire_unknown()
    assert near(unknown.calls[0], unknown.now - 13, unknown.now - 11)
    assert unknown.competing_calls == ()


def test_unknown_outcome_is_found_by_content(engine: Engine) -> None:
    engine.end(None)
    unknown = engine.acquire_unknown(OTHER, "t")
    assert len(unknown.calls) == 1
    assert engine.claim() == ContactBusy()
    assert engine.settle("t", VERIFIED, OTHER, sent_at=None)
    assert engine.claim(OTHER) == Replay(VERIFIED)
    assert engine.claim() == Replay(VERIFIED)


def test_unknown_outcome_is_not_found_by_another_spelling(engine: Engine) -> None:
    engine.end(None)
    assert engine.acquire(keys("msg_2", contact="+8618766554433")).unknown_outcome is None


def test_expired_claim_is_found_by_content(engine: Engine) -> None:
    engine.own(lease=10)
    engine.pass_by(20)
    unknown = engine.acquire_unknown(OTHER)
    assert near(unknown.calls[0], unknown.now - 20, unknown.now - 10)


def test_release_restores_unknown_outcome(engine: Engine) -> None:
    engine.end(None)
    token = engine.own()
    engine.release(token)
    assert engine.look() == StoredState("unknown", keys().content)
    assert len(engine.acquire_unknown().calls) == 1


def test_release_of_second_delivery_leaves_it_unknown_too(engine: Engine) -> None:
    """The sender received that outcome for it."""
    engine.end(None)
    engine.release(engine.own(OTHER), OTHER)
    assert engine.look(OTHER) == StoredState("unknown", OTHER.content)
    assert engine.claim(OTHER._replace(content=GUESS.content)) == KeyMismatch()
    token = engine.own(OTHER)
    engine.attempt(token, OTHER)
    engine.release(token, OTHER)
    assert engine.look(OTHER) == StoredState("unknown", OTHER.content)
    assert len(engine.acquire_unknown(OTHER).calls) == 1


def test_second_delivery_is_unknown_for_its_own_ttl(make: Make) -> None:
    engine = make(ttl=1000)
    engine.end(None)
    engine.pass_by(900)
    engine.release(engine.own(OTHER), OTHER)
    engine.pass_by(200)
    unknown = engine.acquire_unknown(OTHER)
    assert unknown.calls == ()


def test_second_call_of_another_delivery_counts_as_wrong_code(engine: Engine) -> None:
    engine.end(None, guess(0))
    other = guess(0)._replace(delivery=OTHER.delivery)
    token = engine.own(other)
    engine.attempt(token, other)
    engine.settle(token, WRONG, other)
    for number in range(1, 4):
        engine.end(WRONG, guess(number))
    assert isinstance(engine.claim(guess(4)), ShortCircuited)


def test_begin_retry_records_second_call_before_it_is_made(engine: Engine) -> None:
    engine.end(None)
    engine.pass_by(100)
    token = engine.own(lease=10)
    assert engine.attempt(token) == Slot(0.0, fits=True)
    assert engine.attempt(token) is None
    engine.pass_by(11)
    unknown = engine.acquire_unknown()
    assert len(unknown.calls) == 2
    assert near(unknown.calls[1], unknown.now - 11, unknown.now - 1)


def test_release_forgets_second_call(engine: Engine) -> None:
    engine.end(None)
    token = engine.own()
    engine.attempt(token)
    engine.release(token)
    assert len(engine.acquire_unknown().calls) == 1


def test_second_unknown_call_is_recorded(engine: Engine) -> None:
    engine.end(None, sent_at=1.0, gave_up_at=0.5)
    engine.pass_by(50)
    token = engine.own()
    engine.attempt(token)
    engine.settle(token, None, sent_at=2.0, gave_up_at=1.0)
    unknown = engine.acquire_unknown()
    assert len(unknown.calls) == 2
    assert near(unknown.calls[0], unknown.now - 51, unknown.now - 50.5)
    assert near(unknown.calls[1], unknown.now - 2, unknown.now - 1)


def test_second_call_of_another_delivery_is_recorded(engine: Engine) -> None:
    engine.end(None)
    token = engine.own(OTHER)
    engine.attempt(token, OTHER)
    engine.settle(token, None, OTHER)
    assert len(engine.acquire_unknown().calls) == 2


def test_begin_retry_without_slot_does_not_record_call(make: Make) -> None:
    engine = make(interval=100)
    engine.end(None)
    token = engine.own()
    slot = engine.attempt(token)
    assert slot is not None
    assert not slot.fits
    assert slot.wait == pytest.approx(100, abs=3)
    engine.release(token)
    assert len(engine.acquire_unknown().calls) == 1


@pytest.mark.parametrize(("before", "after"), [(0, 10), (10, 0)])
def test_calls_with_other_codes_are_competing_calls(engine: Engine, before: float, after: float) -> None:
    """They compete with any outcome and any spelling of the contact."""
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
    unknown = engine.acquire_unknown()
    at = -130 - after + (after or -before)
    assert [near(rival, unknown.now + at, unknown.now + at) for rival in unknown.competing_calls] == [True] * 3


def test_repeated_competing_call_keeps_its_first_time(engine: Engine) -> None:
    """A delivery with a content key replaces its record but keeps its earlier calls."""
    rival = keys(None, code="000000")
    engine.end(VERIFIED, rival, sent_at=0.0)
    engine.pass_by(1)
    engine.end(None, sent_at=0.0)
    engine.pass_by(121)
    engine.end(Record("already-verified", contact_type=1), rival, sent_at=0.0)
    unknown = engine.acquire_unknown()
    assert any(near(one, unknown.now - 122, unknown.now - 122) for one in unknown.competing_calls)


def test_released_competing_call_keeps_its_first_time(engine: Engine) -> None:
    rival = keys(None, code="000000")
    engine.end(WRONG, rival, sent_at=0.0)
    engine.pass_by(1)
    engine.end(None, sent_at=0.0)
    engine.pass_by(121)
    engine.release(engine.own(rival), rival)
    unknown = engine.acquire_unknown()
    assert any(near(one, unknown.now - 122, unknown.now - 122) for one in unknown.competing_calls)


def test_second_call_of_competing_delivery_is_competing_call(engine: Engine) -> None:
    rival = keys("rival", code="000000")
    engine.end(None, rival)
    engine.pass_by(5000)
    token = engine.own(rival)
    engine.attempt(token, rival)
    engine.settle(token, VERIFIED, rival, sent_at=0.0)
    engine.pass_by(1)
    engine.end(None, sent_at=0.0)
    unknown = engine.acquire_unknown()
    assert any(near(one, unknown.now - 1, unknown.now - 1) for one in unknown.competing_calls)


# -- the number of unknown outcomes --


def test_count_unknown_counts_unknown_and_expired_claims(make: Make) -> None:
    """An unknown outcome counts until it is reconciled or expires. A claim counts once its lease has expired."""
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


def test_count_unknown_excludes_outcomes_resolved_by_content(engine: Engine) -> None:
    engine.end(None)
    engine.end(None, OTHER)
    assert engine.unknown == 2
    engine.end(VERIFIED, keys("msg_4"), sent_at=None)
    assert engine.unknown == 0


def test_count_unknown_excludes_released_and_expired_deliveries(make: Make) -> None:
    engine = make(ttl=1000)
    engine.release(engine.own())
    assert engine.unknown == 0
    engine.own(lease=10)
    engine.pass_by(1100)
    engine.end(WRONG)
    assert engine.unknown == 0


def test_count_unknown_includes_lease_from_before_clock_was_set_back(engine: Engine) -> None:
    engine.own(lease=10)
    engine.pass_by(-5000)
    assert engine.unknown == 1


def test_late_settlement_ends_other_claim_of_same_content(engine: Engine) -> None:
    """The owner of the other claim reconciles the late call and makes no second call."""
    late = engine.own(lease=1)
    engine.pass_by(2)
    engine.acquire_unknown(OTHER, "t")
    assert engine.settle(late, VERIFIED)
    assert engine.attempt("t", OTHER) is None
    assert engine.claim(OTHER) == Replay(VERIFIED)
    engine.own(GUESS)


def test_release_after_both_calls_removes_both(engine: Engine) -> None:
    token = engine.own()
    engine.attempt(token)
    engine.release(token)
    engine.end(None, GUESS)
    assert engine.acquire_unknown(GUESS).competing_calls == ()


@pytest.mark.parametrize(("later", "sent_at"), [(1.0, None), (0.0, 0.5)])
def test_lost_delivery_competes_beside_call_of_same_moment(engine: Engine, later: float, sent_at: float | None) -> None:
    engine.end(WRONG, sent_at=0.0)
    engine.pass_by(later)
    assert engine.settle("lost", None, keys("lost"), sent_at=sent_at, gave_up_at=sent_at)
    engine.pass_by(1)
    engine.end(None, GUESS)
    assert len({call.sent_at for call in engine.acquire_unknown(GUESS).competing_calls}) == 2
