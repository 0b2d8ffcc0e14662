"""Clocks, and deadlines on them. Nothing else in the package reads a clock, so that tests can replace it."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """The functions of the module `time` that the bridge uses."""

    def time(self) -> float: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class Stopwatch:
    """Measures the seconds since its creation, on whichever of the two clocks shows more.

    The monotonic clock of a frozen virtual machine may stop, and a wall clock may be set back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._monotonic = clock.time(), clock.monotonic()

    def seconds(self) -> float:
        return max(self._clock.time() - self._wall, self._clock.monotonic() - self._monotonic)


class Deadline:
    """The moment ``budget`` seconds from now. ``total`` is the budget of the whole work, including the time spent."""

    def __init__(self, clock: Clock, budget: float, *, total: float | None = None) -> None:
        self._clock = clock
        self._elapsed = Stopwatch(clock)
        self._budget = budget
        self.total = budget if total is None else total

    def remaining(self) -> float:
        """Return the seconds left, 0.0 after the deadline."""
        return max(0.0, self._budget - self._elapsed.seconds())

    def earlier(self, seconds: float) -> Deadline:
        """Return the deadline that is ``seconds`` before this one."""
        return Deadline(self._clock, max(0.0, self._budget - self._elapsed.seconds() - seconds), total=self.total)

    def within(self, seconds: float) -> Deadline:
        """Return the deadline ``seconds`` from now, or an equal one to this if it is earlier."""
        return Deadline(self._clock, min(seconds, self.remaining()))
