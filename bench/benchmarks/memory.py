"""Measure whether memory grows with the number of deliveries, and how little memory an instance needs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench import built, cgroups, load, servers, targets
from bench.harness import CONNECTIONS, Harness, show_progress
from bench.processes import resident
from bench.targets import Result
from signup_toolkit import python310

WARM_UP, COUNT, STEP = 5_000, 60_000, 5_000
SMALL_COUNT, SMALL_CONNECTIONS = 20_000, 8
SIZES = (36, 48, 64)
"""MiB of the control groups to try in order: the target, then the sizes for when it is too small."""


class Memory(NamedTuple):
    """Pairs of a number of deliveries and the MiB of all processes of the bridge after them."""

    held: tuple[tuple[int, float], ...]
    results: tuple[Result, ...]


class Run(NamedTuple):
    """The deliveries that the built zip verified in a control group of ``size`` MiB, and its MiB after each step."""

    size: int
    verified: int
    held: tuple[float, ...]


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
    return Memory(tuple(held), (Result(targets.GROWTH, after - before, detail), *_small(harness)))


def _small(harness: Harness) -> tuple[Result, ...]:
    """Return the results of the built zip in the smallest control group, and in larger ones if it was killed."""
    wanted = (targets.SMALL_VERIFIED, targets.SMALL_RESIDENT, targets.SMALL_GROWTH)
    interpreter = python310.find()
    if interpreter is None:
        return tuple(Result(one, None, built.NO_INTERPRETER) for one in wanted)
    runs = []
    try:
        for size in SIZES:
            runs.append(run_in(size, harness, interpreter))
            if runs[-1].verified == SMALL_COUNT:
                break
    except cgroups.GroupError as error:
        return tuple(Result(one, None, str(error)) for one in wanted)
    return tuple(results(runs))


def run_in(size: int, harness: Harness, interpreter: str, count: int = SMALL_COUNT, step: int = STEP) -> Run:
    """Send deliveries to the built zip in a control group of ``size`` MiB until all are verified or it is killed."""
    folder = built.build("bridge", harness.folder / "built" / "bridge")
    for files in (folder, Path(interpreter).resolve().parent.parent / "lib"):
        built.drop_from_cache(files)
    scratch = harness.folder / f"small-{size}"
    held: list[float] = []
    with cgroups.group("memory") as group, harness.api() as api:
        group.limit_memory(size * 2**20)
        command = group.command(built.command(folder, interpreter))
        environ = built.environ(folder) | {"REQUEST_BUDGET": "60"}  # a slow disk must reject no delivery
        try:
            with servers.built_bridge(command, folder, environ, api, harness.bundle, scratch) as bridge:
                while len(held) * step < count:
                    show_progress(f"memory: {len(held) * step:,} of {count:,} deliveries in {size} MiB")
                    harness.senders.run(load.counted, bridge.target, "first", step, SMALL_CONNECTIONS)
                    held.append(group.resident() / 2**20)
        except (servers.NotStartedError, asyncio.IncompleteReadError, OSError):
            if not group.was_killed():
                raise
    log = (scratch / "bridge.log").read_text()
    return Run(size, log.count('"outcome": "verified"'), tuple(held))


def results(runs: list[Run]) -> Iterator[Result]:
    """Yield the results of the runs in increasingly large control groups."""
    killed = [f"killed in {run.size} MiB after {run.verified:,}" for run in runs if run.verified < SMALL_COUNT]
    last = runs[-1]
    if last.verified < SMALL_COUNT:
        yield Result(targets.SMALL_VERIFIED, runs[0].verified, "; ".join(killed))
        for target in (targets.SMALL_RESIDENT, targets.SMALL_GROWTH):
            yield Result(target, None, "killed before the end")
        return
    detail = "; ".join([*killed, f"all verified in {last.size} MiB"])
    yield Result(targets.SMALL_VERIFIED, runs[0].verified, f"{detail}; {SMALL_CONNECTIONS} connections")
    steps = ", ".join(f"{held:.1f}" for held in last.held)
    yield Result(targets.SMALL_RESIDENT, last.held[-1], f"{steps} MiB after each {STEP:,} in {last.size} MiB")
    yield Result(targets.SMALL_GROWTH, last.held[-1] - last.held[0], f"{last.held[0]:.1f} MiB then")
