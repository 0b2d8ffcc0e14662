"""A burst at the account's quota, from senders that come again when they are told to."""

from __future__ import annotations

from typing import NamedTuple

from bench import targets
from bench.setting import Setting, say
from bench.simulation import real
from bench.simulation.run import Scenario
from bench.simulation.world import Setup
from bench.targets import Result

COUNT, QUOTA = 200, 20
TURNS = 3
"""The worst of them counts."""


class Burst(NamedTuple):
    results: tuple[Result, ...]


def measure(_: Setting) -> Burst:
    """With an emulated account, which counts its calls as the API does, and takes 0.3 s for each."""
    scenario = Scenario("burst", COUNT, 1.0, Setup(quota=QUOTA))
    seen = []
    for turn in range(1, TURNS + 1):
        say(f"burst: {turn} of {TURNS}")
        seen.append(real.measure(scenario).seen)
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
