"""SCF's CKafka trigger in simulated time: consumers that hand batches of messages to the event function.

What the function does follows `bridge.events` and `bridge.ckafka`. Source of the rest: Tencent Cloud SCF's documents.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from signup_bridge.core.clock import Deadline
from signup_bridge.core.outcomes import Result
from signup_bridge.events.invocation import RESPONSE_RESERVE

from bench.simulation.events import Bell, Steps, Wait, World
from bench.simulation.world import Instance


class Trigger(NamedTuple):
    """SCF's CKafka trigger: ``consumers`` read a share of the messages each, ``batch`` at once.

    A batch that is not full is waited for ``fills`` seconds. The function may take ``timeout`` seconds.
    """

    consumers: int
    batch: int = 10
    fills: float = 60.0
    timeout: float = 60.0


class Consumer:
    """One consumer of the trigger and the instance that it calls, a batch after the other."""

    def __init__(self, world: World, instance: Instance, trigger: Trigger, budget: float) -> None:
        self._world, self._instance, self._trigger, self._budget = world, instance, trigger, budget
        self._arrived = Bell(world)
        self._line: deque[tuple[float, int, Callable[[Result], None]]] = deque()
        self._expected = 0
        self.raised = 0

    def expect(self, count: int) -> None:
        """So many messages come in all: it ends with the last one."""
        self._expected = count

    def put(self, delivery: int, heard: Callable[[Result], None]) -> None:
        self._line.append((self._world.now, delivery, heard))
        self._arrived.ring()

    def consume(self) -> Steps[None]:
        while self._expected:
            while not self._line:
                yield Wait(self._arrived)
            until = self._line[0][0] + self._trigger.fills
            while len(self._line) < self._trigger.batch and self._world.now < until:
                yield Wait(self._arrived, until - self._world.now)
            batch = [self._line.popleft() for _ in range(min(len(self._line), self._trigger.batch))]
            while not (yield from self._invoke(batch)):
                self.raised += 1
            self._expected -= len(batch)

    def _invoke(self, batch: list[tuple[float, int, Callable[[Result], None]]]) -> Steps[bool]:
        """Whether the function returned; it raised otherwise. Follows `Handler._verify_all` and `ckafka.verify_all`."""
        limit = self._trigger.timeout - RESPONSE_RESERVE
        deadline = Deadline(self._world, limit)
        whole = min(self._budget, limit / 2)
        final = True
        for _, delivery, heard in batch:
            if not 0 < deadline.remaining() >= whole:
                return False
            verdict = yield from self._instance.message(delivery, deadline.within(self._budget))
            final = final and not verdict.outcome.retryable
            if not verdict.replayed:
                heard(verdict)
        return final
