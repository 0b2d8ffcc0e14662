"""Draw the plots of docs/explanation/performance.md from the measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import documents, targets
from bench.benchmarks.latency import at
from bench.targets import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OWN, BASELINE, OTHER, TARGET = "#0b6e4f", "#8a8f98", "#c9ccd1", "#b3261e"
COLOURS = {"bridge": OWN, "baseline": BASELINE}


def draw(measured: Mapping[str, Any], folder: Path) -> None:
    """Write each plot as an SVG file, with identical bytes for identical data."""
    with _axes(folder / "performance-targets.svg", height=6.6) as axes:
        _targets(axes, [result for one in measured.values() for result in one.results])
    with _axes(folder / "performance-throughput.svg", height=2.4) as axes:
        _throughput(axes, measured["speed"].peers)
    with _axes(folder / "performance-latency.svg", height=3.2) as axes:
        _latency(axes, measured["latency"].asked)
    with _axes(folder / "performance-memory.svg", height=2.6) as axes:
        _memory(axes, measured["memory"].held)


@contextmanager
def _axes(file: Path, height: float) -> Iterator[Axes]:
    import matplotlib as mpl  # noqa: PLC0415  the import takes a second, and few commands and tests draw
    from matplotlib.figure import Figure  # noqa: PLC0415

    with mpl.rc_context(documents.STYLE):
        figure = Figure(figsize=(7.6, height), facecolor="white", layout="constrained")
        yield figure.subplots()
        documents.save(figure, file)


def _targets(axes: Axes, results: Sequence[Result]) -> None:
    """Draw each figure as a fraction of its target's bound, so that less is better in every row."""
    parts = [(result, result.part_of_bound) for result in results]
    rows = [(result, part) for result, part in parts if part is not None][::-1]
    names = ["" for _ in rows]
    for place, (result, part) in enumerate(rows):
        target = result.target
        names[place] = target.name.replace("the same", "    the same")
        axes.barh(place, part, color=OWN if result.is_met else OTHER, height=0.6)
        axes.annotate(target.format(result.measured or 0), (part, place), (4, -3), textcoords="offset points")
    axes.axvline(1, color=TARGET, linewidth=1)
    axes.annotate("target", (1, len(rows) - 0.4), (3, 0), textcoords="offset points", color=TARGET)
    axes.set_yticks(range(len(names)), names, fontsize=7)
    axes.set_ylim(-0.6, len(names) + 0.3)
    axes.set_xlim(0, max([1.2, *(part for _, part in rows)]) * 1.12)
    axes.set_xlabel("part of the target's bound: shorter is better; grey: short of the target")


def _throughput(axes: Axes, peers: Mapping[str, Any]) -> None:
    names = list(peers)[::-1]
    for place, name in enumerate(names):
        rates = peers[name]
        axes.scatter(rates, [place] * len(rates), color=COLOURS.get(name, OTHER), s=28, alpha=0.8, linewidths=0)
        middle = sorted(rates)[len(rates) // 2]
        axes.annotate(f"{middle:.0f}", (middle, place), (0, 9), textcoords="offset points", ha="center")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(-0.6, len(names) - 0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("requests/s, one dot for each turn; the number is the median")


def _latency(axes: Axes, asked: Mapping[str, Any]) -> None:
    for name, times in asked.items():
        parts = [(number + 1) / len(times) * 100 for number in range(len(times))]
        axes.plot(times, parts, color=COLOURS.get(name, OTHER), label=name if name == "API" else f"through the {name}")
    for target, part, where in ((targets.ADDED_MEDIAN, 0.5, "median"), (targets.ADDED_P99, 0.99, "p99")):
        place = at(asked["API"], part) + target.bound, part * 100
        axes.plot(*place, marker="|", markersize=14, color=TARGET, linestyle="none")
        axes.annotate(f"target, {where}", place, (6, -4), textcoords="offset points", color=TARGET)
    axes.set_xlim(min(asked["API"]) - 1, at(asked["API"], 0.99) + 15)
    axes.set_ylim(0, 103)
    axes.set_xlabel("ms until the response")
    axes.set_ylabel("% of requests with a response by then")
    axes.legend(loc="center right")


def _memory(axes: Axes, held: Any) -> None:
    counts, sizes = zip(*held, strict=True)
    axes.plot([count / 1000 for count in counts], sizes, color=OWN)
    most = sizes[0] + targets.GROWTH.bound
    axes.axhline(most, color=TARGET, linewidth=1)
    axes.annotate("target", (0, most), (4, 4), textcoords="offset points", color=TARGET)
    axes.set_ylim(0, max(*sizes, most) * 1.25)
    axes.set_xlim(left=0)
    axes.set_xlabel("thousand deliveries")
    axes.set_ylabel("MiB, all processes")
