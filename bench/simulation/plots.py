"""The pictures of docs/capacity.md: in come runs, out comes an SVG, the same bytes for the same runs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from bench.documents import COLOURS, STYLE, save
from bench.simulation.run import Seen

POINTS = 240
QUOTA = {"color": "#666666", "linewidth": 1.0, "linestyle": (0, (4, 3))}


def three(path: Path, lines: dict[str, Seen], *, quota: int, until: float, log: bool = False) -> None:
    """Backlog and calls over time, and after what time how many were verified. ``until`` is in seconds."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 3.5), facecolor="white", layout="constrained")
        backlog, waits, calls = figure.subplots(1, 3)
        for (label, seen), colour in zip(lines.items(), COLOURS, strict=False):
            times = _times(until, log=log)
            backlog.plot(times, seen.backlog(times), color=colour, label=label)
            waits.plot(times, _verified(seen, times), color=colour)
            calls.plot(*_rates(seen, until, log=log), color=colour)
        backlog.set(title="Backlog", ylabel="sent and not yet verified", xlabel="seconds since the first was sent")
        waits.set(title="Time to verified", ylabel="% of all deliveries", xlabel="seconds since it was sent")
        waits.set_ylim(0, 103)
        calls.set(title="API calls", ylabel="calls a second", xlabel="seconds since the first was sent")
        calls.axhline(quota, **QUOTA)
        calls.text(1, quota * 1.02, f"quota {quota:,}/s", color="#444444", ha="right", va="bottom",
                   transform=calls.get_yaxis_transform())  # fmt: skip
        calls.set_ylim(0, quota * 1.18)
        for panel in (backlog, waits, calls):
            panel.set_xlim(_times(until, log=log)[0], until)
            if log:
                panel.set_xscale("log")
                panel.xaxis.set_major_formatter("{x:g}")
        backlog.set_ylim(bottom=0)
        if log:
            backlog.set_yscale("log")
            backlog.set_ylim(bottom=1)
        backlog.yaxis.set_major_formatter("{x:,.0f}")
        calls.yaxis.set_major_formatter("{x:,.0f}")
        figure.legend(loc="outside upper center", ncols=len(lines))
        save(figure, path)


def checks(path: Path, runs: Sequence[tuple[str, Seen, Seen]]) -> None:
    """The backlog as it was simulated, a line, and as it came, points; below, the calls."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(10.5, 5.4), facecolor="white", layout="constrained")
        panels = figure.subplots(2, len(runs), sharex="col")
        for column, (title, predicted, seen) in enumerate(runs):
            above, below = panels[0][column], panels[1][column]
            until = 1.08 * max(predicted.seconds, seen.seconds)
            times, some = _times(until)[::2], [until * n / 24 for n in range(25)]
            above.plot(times, predicted.backlog(times), color=COLOURS[0], label="simulated")
            above.plot(some, seen.backlog(some), "o", color=COLOURS[1], markersize=3.2, label="real")
            below.plot(times, _made(predicted, times), color=COLOURS[0])
            below.plot(some, _made(seen, some), "o", color=COLOURS[1], markersize=3.2)
            above.set_title(title, fontsize=9)
            below.set_xlabel("seconds since the first was sent")
            for panel in (above, below):
                panel.locator_params(nbins=4)
                panel.set_ylim(bottom=0)
                panel.set_xlim(0, until)
        panels[0][0].set_ylabel("sent and not yet verified")
        panels[1][0].set_ylabel("API calls made so far")
        figure.legend(*panels[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
        save(figure, path)


def _times(until: float, *, log: bool = False) -> list[float]:
    first = 0.2
    if log:
        return [first * (until / first) ** (n / POINTS) for n in range(POINTS + 1)]
    return [until * n / POINTS for n in range(POINTS + 1)]


def _verified(seen: Seen, times: Sequence[float]) -> list[float]:
    waits = seen.waits
    return [100 * bisect_left(waits, at) / len(seen.began) for at in times]


def _made(seen: Seen, times: Sequence[float]) -> list[int]:
    calls = sorted(seen.calls)
    return [bisect_left(calls, at) for at in times]


def _rates(seen: Seen, until: float, *, log: bool) -> tuple[list[float], list[float]]:
    """Calls a second around each of some moments, over so long that their grain is not what is seen."""
    calls = sorted(seen.calls)
    moments = [at for at in _times(until, log=log) if at >= 0.5]
    rates = []
    for at in moments:
        half = max(0.5, at / 8) if log else max(0.5, until / 150)
        first = max(0.0, at - half)
        rates.append((bisect_left(calls, at + half) - bisect_left(calls, first)) / (at + half - first))
    return moments, rates
