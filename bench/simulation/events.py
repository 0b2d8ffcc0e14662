"""The simulated world's clock: processes that wait, resumed in the order of their times. It knows nothing of bridges.

A process is a generator. It yields the seconds that it sleeps, or a `Wait`, which is answered by whether it was woken.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Generator
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class Bell:
    """Where processes wait; each ring wakes the one that has waited longest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: deque[Sleeper] = deque()

    def ring(self) -> bool:
        """Whether there was one to wake."""
        while self.waiting:
            sleeper = self.waiting.popleft()
            if not sleeper.awake:
                self._world.wake(sleeper)
                return True
        return False


class Wait(NamedTuple):
    """Wait until the bell wakes this process, so many seconds at most."""

    bell: Bell
    seconds: float = math.inf


Steps = Generator["float | Wait", bool, T]
"""A process, or a part of one, that comes to a T."""


class Sleeper:
    """A process that waits; ``awake``: it does so no more, whatever it is still noted for."""

    def __init__(self, process: Steps[Any], *, told: bool = False) -> None:
        self.process = process
        self.told = told
        self.awake = False


class World:
    """The processes and their time. It is a `bridge.clock.Clock` whose two clocks agree."""

    def __init__(self) -> None:
        self.now = 0.0
        self._agenda: list[tuple[float, int, Sleeper]] = []
        self._noted = 0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        raise NotImplementedError("a process yields the seconds that it sleeps")

    def start(self, process: Steps[Any], *, after: float = 0.0) -> None:
        self._note(after, Sleeper(process))

    def wake(self, sleeper: Sleeper) -> None:
        """Let it go on, now, behind all that is due now."""
        sleeper.awake = True
        self._note(0.0, Sleeper(sleeper.process, told=True))

    def run(self) -> None:
        """Until nobody has anything left to do."""
        while self._agenda:
            at, _, sleeper = heapq.heappop(self._agenda)
            if not sleeper.awake:
                sleeper.awake = True
                self.now = at
                self._resume(sleeper)

    def _resume(self, sleeper: Sleeper) -> None:
        process = sleeper.process
        try:
            wanted = process.send(sleeper.told) if sleeper.told else next(process)
        except StopIteration:
            return
        resumed = Sleeper(process)
        if isinstance(wanted, Wait):
            wanted.bell.waiting.append(resumed)
        seconds = wanted.seconds if isinstance(wanted, Wait) else wanted
        if seconds < math.inf:
            self._note(seconds, resumed)

    def _note(self, seconds: float, sleeper: Sleeper) -> None:
        self._noted += 1  # what is due at the same time comes in the order in which it was noted
        heapq.heappush(self._agenda, (self.now + seconds, self._noted, sleeper))


class Crew:
    """So many at a time; the others wait in line."""

    def __init__(self, world: World, count: int) -> None:
        self._free = count
        self._line = Bell(world)

    def enter(self) -> Steps[None]:
        if self._free:
            self._free -= 1
        else:
            yield Wait(self._line)

    def leave(self) -> None:
        """Who waits longest enters instead."""
        if not self._line.ring():
            self._free += 1


class Processor:
    """One processor: one piece of work after the other, in the order in which they are asked for."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._free = 0.0

    def work(self, seconds: float) -> float:
        """The seconds until a piece of work, which takes so long by itself, is done."""
        self._free = max(self._free, self._world.now) + seconds
        return self._free - self._world.now
