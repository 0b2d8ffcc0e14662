from __future__ import annotations

import pytest
from signup_bridge.service.admission import MAX_RETRY_AFTER, ConcurrencyLimiter

from tests.support.bridge.clocks import StillClock


def test_limiter_spreads_the_retries_of_rejected_senders() -> None:
    clock = StillClock()
    places = ConcurrencyLimiter(1, 0.5, clock, max_queued=1)
    assert [places.next_retry_after() for _ in range(3)] == pytest.approx([0, 0.5, 1.0], abs=0.1)
    clock.run += 10
    assert places.next_retry_after() == pytest.approx(0, abs=0.1)
    turns = [places.next_retry_after() for _ in range(500)]
    assert turns[-1] == pytest.approx(MAX_RETRY_AFTER, abs=1)
    assert places.next_retry_after() == pytest.approx(MAX_RETRY_AFTER, abs=1)


def test_limiter_permit_is_exclusive_and_released() -> None:
    places = ConcurrencyLimiter(1, 0.5, StillClock(), max_queued=1)
    with places.acquire(b"one") as taken, places.acquire(b"two") as other:
        assert (taken, other) == (True, False)
        assert (places.is_in_flight(b"one"), places.is_in_flight(b"two")) == (True, False)
        assert not places.wait(0.01)
    assert not places.is_in_flight(b"one")
    assert places.wait(0.01)
