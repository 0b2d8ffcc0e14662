"""How many deliveries are worked on at once, how many wait, and when one too many may come again. Safe for threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from signup_bridge.core.clock import Clock
from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.settings import MAX_QUEUED

MAX_RETRY_AFTER = 60.0
"""Seconds after which whoever was one too many is asked to come again at the latest."""


class ConcurrencyLimiter:
    """``count`` places for work, and `WAITING` seats. Who finds neither is called again, ``interval`` seconds apart."""

    def __init__(self, count: int, interval: float, clock: Clock) -> None:
        self._free = count
        self._queue_slots = threading.Semaphore(MAX_QUEUED)
        self._interval = interval
        self._clock = clock
        self._lock = threading.Condition()
        self._in_flight: Counter[bytes] = Counter()
        self._pace = RateLimiterState()

    @contextmanager
    def acquire(self, delivery: bytes) -> Iterator[bool]:
        """A place for the delivery of this name for a while, if there is one."""
        with self._lock:
            taken = self._free > 0
            if taken:
                self._free -= 1
                self._in_flight[delivery] += 1
        try:
            yield taken
        finally:
            if taken:
                with self._lock:
                    self._free += 1
                    self._in_flight[delivery] -= 1
                    if not self._in_flight[delivery]:
                        del self._in_flight[delivery]
                    self._lock.notify()

    def is_in_flight(self, delivery: bytes) -> bool:
        """Whether the delivery has a place: the ledger need not know of it yet."""
        with self._lock:
            return delivery in self._in_flight

    def wait(self, seconds: float) -> bool:
        """Whether there is a free place within so many seconds; somebody else may take it first."""
        with self._lock:
            return self._lock.wait_for(lambda: self._free > 0, seconds)

    @contextmanager
    def queue(self) -> Iterator[bool]:
        """A seat for one who waits, if there is one."""
        taken = self._queue_slots.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._queue_slots.release()

    def next_retry_after(self) -> float:
        """Seconds until one who found no place should come again."""
        with self._lock:
            now = self._clock.monotonic()
            absence = self._pace.next_slot(now) - now
            if absence < MAX_RETRY_AFTER:
                self._pace = self._pace.after_reserve(now, self._interval)
            return absence
