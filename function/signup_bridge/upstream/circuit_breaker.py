"""Stop calling an API that does not reply, and probe it until it replies.

Each instance has its own breaker, because another instance may still reach the API.
"""

from __future__ import annotations

import threading

from signup_bridge.core.clock import Clock, Stopwatch


class CircuitBreaker:
    """Opens after ten consecutive calls without a reply, then permits one probe at a time. Thread-safe."""

    FAILURE_THRESHOLD = 10
    MIN_OPEN, MAX_OPEN = 1.0, 15.0
    """Seconds that the circuit stays open, doubled for each probe that fails."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._length = 0.0
        self._since = Stopwatch(clock)
        self._probing = False

    def open_for(self) -> float:
        """Return the seconds for which no call may start. 0.0 permits one call, which `record` must report."""
        with self._lock:
            if self._failures < self.FAILURE_THRESHOLD:
                return 0.0
            left = self._length - self._since.seconds()
            if left > 0:
                return left
            if self._probing:
                return self._length
            self._probing = True
            return 0.0

    def record(self, *, replied: bool) -> None:
        """Record the end of a permitted call. ``replied``: the API returned a reply of any kind."""
        with self._lock:
            if replied:
                self._failures, self._length, self._probing = 0, 0.0, False
                return
            self._failures += 1
            if self._failures == self.FAILURE_THRESHOLD or self._probing:
                self._length = min(self.MAX_OPEN, max(self.MIN_OPEN, self._length * 2))
                self._since = Stopwatch(self._clock)
                self._probing = False
