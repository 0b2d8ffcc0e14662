"""Test that the circuit breaker opens after ten failures and closes after a successful probe."""

from __future__ import annotations

import pytest
from signup_bridge.upstream.circuit_breaker import CircuitBreaker

from tests.support.bridge.clocks import StillClock


def test_breaker_after_ten_failures_opens_and_doubles_with_each_failed_probe() -> None:
    clock = StillClock()
    breaker = CircuitBreaker(clock)
    for _ in range(9):
        breaker.record(replied=False)
    breaker.record(replied=True)
    for _ in range(9):
        breaker.record(replied=False)
    assert breaker.open_for() == 0
    for _ in range(5):  # calls that were in progress count once
        breaker.record(replied=False)
    lengths = []
    for _ in range(6):
        lengths.append(breaker.open_for())
        clock.run += lengths[-1] + 0.01
        assert breaker.open_for() == 0
        assert breaker.open_for() > 0  # one probe at a time
        breaker.record(replied=False)
    assert lengths == pytest.approx([1, 2, 4, 8, 15, 15], abs=0.1)
    clock.run += 16
    assert breaker.open_for() == 0
    breaker.record(replied=True)
    assert [breaker.open_for() for _ in range(3)] == [0, 0, 0]
    for _ in range(10):
        breaker.record(replied=False)
    assert breaker.open_for() == pytest.approx(1, abs=0.1)
