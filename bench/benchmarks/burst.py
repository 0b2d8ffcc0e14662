"""A burst at the account's quota, from senders that retry when told to: to one instance, and to two on a Redis."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from bench import targets
from bench.harness import Harness, say
from bench.simulation import real
from bench.simulation.run import Scenario
from bench.simulation.world import Setup
from bench.targets import Result

COUNT, QUOTA = 200, 20
TURNS = 3
"""For each number of instances; the worst of all counts."""

INSTANCES = (1, 2)


class Burst(NamedTuple):
    results: tuple[Result, ...]


def measure(_: Harness) -> Burst:
    """With an emulated account, which counts its calls as the API does, and takes 0.3 s for each."""
    seen = []
    for turn, instances in itertools.product(range(1, TURNS + 1), INSTANCES):
        say(f"burst: {turn} of {TURNS}, instances: {instances}")
        seen.append(real.measure(Scenario("burst", COUNT, 1.0, Setup(quota=QUOTA, instances=instances))).seen)
        if len(seen[-1].verified) != COUNT:
            raise ValueError(f"{len(seen[-1].verified)} of {COUNT} were verified: {seen[-1].heard}")
    worst, refused = max(one.seconds for one in seen), max(one.refused for one in seen)
    detail = f"the worst of {', '.join(f'{one.seconds:.2f}' for one in seen)} s"
    return Burst(
        (
            Result(targets.BURST, worst / (COUNT / QUOTA), detail),
            Result(targets.BURST_REFUSED, refused, f"the most of {', '.join(str(one.refused) for one in seen)}"),
        )
    )
