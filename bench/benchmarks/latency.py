"""Measure the latency that the bridge adds to the API's own, at the request rate of a typical account."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple
from urllib.parse import urlsplit

from bench import earlier, load, servers, targets
from bench.harness import Harness, show_progress
from bench.load import Target
from bench.targets import Result

UPSTREAM, RATE = 0.05, 15.0
TURNS, SECONDS = 8, 8.0


class Latency(NamedTuple):
    """The sorted milliseconds of all requests to the API itself, the baseline and the bridge, by name."""

    asked: Mapping[str, Sequence[float]]
    results: tuple[Result, ...]


def measure(harness: Harness) -> Latency:
    with ExitStack() as running:
        api = running.enter_context(harness.api(UPSTREAM))
        peer_arguments = (api, harness.bundle, harness.folder)
        there = {
            "API": Target(urlsplit(api).port or 0, bundle=harness.tls.bundle),
            "bridge": running.enter_context(servers.bridge(api, harness.bundle, harness.folder / "latency")).target,
            "baseline": running.enter_context(servers.flask_peer("baseline", *peer_arguments)).target,
        }
        if harness.earlier:
            folder = harness.folder / "latency-earlier"
            there[earlier.COMMIT] = running.enter_context(
                servers.bridge(api, harness.bundle, folder, harness.earlier)
            ).target
        asked: dict[str, list[float]] = {name: [] for name in there}
        for turn in range(TURNS + 1):
            for name in random.sample(list(there), len(there)):
                show_progress(f"latency: turn {turn} of {TURNS}, {name}")
                each = harness.senders.run(load.at_a_rate, there[name], RATE, SECONDS if turn else 2.0).each
                if turn:
                    asked[name] += [seconds * 1000 for seconds in each]
    asked = {name: sorted(times) for name, times in asked.items()}
    return Latency(asked, (_added(targets.ADDED_MEDIAN, asked, 0.5), _added(targets.ADDED_P99, asked, 0.99)))


def _added(target: targets.Target, asked: Mapping[str, Sequence[float]], part: float) -> Result:
    """Return the latency that the bridge adds at this quantile."""
    own, baseline, bridge = (at(asked[name], part) for name in ("API", "baseline", "bridge"))
    times = f"{bridge:.1f} ms, the API itself {own:.1f} ms, the baseline {baseline:.1f} ms"
    if earlier.COMMIT in asked:
        times += f", {earlier.COMMIT} {at(asked[earlier.COMMIT], part):.1f} ms"
    detail = f"{times}; {len(asked['bridge'])} requests each"
    return Result(target, bridge - own, detail)


def at(ordered: Sequence[float], part: float) -> float:
    """Return the quantile ``part`` of the values."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]
