"""Measure the latency of recent API calls, so that no call starts that cannot finish in time."""

from __future__ import annotations

import math
import threading
from collections import deque

from signup_bridge.core.clock import Clock, Stopwatch

WINDOW = 60.0
"""Seconds for which a call counts."""

SAMPLES = 1200
"""Maximum number of recorded calls: those of one minute at 20 calls a second."""

_RECALCULATE_AFTER = 1.0
"""Seconds for which a percentile is cached: sorting the calls takes 0.1 ms."""


class RecentLatency:
    """The durations of one action's calls within `WINDOW`. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: deque[tuple[Stopwatch, float]] = deque(maxlen=SAMPLES)
        self._percentile: tuple[Stopwatch, float] | None = None

    def add(self, seconds: float) -> None:
        """Record a call that has just finished."""
        with self._lock:
            self._calls.append((Stopwatch(self._clock), seconds))

    def p95(self) -> float:
        """Return the 95th percentile in seconds (nearest rank), at most a second old; 0.0 without calls."""
        with self._lock:
            if self._percentile and self._percentile[0].seconds() < _RECALCULATE_AFTER:
                return self._percentile[1]
            while self._calls and self._calls[0][0].seconds() > WINDOW:
                self._calls.popleft()
            durations = sorted(seconds for _, seconds in self._calls)
            value = durations[math.ceil(0.95 * len(durations)) - 1] if durations else 0.0
            self._percentile = Stopwatch(self._clock), value
            return value
