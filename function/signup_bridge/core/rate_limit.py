"""When a call may leave: evenly, a little below the account's quota, over everything that shares a ledger.

The arithmetic of one action's pace: a generic cell rate algorithm (GCRA) without burst.

"""

from __future__ import annotations

from typing import NamedTuple

QUOTA_FRACTION = 0.96
"""Of the quota. At exactly 20 a second, 9 calls in 200 are refused: two clocks never agree on what a second is."""

BACKOFF_FACTOR = 0.7
"""What the rate is multiplied by, once a second at most, when the API refuses a call for its quota."""

MIN_RATE_FACTOR = 0.25
RECOVERY_PER_SECOND = 0.1
"""The floor of the rate's factor, and what it gains back in a second."""


def interval(rate: float) -> float:
    """Seconds between two calls of one action, for a quota of ``rate`` a second."""
    return 1 / (QUOTA_FRACTION * rate)


class RateLimiterState(NamedTuple):
    """One action's pace. Times are Unix seconds: ``free`` is the next free slot, ``at`` when it was last changed.

    ``throttled_factor`` is what the rate was multiplied by at ``throttled_at``.
    """

    free: float = 0.0
    at: float = 0.0
    throttled_factor: float = 1.0
    throttled_at: float = 0.0

    def factor(self, now: float) -> float:
        """What the rate is multiplied by. A refusal from before the clock was set back says nothing."""
        since = now - self.throttled_at
        return 1.0 if since < -1 else min(1.0, self.throttled_factor + RECOVERY_PER_SECOND * max(0.0, since))

    def next_slot(self, now: float) -> float:
        """The next free slot. One that was written before the clock was set back says nothing."""
        return now if self.at > now + 1 else max(now, self.free)

    def after_reserve(self, now: float, interval: float) -> RateLimiterState:
        """The pace after the next free slot was taken."""
        return self._replace(free=self.next_slot(now) + interval / self.factor(now), at=now)

    def after_throttle(self, now: float) -> RateLimiterState:
        """The pace after a refusal."""
        if self.throttled_factor < 1 and 0 <= now - self.throttled_at < 1:
            return self
        return self._replace(throttled_factor=max(MIN_RATE_FACTOR, self.factor(now) * BACKOFF_FACTOR), throttled_at=now)
