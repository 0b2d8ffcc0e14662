"""When a call may leave: evenly, a little below the account's quota, over everything that shares a ledger.

The arithmetic of one action's pace (a generic cell rate algorithm without burst), and the pause after a run of
failures. It must never let calls bunch up, nor stop for good.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from .clock import Clock, Stopwatch

SHARE = 0.96
"""Of the quota. At exactly 20 a second, 9 calls in 200 are refused: two clocks never agree on what a second is."""

SLOWER = 0.7
"""What the rate is multiplied by, once a second at most, when the API refuses a call for its quota."""

SLOWEST = 0.25
FASTER = 0.1
"""The floor of the rate's factor, and what it gains back in a second."""


def interval(rate: float) -> float:
    """Seconds between two calls of one action, for a quota of ``rate`` a second."""
    return 1 / (SHARE * rate)


class Pace(NamedTuple):
    """One action's pace. Times are Unix seconds: ``free`` is the next free slot, ``at`` when it was last changed.

    ``factor`` is what the rate was multiplied by at ``slowed``.
    """

    free: float = 0.0
    at: float = 0.0
    factor: float = 1.0
    slowed: float = 0.0

    def factor_at(self, now: float) -> float:
        """What the rate is multiplied by. A refusal from before the clock was set back says nothing."""
        since = now - self.slowed
        return 1.0 if since < -1 else min(1.0, self.factor + FASTER * max(0.0, since))

    def slot(self, now: float) -> float:
        """The next free slot. One that was written before the clock was set back says nothing."""
        return now if self.at > now + 1 else max(now, self.free)

    def taken(self, now: float, interval: float) -> Pace:
        """The pace after the next free slot was taken."""
        return self._replace(free=self.slot(now) + interval / self.factor_at(now), at=now)

    def slower(self, now: float) -> Pace:
        """The pace after a refusal."""
        if self.factor < 1 and 0 <= now - self.slowed < 1:
            return self
        return self._replace(factor=max(SLOWEST, self.factor_at(now) * SLOWER), slowed=now)


class Watched:
    """A call that was, or was not, answered."""

    answered = False


class Pause:
    """No calls for a while after ten in a row that were never sent or never answered, then one probe at a time.

    It is this instance's own: what cannot be reached from here may be from elsewhere. Safe for threads.
    """

    RUN = 10
    SHORTEST, LONGEST = 1.0, 15.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._length = 0.0
        self._since = Stopwatch(clock)
        self._probing = False

    def left(self) -> float:
        """Seconds for which no call may leave. 0.0 lets the caller make one, inside `watch`."""
        with self._lock:
            if self._failures < self.RUN:
                return 0.0
            left = self._length - self._since.seconds()
            if left > 0:
                return left
            if self._probing:
                return self._length
            self._probing = True
            return 0.0

    @contextmanager
    def watch(self) -> Iterator[Watched]:
        """Around a call that `left` let go: who makes it notes that it was ``answered``, whatever the answer was."""
        watched = Watched()
        try:
            yield watched
        finally:
            with self._lock:
                if watched.answered:
                    self._failures, self._length, self._probing = 0, 0.0, False
                else:
                    self._failed()

    def _failed(self) -> None:
        self._failures += 1
        if self._failures == self.RUN or self._probing:
            self._length = min(self.LONGEST, max(self.SHORTEST, self._length * 2))
            self._since = Stopwatch(self._clock)
            self._probing = False
