"""One wave, simulated: in come a scenario and a seed, out comes what was seen, as a `Seen`."""

from __future__ import annotations

import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from signup_bridge.core.outcomes import BY_CODE, VERIFIED, Result

from bench.simulation.ckafka import Consumer, Trigger
from bench.simulation.events import Steps, World
from bench.simulation.senders import OBEYING, Sender
from bench.simulation.world import REFUSED_BY_SCF, Account, Instance, Ledger, Setup
from tests.support.builders import Answer

CODES = {outcome.title: outcome.code for outcome in BY_CODE.values()}


class Scenario(NamedTuple):
    """So many deliveries within so many seconds: evenly, or one by one at ``random``; from senders, or by a trigger."""

    name: str
    deliveries: int
    within: float
    setup: Setup = Setup()
    sender: Sender = OBEYING
    trigger: Trigger | None = None
    random: bool = False


@dataclass
class Seen:
    """What one run showed, simulated or real. All times are seconds since the first delivery was sent.

    ``calls`` are times; ``heard`` counts answers by their code; ``ended`` is the code that a delivery ended in.
    """

    began: dict[int, float] = field(default_factory=dict)
    verified: dict[int, float] = field(default_factory=dict)
    ended: dict[int, str] = field(default_factory=dict)
    heard: Counter[str] = field(default_factory=Counter)
    calls: list[float] = field(default_factory=list)
    refused: int = 0
    raised: int = 0

    @property
    def requests(self) -> int:
        return self.heard.total()

    @property
    def seconds(self) -> float:
        """Until the last of those that were verified was."""
        return max(self.verified.values(), default=0.0)

    @property
    def waits(self) -> list[float]:
        """From the first sending to "verified", the shortest first."""
        return sorted(at - self.began[one] for one, at in self.verified.items())

    def wait(self, share: float) -> float:
        """The seconds after which a share of the verified ones was."""
        return self.waits[min(len(self.waits) - 1, int(share * len(self.waits)))]

    def backlog(self, times: list[float]) -> list[int]:
        """How many were sent and not yet verified, at each of these times."""
        begun, done = sorted(self.began.values()), sorted(self.verified.values())
        return [_until(begun, at) - _until(done, at) for at in times]

    @property
    def longest_backlog(self) -> int:
        return max(self.backlog(sorted(self.began.values())), default=0)

    def most_calls(self, seconds: float = 1.0) -> int:
        """In any such stretch of time."""
        calls = sorted(self.calls)
        return max((_until(calls, at + seconds - 1e-9) - n for n, at in enumerate(calls)), default=0)


def _until(times: list[float], at: float) -> int:
    return bisect_right(times, at)


def simulate(scenario: Scenario, seed: int) -> Seen:
    """Run it until every delivery has ended."""
    world, chance, seen = World(), random.Random(f"{seed} {scenario.name}"), Seen()
    setup = scenario.setup
    account, ledger = Account(world, setup, chance), Ledger(world, setup)
    count = scenario.trigger.consumers if scenario.trigger else setup.instances
    instances = [Instance(world, setup, ledger, account) for _ in range(count)]
    times = list(_times(scenario, chance))
    if scenario.trigger:
        consumers = [Consumer(world, one, scenario.trigger, setup.budget) for one in instances]
        for number, consumer in enumerate(consumers):
            consumer.expect(len(range(number, scenario.deliveries, count)))
            world.start(consumer.consume())
        for number, at in enumerate(times):
            world.start(_put(number, world, account, consumers[number % count], seen), after=at)
        world.run()
        seen.raised = sum(consumer.raised for consumer in consumers)
    else:
        for number, at in enumerate(times):
            world.start(_send(number, scenario.sender, world, account, instances, seen), after=at)
        world.run()
    seen.calls = [at for at, _, _ in account.calls]
    seen.refused = sum(result == "RequestLimitExceeded" for _, _, result in account.calls)
    return seen


def _times(scenario: Scenario, chance: random.Random) -> Iterator[float]:
    """When each delivery is sent for the first time."""
    step, now = scenario.within / scenario.deliveries, 0.0
    for number in range(scenario.deliveries):
        yield now if scenario.random else number * step
        now += chance.expovariate(1 / step)


def _send(
    number: int, sender: Sender, world: World, account: Account, instances: list[Instance], seen: Seen
) -> Steps[None]:
    """One delivery, sent until its sender hears the end of it, or gives up."""
    began = account.codes[number] = seen.began[number] = world.now
    attempt = 0
    while True:
        answer = yield from instances[(number + attempt) % len(instances)].webhook(number)
        in_time = world.now - began < sender.patience
        code = code_of(answer) if in_time else "nothing"
        seen.heard[code] += 1
        if code == VERIFIED.code:
            seen.verified[number] = world.now
        wait = sender.again(answer, attempt) if in_time else None
        if wait is None:
            seen.ended[number] = code
            return
        attempt += 1
        yield wait


def code_of(answer: Answer) -> str:
    """What an answer tells, in any profile's form."""
    if answer is REFUSED_BY_SCF:
        return "432"
    members = answer.json
    if "error" in members:
        return CODES[members["error"]["message"]]
    code: str = members.get("code") or members["status"]
    return code


def _put(number: int, world: World, account: Account, consumer: Consumer, seen: Seen) -> Steps[None]:
    """One message is written to the topic."""
    account.codes[number] = seen.began[number] = world.now

    def heard(verdict: Result) -> None:
        seen.heard[verdict.outcome.code] += 1
        if verdict.outcome is VERIFIED:
            seen.verified[number] = world.now
        if not verdict.outcome.retryable:
            seen.ended[number] = verdict.outcome.code

    consumer.put(number, heard)
    return
    yield 0.0
