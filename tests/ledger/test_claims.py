"""Test the ledger's contract, which both engines implement: claims, settlements, locks and releases."""

from __future__ import annotations

import threading

import pytest
from signup_bridge.core.contact import ContactType
from signup_bridge.ledger import (
    Acquired,
    Claim,
    ContactBusy,
    InFlight,
    KeyMismatch,
    Policy,
    Record,
    Replay,
    ShortCircuited,
    StoredState,
)

from tests.support.ledgers import GUESS, OTHER, VERIFIED, WRONG, Engine, Make, exhausted, keys, near

# -- claim, settle, replay --


def test_claim_new_delivery_is_acquired_and_its_record_replayed(engine: Engine) -> None:
    assert engine.claim(token="t") == Acquired(wait=0.0, release_pending=False, unknown_outcome=None)
    record = Record("already-verified", "r-9", resolved=True, contact_type=1)
    assert engine.settle("t", record)
    assert engine.claim() == Replay(record)
    assert engine.look() == StoredState("settled", keys().content, record)


def test_records_survive_restart(engine: Engine) -> None:
    engine.end(VERIFIED)
    engine.end(None, keys("msg_9", contact="10086"))
    engine.ledger.close()
    engine.ledger = engine.again()
    assert engine.claim() == Replay(VERIFIED)
    assert engine.acquire(keys("msg_9", contact="10086")).unknown_outcome


def test_claim_in_flight_ends_as_unknown_after_lease(engine: Engine) -> None:
    engine.own(lease=10)
    assert engine.claim() == InFlight()
    assert engine.look() == StoredState("in-flight", keys().content)
    engine.pass_by(9)
    assert engine.claim() == InFlight()
    engine.pass_by(2)
    assert engine.look() == StoredState("unknown", keys().content)
    unknown = engine.acquire_unknown()
    assert len(unknown.calls) == 1
    assert near(unknown.calls[0], unknown.now - 11, unknown.now - 1)


def test_claim_known_id_with_other_content_returns_key_mismatch(engine: Engine) -> None:
    reused = keys()._replace(content=GUESS.content)
    token = engine.own()
    assert engine.claim(reused) == KeyMismatch()
    engine.settle(token, VERIFIED)
    assert engine.claim(reused) == KeyMismatch()
    assert isinstance(engine.claim(), Replay)


def test_ledger_without_delivery_finds_and_changes_nothing(engine: Engine) -> None:
    assert engine.look() is None
    assert engine.attempt("nobody") is None
    engine.release("nobody")
    engine.ledger.finish_release(keys(), "nobody", removed=True, deadline=engine.deadline)
    assert engine.look() is None


@pytest.mark.parametrize("record", [VERIFIED, None])
def test_settle_lost_claim_is_recorded(engine: Engine, record: Record | None) -> None:
    """A failover or a moved file can lose a claim. Its call was made and must not be repeated."""
    assert engine.settle("t", record, sent_at=2.0, gave_up_at=1.0)
    if record:
        assert engine.claim() == Replay(record)
    else:
        unknown = engine.acquire_unknown()
        assert near(unknown.calls[0], unknown.now - 2, unknown.now - 1)


def test_settle_and_release_need_token_of_owner(engine: Engine) -> None:
    token = engine.own()
    assert not engine.settle("another", VERIFIED)
    engine.release("another")
    assert engine.claim() == InFlight()
    assert engine.settle(token, WRONG)
    engine.release(token)
    assert engine.attempt(token) is None
    assert engine.claim() == Replay(WRONG)


def test_late_settle_replaces_own_unknown_outcome(engine: Engine) -> None:
    token = engine.own(lease=10)
    engine.pass_by(60)
    assert engine.settle(token, VERIFIED)
    assert engine.claim() == Replay(VERIFIED)


def test_late_settle_does_not_affect_new_owner(engine: Engine) -> None:
    late = engine.own(lease=10)
    engine.pass_by(11)
    owner = engine.own()
    assert not engine.settle(late, WRONG)
    engine.release(late)
    assert engine.claim() == InFlight()
    assert engine.settle(owner, VERIFIED)
    assert not engine.settle(late, WRONG)
    assert engine.claim() == Replay(VERIFIED)


def test_released_delivery_is_new_again(engine: Engine) -> None:
    engine.release(engine.own())
    assert engine.look() is None
    assert engine.acquire().unknown_outcome is None


# -- expiry --


def test_record_expires_after_ttl(make: Make) -> None:
    engine = make(ttl=100)
    engine.end(VERIFIED)
    engine.pass_by(99)
    assert isinstance(engine.claim(), Replay)
    engine.pass_by(2)
    assert engine.look() is None
    assert engine.acquire().unknown_outcome is None


def test_content_key_definitive_record_expires_after_two_minutes(engine: Engine) -> None:
    content = keys(None)
    engine.end(WRONG, content)
    engine.pass_by(119)
    assert engine.claim(content) == Replay(WRONG)
    engine.pass_by(2)
    engine.end(VERIFIED, content)
    assert engine.claim(content) == Replay(VERIFIED)


def test_content_key_unknown_record_lives_for_ttl(engine: Engine) -> None:
    content = keys(None)
    engine.end(None, content)
    engine.pass_by(345_000)
    assert engine.acquire(content).unknown_outcome


