"""Compare throughput and processor time with the peers, and measure the cost of replays and rejected signatures."""

from __future__ import annotations

import random
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import earlier, load, servers, targets
from bench.harness import CONNECTIONS, Harness, show_progress
from bench.processes import processor_seconds
from bench.servers import Server
from bench.targets import Result

LATENCY = 0.02
"""Seconds that a call of the API takes: less than in reality, so that the processor limits the throughput."""

TURNS, SECONDS = 25, 1.0
"""Turns, and the seconds of each. One additional turn is the warm-up."""


class Throughput(NamedTuple):
    """Requests per second in each turn.

    ``peers`` and ``peers_at_once`` have them by peer; the API of the latter responds immediately. ``kinds`` has them by
    kind of delivery, with the same API, and for the baseline's ``GET /health``.
    """

    peers: Mapping[str, Sequence[float]]
    peers_at_once: Mapping[str, Sequence[float]]
    kinds: Mapping[str, Sequence[float]]
    results: tuple[Result, ...]


def measure(harness: Harness) -> Throughput:
    with ExitStack() as running:
        there = _started(running, harness, harness.api(LATENCY))
        peers, processor = _interleaved(harness, "throughput", {name: (one, "first") for name, one in there.items()})
    with ExitStack() as running:
        there = _started(running, harness, harness.api())
        at_once, _ = _interleaved(harness, "API at once", {name: (one, "first") for name, one in there.items()})
        harness.senders.run(load.counted, there["bridge"].target, "before", load.AGAIN, CONNECTIONS)
        asked = {kind: (there["bridge"], kind) for kind in ("first", "again", "refused")}
        baseline = there["baseline"]
        asked["nothing"] = (
            baseline._replace(target=baseline.target._replace(path="/health", method="GET")),
            "nothing",
        )
        kinds, _ = _interleaved(harness, "costs", asked)
    results = (
        _beside(targets.BESIDE_BASELINE, peers, "bridge", "baseline"),
        _beside(targets.BESIDE_EARLIER, peers, "bridge", earlier.COMMIT),
        _processor(processor),
        _beside(targets.BESIDE_NAIVE, peers, "bridge", "naive"),
        _beside(targets.REPLAY, kinds, "first", "again"),
        _beside(targets.REFUSED, kinds, "first", "refused"),
    )
    return Throughput(peers, at_once, kinds, results)


def _started(running: ExitStack, harness: Harness, stand_in: AbstractContextManager[str]) -> dict[str, Server]:
    """Start the bridge and its peers; return them by name."""
    api = running.enter_context(stand_in)
    peer_arguments = (api, harness.bundle, harness.folder)
    there = {
        "bridge": running.enter_context(
            servers.bridge(api, harness.bundle, Path(tempfile.mkdtemp(dir=harness.folder)))
        ),
        "baseline": running.enter_context(servers.flask_peer("baseline", *peer_arguments)),
        "baseline, ten connections": running.enter_context(
            servers.flask_peer("baseline", *peer_arguments, KEPT_CONNECTIONS="10")
        ),
        "naive": running.enter_context(servers.flask_peer("naive", *peer_arguments)),
    }
    if harness.earlier:
        folder = Path(tempfile.mkdtemp(dir=harness.folder))
        there[earlier.COMMIT] = running.enter_context(servers.bridge(api, harness.bundle, folder, harness.earlier))
    if node := running.enter_context(servers.node_peer(*peer_arguments)):
        there["Node"] = node
    return there


def _interleaved(
    harness: Harness, what: str, these: Mapping[str, tuple[Server, str]]
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the requests per second of each server in each turn, and its processor seconds per request.

    The order in a turn is random, because a measurement affects the next one.
    """
    rates: dict[str, list[float]] = {name: [] for name in these}
    processor: dict[str, list[float]] = {name: [] for name in these}
    for turn in range(TURNS + 1):
        for name in random.sample(list(these), len(these)):
            server, kind = these[name]
            before = processor_seconds(server.pid)
            sample = harness.senders.run(load.closed, server.target, kind, SECONDS, CONNECTIONS)
            show_progress(f"{what}: turn {turn} of {TURNS}, {name}: {sample.rate:.0f}/s")
            if turn:
                rates[name].append(sample.rate)
                processor[name].append((processor_seconds(server.pid) - before) / len(sample.each))
    return rates, processor


def _processor(processor: Mapping[str, Sequence[float]]) -> Result:
    """Compare the bridge's processor time per request with the baseline's; the detail has the earlier commit's, too."""
    ratios = [own / other for own, other in zip(processor["bridge"], processor["baseline"], strict=True)]
    micro = {name: f"{statistics.median(seconds) * 1e6:.0f} µs" for name, seconds in processor.items()}
    detail = f"{micro['bridge']} beside {micro['baseline']}"
    if earlier.COMMIT in micro:
        detail += f"; {earlier.COMMIT} {micro[earlier.COMMIT]}"
    return Result(targets.PROCESSOR, statistics.median(ratios), detail)


def _beside(target: targets.Target, rates: Mapping[str, Sequence[float]], one: str, other: str) -> Result:
    """Return how many times faster ``one`` is than ``other``."""
    if other not in rates:
        return Result(target, None, earlier.ABSENT)
    ratios = [mine / its for mine, its in zip(rates[one], rates[other], strict=True)]
    first, second = (statistics.median(rates[name]) for name in (one, other))
    low, _, high = statistics.quantiles(ratios, n=4)
    detail = f"{first:.0f}/s beside {second:.0f}/s; the middle half of {len(ratios)} turns {low:.2f} to {high:.2f}"
    return Result(target, statistics.median(ratios), detail)
