"""Stop calling an API that does not reply, and probe until it does.

Each instance has its own breaker: another instance may still reach the API.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from signup_bridge.core.clock import Clock, Stopwatch


class _Call:
    """Set ``replied`` if the API replied, with any reply."""

    replied = False


class CircuitBreaker:
    """Open after ten consecutive calls without a reply, then let through one probe at a time. Safe for threads."""

    FAILURE_THRESHOLD = 10
    MIN_OPEN, MAX_OPEN = 1.0, 15.0
    """Seconds that the circuit stays open; doubled for each probe that fails."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._length = 0.0
        self._since = Stopwatch(clock)
        self._probing = False

    def open_for(self) -> float:
        """Return the seconds for which no call may start. 0.0 permits one call, which must run inside `call`."""
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

    @contextmanager
    def call(self) -> Iterator[_Call]:
        """Record the result of a permitted call. The caller sets ``replied`` on the yielded object."""
        permitted = _Call()
        try:
            yield permitted
        finally:
            with self._lock:
                if permitted.replied:
                    self._failures, self._length, self._probing = 0, 0.0, False
                else:
                    self._record_failure()

    def _record_failure(self) -> None:
        self._failures += 1
        if self._failures == self.FAILURE_THRESHOLD or self._probing:
            self._length = min(self.MAX_OPEN, max(self.MIN_OPEN, self._length * 2))
            self._since = Stopwatch(self._clock)
            self._probing = False