def test_unknown_record_expires_after_ttl(make: Make) -> None:
    engine = make(ttl=100)
    engine.end(None)
    engine.pass_by(101)
    assert engine.acquire().unknown_outcome is None


# -- the contact's lock --


def test_claim_locks_contact_until_settled_or_expired(engine: Engine) -> None:
    token = engine.own(lease=10)
    assert engine.claim(GUESS) == ContactBusy()
    assert engine.claim(OTHER) == ContactBusy()
    assert isinstance(engine.claim(keys("msg_4", contact="10086")), Acquired)
    engine.settle(token, WRONG)
    engine.own(GUESS, lease=10)
    assert engine.claim(OTHER) == ContactBusy()
    engine.pass_by(11)
    assert isinstance(engine.claim(OTHER), Acquired)


def test_release_unlocks_contact(engine: Engine) -> None:
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
def test_contact_spellings_share_lock_and_wrong_code_count(
    engine: Engine, kind: ContactType, one: str, other: str
) -> None:
    token = engine.own(keys("a", contact=one, kind=kind))
    assert engine.claim(keys("b", contact=other, kind=kind)) == ContactBusy()
    engine.settle(token, WRONG, keys("a", contact=one, kind=kind))
    for number in range(4):
        engine.end(WRONG, keys(f"c{number}", contact=other, kind=kind, code=f"{number:06}"))
    assert engine.claim(keys("d", contact=one, kind=kind, code="999999")) == exhausted(600, contact_type=kind.value)


# -- late settlements --


def test_late_settle_does_not_lock_contact_of_new_owner(engine: Engine) -> None:
    late = engine.own(lease=10)
    engine.pass_by(11)
    engine.own(GUESS, lease=60)
    assert engine.settle(late, VERIFIED, release_lock=3.0)
    same = GUESS._replace(delivery=OTHER.delivery)
    assert engine.claim(same) == ContactBusy()
    engine.ledger.finish_release(keys(), late, removed=True, deadline=engine.deadline)
    assert engine.claim(same) == ContactBusy()


def test_late_finish_release_does_not_affect_newer_release(engine: Engine) -> None:
    late = engine.own()
    engine.settle(late, VERIFIED, release_lock=3.0)
    engine.pass_by(4)
    token = engine.own(GUESS)
    engine.settle(token, VERIFIED, GUESS, release_lock=3.0)
    engine.ledger.finish_release(GUESS, token, removed=False, deadline=engine.deadline)
    engine.ledger.finish_release(keys(), late, removed=True, deadline=engine.deadline)
    assert engine.acquire(keys("next", code="000007")).release_pending


def test_expired_claim_counts_as_call_until_end_of_lease(engine: Engine) -> None:
    engine.own(lease=10)
    engine.pass_by(11)
    engine.end(VERIFIED, OTHER, sent_at=None)
    engine.end(None, GUESS)
    unknown = engine.acquire_unknown(GUESS)
    assert near(unknown.competing_calls[0], unknown.now - 11, unknown.now - 1)


# -- releasing contacts --


def test_pending_release_is_reported_until_finished(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, release_lock=3.0)
    assert isinstance(engine.claim(), Replay)
    assert engine.claim(GUESS) == ContactBusy()
    engine.ledger.finish_release(keys(), token, removed=False, deadline=engine.deadline)
    assert engine.acquire(GUESS, "t").release_pending
    engine.ledger.finish_release(GUESS, "t", removed=True, deadline=engine.deadline)
    assert engine.claim(GUESS) == InFlight()
    engine.release("t", GUESS)
    assert not engine.acquire(GUESS).release_pending


def test_pending_release_applies_to_one_spelling(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, release_lock=3.0)
    engine.pass_by(4)
    assert not engine.acquire(keys("x", contact="+8618766554433", code="000001")).release_pending


def test_verified_and_released_pair_is_already_verified(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, release_lock=3.0)
    engine.ledger.finish_release(keys(), token, removed=True, deadline=engine.deadline)
    claim = engine.claim(OTHER)
    assert claim == ShortCircuited(Record("already-verified", contact_type=1))
    assert isinstance(engine.claim(OTHER), Replay)
    assert engine.claim() == Replay(VERIFIED)
    assert isinstance(engine.claim(GUESS), Acquired)


def test_interrupted_release_unlocks_contact_after_timeout(engine: Engine) -> None:
    token = engine.own()
    engine.settle(token, VERIFIED, release_lock=3.0)
    engine.pass_by(4)
    assert engine.acquire(GUESS).release_pending


# -- concurrent claims --


def test_concurrent_claims_have_one_owner(engine: Engine) -> None:
    claims: list[Claim] = []
    threads = [threading.Thread(target=lambda: claims.append(engine.claim())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (claims.count(Acquired()), claims.count(InFlight())) == (1, 19)


def test_ping_succeeds(engine: Engine) -> None:
    engine.ledger.ping(deadline=engine.deadline)


def test_policy_retention_covers_ttl_wrong_codes_and_history() -> None:
    assert Policy(60, 5, 86_400, 1).retention == 86_400
    assert Policy(60, 5, 1, 1).retention == 4000
