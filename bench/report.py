"""What was measured, told: a table for the terminal, and docs/performance.md's tables and plots, from the same data."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import ssl
import statistics
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from . import plots
from .measures.cold_start import ColdStart
from .measures.speed import Throughput
from .targets import Result

DOCS = Path(__file__).resolve().parent.parent / "docs"


def table(results: Iterable[Result]) -> str:
    """The targets and what was measured, in columns."""
    rows = [_row(result) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]) for row in rows
    )


def write(measured: Mapping[str, Any]) -> None:
    """Write the tables between their marks, and the plots beside them."""
    results = [result for one in measured.values() for result in one.results]
    tables = {
        "machine": _machine(),
        "targets": _markdown(("what", "target", "measured", "", "of"), map(_row, results)),
        "peers": _peers(measured["speed"]),
        "cold starts": _cold_starts(measured["cold-start"]),
    }
    document = DOCS / "performance.md"
    text = document.read_text()
    for name, lines in tables.items():
        mark = rf"(<!-- begin {name} -->\n).*(\n<!-- end {name} -->)"
        text, found = re.subn(mark, lambda match, lines=lines: f"{match[1]}{lines}{match[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
        if found != 1:
            raise ValueError(f"{document} has no place for the table {name}")
    document.write_text(text)
    plots.draw(measured, DOCS)


def _row(result: Result) -> tuple[str, str, str, str, str]:
    target, measured = result.target, result.measured
    bound = f"at {target.at} {target.told(target.bound)}"
    return target.name, bound, "–" if measured is None else target.told(measured), result.verdict, result.detail


def _markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _machine() -> str:
    """What it ran on, which figures in seconds depend on."""
    model = re.search("model name\t: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in ("flask", "gunicorn", "tencentcloud-sdk-python-common"))
    return (
        f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), {platform.system()} "
        f"{platform.release()}, CPython {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"SQLite {sqlite3.sqlite_version}; {packages}."
    )


def _peers(speed: Throughput) -> str:
    own = statistics.median(speed.peers["bridge"])
    rows = [
        (name, f"{statistics.median(rates):.0f}", f"{statistics.median(rates) / own:.2f}")
        for name, rates in speed.peers.items()
    ]
    return _markdown(("", "requests/s", "of the bridge's"), rows)


def _cold_starts(cold: ColdStart) -> str:
    rows = [
        (
            peer.name,
            f"{statistics.median(peer.health) * 1000:.0f} ms",
            f"{statistics.median(peer.verified) * 1000:.0f} ms",
            f"{statistics.median(peer.memory) / 2**20:.1f} MiB",
        )
        for peer in cold.peers
    ]
    return _markdown(("", "first 200", "first verified delivery", "memory of all processes"), rows)
