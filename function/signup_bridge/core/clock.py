"""Clocks, deadlines on them, and the lock that threads release while they wait.

Nothing else in the package reads a clock, so that tests can replace it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, get_ident
from typing import Protocol

MAX_LOCK_WAIT = 0.1
"""Seconds that a thread waits for a `CpuLock`. It then continues without the lock, and so do the others until the
holder releases it. A thread that hangs, or whose caller does not read the response, therefore does not stop them."""


class CpuLock:
    """Lets one thread at a time compute.

    Python's own lock does so too, but each step of SQLite and each use of a socket gives it up: about a hundred times
    for one delivery. If other threads compete for it, each time can cost a switch of threads.
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
        """Let other threads compute while this one waits."""
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
