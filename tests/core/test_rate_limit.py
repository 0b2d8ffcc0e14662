"""Test the rate limiter: evenly spaced slots, and a lower rate after a throttled call."""

from __future__ import annotations

import pytest
from signup_bridge.core.rate_limit import RateLimiterState, interval


def test_interval_of_a_quota_is_a_little_longer_than_its_share() -> None:
    assert interval(20) == pytest.approx(1 / 19.2)


def test_rate_limiter_reserves_one_slot_after_the_other() -> None:
    limiter, slots = RateLimiterState(), []
    for _ in range(3):
        slots.append(limiter.next_slot(100.0))
        limiter = limiter.after_reserve(100.0, 0.05)
    assert slots == pytest.approx([100.0, 100.05, 100.1])
    assert limiter.next_slot(200.0) == 200.0
    assert limiter.next_slot(50.0) == 50.0


def test_rate_limiter_when_throttled_slows_down_to_a_quarter_and_recovers() -> None:
    limiter = RateLimiterState().after_throttle(10.0)
    assert limiter.factor(10.0) == 0.7
    assert limiter.after_throttle(10.9) == limiter
    assert limiter.after_throttle(11.0).factor(11.0) == pytest.approx(0.8 * 0.7)
    for second in range(11, 30):
        limiter = limiter.after_throttle(float(second))
    assert limiter.factor(29.0) == 0.25
    assert limiter.factor(33.0) == pytest.approx(0.65)
    assert limiter.factor(99.0) == 1.0
    assert limiter.factor(28.5) == 0.25
    assert limiter.factor(0.0) == 1.0
    assert limiter.after_reserve(29.0, 1.0).free == pytest.approx(33.0)
