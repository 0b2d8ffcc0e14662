"""Throughput beside the peers, and what a replay and a refusal cost. The API answers at once: the processor counts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import NamedTuple

from bench import load, servers, targets
from bench.load import Target
from bench.setting import CONNECTIONS, Setting, say
from bench.targets import Result

TURNS, SECONDS = 9, 3.0
"""Of each; one turn more warms up."""


class Throughput(NamedTuple):
    """Requests a second, of each turn, by peer; and by kind of delivery."""

    peers: Mapping[str, Sequence[float]]
    kinds: Mapping[str, Sequence[float]]
    results: tuple[Result, ...]


def measure(setting: Setting) -> Throughput:
    with ExitStack() as running:
        api = running.enter_context(setting.api())
        given = (api, setting.bundle, setting.folder)
        bridge = running.enter_context(servers.bridge(api, setting.bundle, setting.folder / "speed"))
        there = {
            "bridge": bridge.target,
            "floor": running.enter_context(servers.flask_peer("floor", *given)).target,
            "common way": running.enter_context(servers.flask_peer("common", *given)).target,
        }
        if node := running.enter_context(servers.node_peer(*given)):
            there["Node"] = node.target
        peers = _in_turns(setting, "throughput", {name: (target, "first") for name, target in there.items()})
        setting.senders.run(load.counted, bridge.target, "again", load.AGAIN, CONNECTIONS)
        kinds = _in_turns(setting, "costs", {kind: (bridge.target, kind) for kind in load.KINDS})
    return Throughput(peers, kinds, (*_beside(peers), *_costs(kinds)))


def _in_turns(setting: Setting, what: str, these: Mapping[str, tuple[Target, str]]) -> dict[str, list[float]]:
    """Requests a second of each, turn by turn."""
    rates: dict[str, list[float]] = {name: [] for name in these}
    for turn in range(TURNS + 1):
        for name, (target, kind) in these.items():
            rate = setting.senders.run(load.closed, target, kind, SECONDS, CONNECTIONS).rate
            say(f"{what}: turn {turn} of {TURNS}, {name}: {rate:.0f}/s")
            if turn:
                rates[name].append(rate)
    return rates


def _beside(peers: Mapping[str, Sequence[float]]) -> tuple[Result, ...]:
    found = []
    for target, name in ((targets.BESIDE_FLOOR, "floor"), (targets.BESIDE_COMMON, "common way")):
        ratios = [own / other for own, other in zip(peers["bridge"], peers[name], strict=True)]
        medians = f"{statistics.median(peers['bridge']):.0f}/s beside {statistics.median(peers[name]):.0f}/s"
        found.append(Result(target, statistics.median(ratios), f"{medians}; {_span(ratios)}"))
    return tuple(found)


def _costs(kinds: Mapping[str, Sequence[float]]) -> tuple[Result, ...]:
    found = []
    for target, kind in ((targets.REPLAY, "again"), (targets.REFUSED, "refused")):
        ratios = [first / other for first, other in zip(kinds["first"], kinds[kind], strict=True)]
        medians = f"{statistics.median(kinds[kind]):.0f}/s beside {statistics.median(kinds['first']):.0f}/s"
        found.append(Result(target, statistics.median(ratios), f"{medians}; {_span(ratios)}"))
    return tuple(found)


def _span(ratios: Sequence[float]) -> str:
    return f"{len(ratios)} turns, {min(ratios):.2f} to {max(ratios):.2f}"
