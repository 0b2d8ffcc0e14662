"""Render the results for the terminal, and for docs/explanation/performance.md from the same data."""

from __future__ import annotations

import os
import platform
import re
import sqlite3
import ssl
import statistics
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import documents, plots
from bench.benchmarks.cold_start import ColdStart, Peer
from bench.benchmarks.profile import ELSE, LAYERS, PROCESSOR, Profile
from bench.benchmarks.speed import LATENCY, Throughput
from bench.targets import Result


def table(results: Iterable[Result]) -> str:
    """Return the targets and the measured figures in aligned columns."""
    rows = [_row(result) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True)), row[4]]) for row in rows
    )


def summary(one: Any) -> str:
    """Return the table of one benchmark."""
    return _layers(one) if isinstance(one, Profile) else table(one.results)


def write(measured: Mapping[str, Any]) -> None:
    """Write the tables between their markers, and the plots."""
    results = [result for one in measured.values() for result in one.results]
    tables = {
        "machine": _machine(),
        "targets": documents.table(("what", "target", "measured", "", "of"), map(_row, results)),
        "peers": _peers(measured["speed"]),
        "costs": _costs(measured["speed"]),
        "layers": _layers(measured["profile"]),
        "cold starts": _cold_starts(measured["cold-start"].peers, measured["cold-start"]),
        "throttled starts": _cold_starts(measured["cold-start"].throttled, measured["cold-start"]),
    }
    plots.draw(measured, documents.DOCS / "images")
    documents.put(documents.DOCS / "explanation" / "performance.md", tables)


def _row(result: Result) -> tuple[str, str, str, str, str]:
    target, measured = result.target, result.measured
    bound = f"at {target.at} {target.format(target.bound)}"
    if target.guard is not None:
        bound += f" (guard: {target.format(target.guard)})"
    return target.name, bound, "–" if measured is None else target.format(measured), result.verdict, result.detail


def _machine() -> str:
    """Return a description of the machine and of the software versions."""
    model = re.search("model name\t: (.*)", Path("/proc/cpuinfo").read_text())
    packages = ", ".join(f"{name} {version(name)}" for name in ("flask", "gunicorn", "tencentcloud-sdk-python-common"))
    return (
        f"{os.cpu_count()} processors ({model[1] if model else platform.machine()}), {platform.system()} "
        f"{platform.release().partition('-')[0]}, CPython {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"SQLite {sqlite3.sqlite_version}; {packages}.\n"
    )


def _peers(speed: Throughput) -> str:
    rows = []
    for name, rates in speed.peers.items():
        at_once = speed.peers_at_once[name]
        ratios = [
            statistics.median(own / other for own, other in zip(of["bridge"], of[name], strict=True))
            for of in (speed.peers, speed.peers_at_once)
        ]
        medians = (statistics.median(rates), statistics.median(at_once))
        rows.append((name, *(f"{cell:.{digits}f}" for pair in zip(medians, ratios, strict=True)
                             for cell, digits in zip(pair, (0, 2), strict=True))))  # fmt: skip
    head = ("", f"requests/s, API of {LATENCY * 1000:.0f} ms", "the bridge's, of it")
    return documents.table((*head, "requests/s, API at once", "the bridge's, of it"), rows)


_KINDS = {
    "first": "a first delivery",
    "again": "a replay",
    "refused": "a refused signature",
    "nothing": "the baseline's `GET /health`",
}


def _costs(speed: Throughput) -> str:
    first = speed.kinds["first"]
    rows = []
    for kind, name in _KINDS.items():
        rates = speed.kinds[kind]
        ratio = statistics.median(one / other for one, other in zip(first, rates, strict=True))
        rows.append((name, f"{statistics.median(rates):.0f}", f"{ratio:.2f}"))
    return documents.table(("", "requests/s", "cost, of a first delivery's"), rows)


def _layers(profile: Profile) -> str:
    if not profile.layers:
        return "Not measured: py-spy has no permission to read other processes on this machine.\n"
    names = [*(name for name, _ in LAYERS), ELSE, PROCESSOR]
    rows = [(name, *(f"{of.get(name, 0):.0f}" for of in profile.layers.values())) for name in names]
    return documents.table(("µs of a request", *profile.layers), rows)


def _cold_starts(peers: Iterable[Peer], cold: ColdStart) -> str:
    if not peers:
        return f"Not measured: {cold.results[-1].detail}.\n"
    rows = [
        (
            peer.name,
            f"{statistics.median(peer.health) * 1000:.0f} ms",
            f"{statistics.median(peer.verified) * 1000:.0f} ms",
            f"{statistics.median(peer.processor) * 1000:.0f} ms",
            f"{statistics.median(peer.memory) / 2**20:.1f} MiB",
        )
        for peer in peers
    ]
    return documents.table(
        ("", "first 200", "first verified delivery", "processor time until then", "memory of all processes"), rows
    )
