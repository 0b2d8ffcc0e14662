"""Limit how many deliveries are in progress, how many wait, and when rejected senders retry. Thread-safe."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Deadline, cpu_lock
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.core.rate_limit import RateLimiterState

MAX_RETRY_AFTER = 60.0
"""The maximum delay of a rejected sender's retry, in seconds."""

MAX_LEDGER_QUERIES, LEDGER_QUERY_TIMEOUT = 2, 1.0
"""Maximum number of concurrent requests that only read the ledger, and the seconds for each. If the ledger hangs,
threads remain free for /health."""

LEDGER_QUERY_WAIT = 0.2
"""Seconds that such a request may wait for its permit."""


class ConcurrencyLimiter:
    """A bulkhead of ``count`` permits, with a queue. Rejected senders retry ``interval`` seconds apart."""

    def __init__(self, count: int, interval: float, clock: Clock, *, max_queued: int) -> None:
        self._free = count
        self._queue_slots = threading.Semaphore(max_queued)
        self._interval = interval
        self._clock = clock
        self._lock = threading.Condition()
        self._in_flight: Counter[bytes] = Counter()
        self._pace = RateLimiterState()

    @contextmanager
    def acquire(self, delivery: bytes) -> Iterator[bool]:
        """Acquire a permit for the delivery with this keyed hash; False if none is free."""
        with self._lock:
            acquired = self._free > 0
            if acquired:
                self._free -= 1
                self._in_flight[delivery] += 1
        try:
            yield acquired
        finally:
            if acquired:
                with self._lock:
                    self._free += 1
                    self._in_flight[delivery] -= 1
                    if not self._in_flight[delivery]:
                        del self._in_flight[delivery]
                    self._lock.notify()

    def is_in_flight(self, delivery: bytes) -> bool:
        """Return whether the delivery has a permit. The ledger may not have stored it yet."""
        with self._lock:
            return delivery in self._in_flight

    def wait(self, seconds: float) -> bool:
        """Wait for a free permit; return False if there is none in time. Another thread may acquire it first."""
        with cpu_lock.released(), self._lock:
            return self._lock.wait_for(lambda: self._free > 0, seconds)

    @contextmanager
    def queue(self) -> Iterator[bool]:
        """Take a place in the queue; False if it is full."""
        acquired = self._queue_slots.acquire(blocking=False)
        try:
            yield acquired
        finally:
            if acquired:
                self._queue_slots.release()

    def next_retry_after(self) -> float:
        """Return the seconds after which a rejected sender should retry."""
        with self._lock:
            now = self._clock.monotonic()
            delay = self._pace.next_slot(now) - now
            if delay < MAX_RETRY_AFTER:
                self._pace = self._pace.after_reserve(now, self._interval)
            return delay


class LedgerQueryLimiter:
    """A bulkhead for requests that only read the ledger."""

    def __init__(self) -> None:
        self._permits = threading.Semaphore(MAX_LEDGER_QUERIES)

    @contextmanager
    def acquire(self, deadline: Deadline) -> Iterator[Deadline]:
        """Wait for a permit, and yield the query's own deadline. Raises RequestRejected."""
        with cpu_lock.released():
            acquired = self._permits.acquire(timeout=LEDGER_QUERY_WAIT)
        if not acquired:
            raise RequestRejected(outcomes.OVERLOADED)
        try:
            yield deadline.within(LEDGER_QUERY_TIMEOUT)
        finally:
            self._permits.release()
