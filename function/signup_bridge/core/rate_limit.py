"""The rate limit of one action: evenly spaced calls, slightly below the account's quota.

It is a generic cell rate algorithm (GCRA) without bursts, for all instances that share a ledger.
"""

from __future__ import annotations

from typing import NamedTuple

QUOTA_FRACTION = 0.96
"""The fraction of the quota to use. At exactly 20 calls a second, the API rejects 9 of 200 because clocks differ."""

BACKOFF_FACTOR = 0.7
"""The factor by which the rate drops, at most once a second, if the API rejects a call because of its rate limit."""

MIN_RATE_FACTOR = 0.25
RECOVERY_PER_SECOND = 0.1
"""The minimum factor of the rate, and its recovery per second."""


def interval(rate: float) -> float:
    """Return the seconds between two calls of one action, for a quota of ``rate`` a second."""
    return 1 / (QUOTA_FRACTION * rate)


class RateLimiterState(NamedTuple):
    """The state of one action. Times are Unix seconds.

    ``free`` is the next free slot, ``at`` the time of the last reservation, ``throttled_factor`` the factor of the rate
    at ``throttled_at``.
    """

    free: float = 0.0
    at: float = 0.0
    throttled_factor: float = 1.0
    throttled_at: float = 0.0

    def factor(self, now: float) -> float:
        """Return the factor of the rate. It ignores a rejection from before the clock was set back."""
        since = now - self.throttled_at
        return 1.0 if since < -1 else min(1.0, self.throttled_factor + RECOVERY_PER_SECOND * max(0.0, since))

    def next_slot(self, now: float) -> float:
        """Return the next free slot. It ignores a reservation from before the clock was set back."""
        return now if self.at > now + 1 else max(now, self.free)

    def after_reserve(self, now: float, interval: float) -> RateLimiterState:
        """Return the state with the next free slot reserved."""
        return self._replace(free=self.next_slot(now) + interval / self.factor(now), at=now)

    def after_throttle(self, now: float) -> RateLimiterState:
        """Return the state after the API rejected a call because of its rate limit."""
        if self.throttled_factor < 1 and 0 <= now - self.throttled_at < 1:
            return self
        return self._replace(throttled_factor=max(MIN_RATE_FACTOR, self.factor(now) * BACKOFF_FACTOR), throttled_at=now)
