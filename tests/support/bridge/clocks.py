"""Clocks that a test controls."""

from __future__ import annotations

import threading

from signup_bridge.core.clock import SystemClock


class SetClock(SystemClock):
    """The machine's clocks, which the test moves separately."""

    def __init__(self) -> None:
        self.wall = self.run = 0.0

    def time(self) -> float:
        return super().time() + self.wall

    def monotonic(self) -> float:
        return super().monotonic() + self.run


class StillClock(SetClock):
    """Clocks that only the test and the bridge's sleeps move, so that a slow machine has no effect.

    A wait on a socket still takes real time, at most the rest of the budget.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start = SystemClock().time(), SystemClock().monotonic()
        self._lock = threading.Lock()

    def time(self) -> float:
        return self._start[0] + self.wall

    def monotonic(self) -> float:
        return self._start[1] + self.run

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.wall += seconds
            self.run += seconds
