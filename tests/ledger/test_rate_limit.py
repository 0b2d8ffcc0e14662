"""Test the ledger's contract: evenly spaced slots for calls, and fewer after a throttled call."""

from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from signup_bridge.ledger import RateLimited, Replay, Slot

from tests.support.ledgers import GUESS, WRONG, Engine, Make, keys


def test_slots_are_evenly_spaced(make: Make) -> None:
    engine = make(interval=0.5)
    waits = [engine.acquire(keys(f"m{n}", contact=f"1008{n}00")).wait for n in range(4)]
    assert waits == pytest.approx([0, 0.5, 1.0, 1.5], abs=0.3)
    assert waits == sorted(waits)


def test_slot_beyond_max_wait_is_not_reserved(make: Make) -> None:
    engine = make(interval=4.0)
    engine.own(keys("a"))
    engine.own(keys("b", contact="10086"))
    for name in "cd":
        claim = engine.claim(keys(name, contact=f"1001{ord(name)}"))
        assert isinstance(claim, RateLimited)
        assert claim.wait == pytest.approx(8, abs=1)
        assert engine.look(keys(name, contact=f"1001{ord(name)}")) is None


def test_each_action_has_its_own_rate(make: Make) -> None:
    engine = make(interval=4.0)
    for action in ("DescribeIntlPhoneEmailList", "DeleteIntlPhoneEmail"):
        first = engine.ledger.reserve_slot(action, max_wait=5, deadline=engine.deadline)
        second = engine.ledger.reserve_slot(action, max_wait=5, deadline=engine.deadline)
        third = engine.ledger.reserve_slot(action, max_wait=5, deadline=engine.deadline)
        assert (first, second.fits, third.fits) == (Slot(0.0, fits=True), True, False)
        assert second.wait == pytest.approx(4, abs=1)
    assert engine.acquire().wait == 0


def test_replays_and_rejections_reserve_no_slot(make: Make) -> None:
    engine = make(interval=100)
    engine.end(WRONG)
    assert isinstance(engine.claim(), Replay)
    assert isinstance(engine.claim(GUESS), RateLimited)


def test_throttle_slows_rate_which_recovers(make: Make) -> None:
    engine = make(interval=1.0)

    def step() -> float:
        engine.pass_by(0.01)
        slots = [engine.ledger.reserve_slot("x", max_wait=1e6, deadline=engine.deadline).wait for _ in range(2)]
        return slots[1] - slots[0]

    def slow_down() -> None:
        engine.ledger.throttle("x", deadline=engine.deadline)

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


def test_clock_set_back_does_not_delay_slots(engine: Engine) -> None:
    engine.own(keys("a"))
    engine.own(keys("b", contact="10086"))
    engine.pass_by(-86_400)
    assert engine.acquire(keys("c", contact="10010")).wait == 0
    assert engine.acquire(keys("a")).unknown_outcome


def test_concurrent_claims_get_distinct_slots(make: Make) -> None:
    engine = make(interval=0.25)
    waits: list[float] = []

    def claim(number: int) -> None:
        waits.append(engine.acquire(keys(f"m{number}", contact=f"{number:09}")).wait)

    threads = [threading.Thread(target=claim, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    waits.sort()
    assert all(late - early > 0.24 for early, late in pairwise(waits))
