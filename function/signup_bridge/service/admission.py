"""How many deliveries are worked on at once, how many wait, and when one too many may come again. Safe for threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from signup_bridge.core.clock import Clock
from signup_bridge.core.rate_limit import Pace
from signup_bridge.settings import WAITING

LONGEST_ABSENCE = 60.0
"""Seconds after which whoever was one too many is asked to come again at the latest."""


class Places:
    """``count`` places for work, and `WAITING` seats. Who finds neither is called again, ``interval`` seconds apart."""

    def __init__(self, count: int, interval: float, clock: Clock) -> None:
        self._free = count
        self._seats = threading.Semaphore(WAITING)
        self._interval = interval
        self._clock = clock
        self._lock = threading.Condition()
        self._at_work: Counter[bytes] = Counter()
        self._pace = Pace()

    @contextmanager
    def place(self, delivery: bytes) -> Iterator[bool]:
        """A place for the delivery of this name for a while, if there is one."""
        with self._lock:
            taken = self._free > 0
            if taken:
                self._free -= 1
                self._at_work[delivery] += 1
        try:
            yield taken
        finally:
            if taken:
                with self._lock:
                    self._free += 1
                    self._at_work[delivery] -= 1
                    if not self._at_work[delivery]:
                        del self._at_work[delivery]
                    self._lock.notify()

    def has(self, delivery: bytes) -> bool:
        """Whether the delivery has a place: the ledger need not know of it yet."""
        with self._lock:
            return delivery in self._at_work

    def wait(self, seconds: float) -> bool:
        """Whether there is a free place within so many seconds; somebody else may take it first."""
        with self._lock:
            return self._lock.wait_for(lambda: self._free > 0, seconds)

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """A seat for one who waits, if there is one."""
        taken = self._seats.acquire(blocking=False)
        try:
            yield taken
        finally:
            if taken:
                self._seats.release()

    def retry_after(self) -> float:
        """Seconds until one who found no place should come again."""
        with self._lock:
            now = self._clock.monotonic()
            absence = self._pace.slot(now) - now
            if absence < LONGEST_ABSENCE:
                self._pace = self._pace.taken(now, self._interval)
            return absence
