"""Whether memory grows with what was done."""

from __future__ import annotations

from typing import NamedTuple

from bench import load, servers, targets
from bench.harness import CONNECTIONS, Harness, show_progress
from bench.processes import resident
from bench.targets import Result

WARM_UP, COUNT, STEP = 5_000, 100_000, 5_000


class Memory(NamedTuple):
    """MiB of all processes of the bridge after so many deliveries."""

    held: tuple[tuple[int, float], ...]
    results: tuple[Result, ...]


def measure(harness: Harness) -> Memory:
    with harness.api() as api, servers.bridge(api, harness.bundle, harness.folder / "memory") as bridge:
        harness.senders.run(load.counted, bridge.target, "first", WARM_UP, CONNECTIONS)
        held = [(0, resident(bridge.pid) / 2**20)]
        while held[-1][0] < COUNT:
            done = held[-1][0] + STEP
            harness.senders.run(load.counted, bridge.target, "first", STEP, CONNECTIONS)
            held.append((done, resident(bridge.pid) / 2**20))
            show_progress(f"memory: {done:,} of {COUNT:,} deliveries, {held[-1][1]:.1f} MiB")
    before, after = held[0][1], held[-1][1]
    detail = f"{before:.1f} MiB after the first {WARM_UP:,}, {after:.1f} MiB after {COUNT:,} more"
    return Memory(tuple(held), (Result(targets.GROWTH, after - before, detail),))
