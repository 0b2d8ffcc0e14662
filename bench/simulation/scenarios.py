"""What is simulated, as data: the rows of the tables in docs/capacity.md."""

from __future__ import annotations

import math
from typing import NamedTuple

from bench.simulation.ckafka import Trigger
from bench.simulation.run import Scenario
from bench.simulation.senders import BY_SCHEDULE, OBEYING, Sender
from bench.simulation.world import Setup

RAISED = 1000
"""Requests a second of an account with a raised quota."""


_DEFAULT = Setup()


def _wave(deliveries: int, within: float = 1, setup: Setup = _DEFAULT, sender: Sender = OBEYING) -> Scenario:
    return Scenario(f"{deliveries:,} within {within:g} s", deliveries, within, setup, sender)


STEADY = Scenario("15/s for 2 minutes", 1800, 120, random=True)
WAVES = (_wave(200), _wave(2000), _wave(5000))
SPREAD = _wave(2000, 1, Setup(instances=100))._replace(name="2,000 within 1 s, to 100 instances")
"""As SCF does when instances share a Redis: it starts one more rather than let one be full."""

FEW, MANY = 16, 100
SETTINGS: dict[str, tuple[int, float]] = {
    f"`CONCURRENCY` {FEW}": (FEW, math.inf),
    f"`CONCURRENCY` {MANY}": (MANY, math.inf),
    f"SCF, {FEW}": (FEW, FEW),
    f"SCF, {MANY}": (MANY, MANY),
}
"""Deliveries worked on at once, and how many requests at once the platform lets into the only instance."""

SENDERS = (OBEYING, *BY_SCHEDULE)


def of_sender(sender: Sender, concurrency: int, front: float, deliveries: int = 200) -> Scenario:
    setup = Setup(concurrency=concurrency, front=front, budget=sender.budget, profile=sender.profile)
    return _wave(deliveries, 1, setup, sender)


INSTANCES = tuple(
    _wave(5000, 2.5, Setup(quota=RAISED, instances=instances, concurrency=concurrency))._replace(
        name=f"{instances} x {concurrency}"
    )
    for instances, concurrency in ((4, 16), (20, 16), (2, 100), (4, 100), (8, 100))
)
"""A wave of twice an account's quota, by the instances that share a Redis."""

TRIGGERS = (
    Scenario("20/s", 5000, 10, trigger=Trigger(1)),
    Scenario("20/s", 5000, 10, trigger=Trigger(6)),
    Scenario("20/s", 5000, 10, trigger=Trigger(12)),
    Scenario("20/s", 5000, 10, trigger=Trigger(12, batch=100)),
    Scenario("20/s", 5000, 10, trigger=Trigger(12, batch=1000)),
    Scenario("20/s", 20_000, 10, trigger=Trigger(12)),
    Scenario("20/s", 120, 240, trigger=Trigger(12), random=True),
    Scenario("20/s", 120, 240, trigger=Trigger(12, batch=1), random=True),
    Scenario("1,000/s", 20_000, 5, Setup(quota=RAISED), trigger=Trigger(100)),
    Scenario("1,000/s", 20_000, 5, Setup(quota=RAISED), trigger=Trigger(400)),
)

OF_2000 = {
    "obey Retry-After": WAVES[1],
    "Svix's schedule": of_sender(BY_SCHEDULE[1], FEW, math.inf, 2000),
    "CKafka, 12 consumers": Scenario("CKafka", 2000, 1, trigger=Trigger(12)),
}
"""The same wave in three ways."""

STEADY_CALL = Setup(spread=0.0)
"""The emulated account takes the same time for each call."""


class Check(NamedTuple):
    """What is run for real, too, and what it is a tenth of."""

    scenario: Scenario
    short: str
    about: str


CHECKS = (
    Check(
        _wave(200, 1, STEADY_CALL), "20/s", "one instance, SQLite, senders that obey `Retry-After`: a tenth of 2,000"
    ),
    Check(
        _wave(500, 2.5, STEADY_CALL._replace(quota=100, instances=2)),
        "100/s, two instances",
        "100/s, two instances that share a Redis: a tenth of 5,000 at 1,000/s",
    ),
    Check(
        _wave(200, 1, STEADY_CALL._replace(budget=4.0, profile="supabase"), BY_SCHEDULE[2]),
        "Supabase",
        "`SENDER_PROFILE=supabase`, budget 4 s, three tries at once, whatever `Retry-After` says",
    ),
    Check(
        _wave(200, 1, STEADY_CALL._replace(concurrency=MANY), BY_SCHEDULE[1]),
        "Svix, CONCURRENCY 100",
        "`CONCURRENCY` 100, senders that come again after 5 s and 5 min, as Svix's do",
    ),
)
