"""Time, as a value that is passed in, and the deadline made from it.

Nothing else in the package reads a clock, so that a test can set it.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Where the time comes from."""

    def time(self) -> float:
        """Unix time in seconds."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start, never going back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's clocks."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Stopwatch:
    """Seconds since it was made, by whichever of the two clocks says more.

    A frozen virtual machine's monotonic clock may stand still while it sleeps, and a wall clock may be set back: the
    larger of the two never takes something old for young.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._monotonic = clock.time(), clock.monotonic()

    def seconds(self) -> float:
        return max(self._clock.time() - self._wall, self._clock.monotonic() - self._monotonic)


class Deadline:
    """The moment by which a delivery must be answered: ``budget`` seconds from now.

    ``total`` is the whole budget of the work, in seconds, of which a part may be spent already.
    """

    def __init__(self, clock: Clock, budget: float, *, total: float | None = None) -> None:
        self._clock = clock
        self._elapsed = Stopwatch(clock)
        self._budget = budget
        self.total = budget if total is None else total

    def remaining(self) -> float:
        """Seconds that are left, 0.0 when it has passed."""
        return max(0.0, self._budget - self._elapsed.seconds())

    def earlier(self, seconds: float) -> Deadline:
        """The moment that is ``seconds`` before this one."""
        return Deadline(self._clock, max(0.0, self._budget - self._elapsed.seconds() - seconds), total=self.total)

    def within(self, seconds: float) -> Deadline:
        """``seconds`` from now, or this moment if it comes first."""
        return Deadline(self._clock, min(seconds, self.remaining()))
