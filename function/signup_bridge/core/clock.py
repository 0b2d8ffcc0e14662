"""Clocks, deadlines, and the lock that threads release while they wait.

Other modules receive a `Clock` as a parameter, so that tests can replace it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Protocol

MAX_LOCK_WAIT = 0.1
"""Seconds that a thread waits for a `CpuLock`. After that, all threads continue without the lock until its holder
releases it, so that a thread that hangs, or whose caller does not read the response, does not block the others."""


class CpuLock:
    """Allows one thread at a time to compute.

    The interpreter's own lock does this too, but SQLite and sockets release it about a hundred times per delivery. If
    other threads compete for it, each release can cause a thread switch.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._holder: int | None = None
        self._is_stuck = False

    @contextmanager
    def held(self) -> Iterator[bool]:
        """Hold the lock; False if it is not free within `MAX_LOCK_WAIT`."""
        try:
            yield self._acquire()
        finally:
            self._release()

    @contextmanager
    def released(self) -> Iterator[None]:
        """Release the lock while this thread waits, if this thread holds it."""
        was_held = self._release()
        try:
            yield
        finally:
            if was_held:
                self._acquire()

    def _acquire(self) -> bool:
        acquired = self._lock.acquire(timeout=0.0 if self._is_stuck else MAX_LOCK_WAIT)
        if acquired:
            self._holder = get_ident()
        self._is_stuck = not acquired
        return acquired

    def _release(self) -> bool:
        """Release the lock; False if this thread does not hold it."""
        is_holder = self._holder == get_ident()
        if is_holder:
            self._holder, self._is_stuck = None, False
            self._lock.release()
        return is_holder


cpu_lock = CpuLock()
"""The lock of this process."""


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
        with cpu_lock.released():
            time.sleep(seconds)


class Stopwatch:
    """Measures the seconds since its creation on two clocks, and returns the larger value.

    The monotonic clock of a frozen virtual machine may stop, and the wall clock may be set back.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall, self._monotonic = clock.time(), clock.monotonic()

    def seconds(self) -> float:
        return max(self._clock.time() - self._wall, self._clock.monotonic() - self._monotonic)


class Deadline:
    """A point in time ``budget`` seconds from now. ``total`` is the whole budget, including the time already spent."""

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
        """Return the deadline ``seconds`` from now, or this one if it is earlier."""
        return Deadline(self._clock, min(seconds, self.remaining()))
