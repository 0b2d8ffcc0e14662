"""The tables of docs/capacity.md, each between its markers: in come runs, out comes Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bench.documents import table
from bench.simulation.real import Measured
from bench.simulation.run import Scenario, Seen
from bench.simulation.scenarios import SETTINGS, Check

Runs = Sequence[tuple[Scenario, Seen]]


def of_waves(runs: Runs) -> str:
    head = ("deliveries", "all verified after", "half waited", "1 % waited longer than", "longest backlog",
            "answers for each", "most calls in any second", "refused by the API")  # fmt: skip
    return table(head, [_of_wave(one, seen) for one, seen in runs])


def of_instances(runs: Runs) -> str:
    head = ("instances x `CONCURRENCY`", "all verified after", "half waited", "1 % waited longer than",
            "longest backlog", "answers for each", "most calls in any second", "refused by the API")  # fmt: skip
    return table(head, [_of_wave(one, seen) for one, seen in runs])


def _of_wave(one: Scenario, seen: Seen) -> tuple[str, ...]:
    return (
        one.name,
        f"{seen.seconds:.1f} s",
        f"{seen.wait(0.5):.1f} s",
        f"{seen.wait(0.99):.1f} s",
        f"{seen.longest_backlog:,}",
        f"{seen.requests / one.deliveries:.1f}",
        f"{seen.most_calls():,}",
        f"{seen.refused:,}",
    )


def of_senders(runs: Mapping[str, Runs]) -> str:
    """``runs``: those of each sender, one for each of `SETTINGS`."""
    return table(("sender", *SETTINGS), [(name, *(_verified(*run) for run in of_one)) for name, of_one in runs.items()])


def _verified(one: Scenario, seen: Seen) -> str:
    share = 100 * len(seen.verified) / one.deliveries
    return f"{share:.0f} % in {seen.seconds:.0f} s"


def of_triggers(runs: Runs) -> str:
    rows = []
    for one, seen in runs:
        assert one.trigger
        rows.append(
            (
                one.name,
                f"{one.deliveries:,} in {one.within:g} s",
                f"{one.trigger.consumers}",
                f"{one.trigger.batch:,}",
                f"{100 * len(seen.verified) / one.deliveries:.0f} %",
                f"{seen.seconds:.0f} s",
                f"{seen.wait(0.5):.1f} s",
                f"{seen.raised:,}",
            )
        )
    head = ("quota", "messages", "consumers", "`maxMsgNum`", "verified", "the last after", "half waited", "run again")
    return table(head, rows)


def of_checks(checks: Sequence[tuple[Check, Seen, Measured]]) -> str:
    """What was predicted, and what came."""
    rows = []
    for number, (_, predicted, measured) in enumerate(checks, start=1):
        for name, one, other in compared(predicted, measured.seen):
            ratio = f"{other / one:.2f}" if one else "1.00" if one == other else "-"
            rows.append((f"{number}", name, _figure(one), _figure(other), ratio))
    return table(("run", "what", "simulated", "real", "real / simulated"), rows)


def compared(predicted: Seen, seen: Seen) -> list[tuple[str, float, float]]:
    """What of two runs can be compared: its name and both figures."""
    codes = sorted(predicted.heard.keys() | seen.heard.keys())
    return [
        ("verified", len(predicted.verified), len(seen.verified)),
        ("the last one after, s", predicted.seconds, seen.seconds),
        ("half waited, s", predicted.wait(0.5), seen.wait(0.5)),
        ("1 % waited longer than, s", predicted.wait(0.99), seen.wait(0.99)),
        ("backlog's sum, delivery seconds", sum(predicted.waits), sum(seen.waits)),
        ("longest backlog", predicted.longest_backlog, seen.longest_backlog),
        *((f"answers `{code}`", predicted.heard[code], seen.heard[code]) for code in codes),
        ("API calls", len(predicted.calls), len(seen.calls)),
        ("most calls in any second", predicted.most_calls(), seen.most_calls()),
        ("`RequestLimitExceeded`", predicted.refused, seen.refused),
    ]


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.2f}"


def of_surroundings(checks: Sequence[tuple[Check, Seen, Measured]]) -> str:
    """What the real runs took, and how far the machine was theirs."""
    rows = []
    for number, (check, _, measured) in enumerate(checks, start=1):
        redis = f"{1000 * measured.redis / len(measured.seen.verified):.2f} ms" if measured.redis else ""
        each = f"{1000 * measured.worked / measured.seen.requests:.1f} ms"
        rows.append((f"{number}", check.about, check.scenario.name, each, redis, f"{100 * measured.others:.0f} %"))
    head = (
        "run",
        "what is run",
        "wave",
        "processor, an answer",
        "Redis's, a verified one",
        "of the machine taken by others",
    )
    return table(head, rows).replace("| --- | --: | --: |", "| --- | --- | --- |", 1)
