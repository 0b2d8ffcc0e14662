"""Write the benchmarks' tables and pictures into docs/, with identical bytes for identical data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent.parent / "docs"

STYLE: Any = {
    "svg.hashsalt": "signup-bridge",
    "svg.fonttype": "none",  # text remains text: searchable and small
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "path.simplify": True,
}
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9")
"""Okabe and Ito's palette, which people with colour blindness can distinguish."""


def put(document: Path, tables: dict[str, str]) -> None:
    """Write each table between ``<!-- begin name -->`` and ``<!-- end name -->``. Raises ValueError without them."""
    text = document.read_text()
    for name, table in tables.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise ValueError(f"{document}: {begin.strip()} … {end} is missing")
        text = f"{before}{begin}{table}{end}{after}"
    document.write_text(text)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *("--:" for _ in head[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=110)
    if path.suffix == ".svg":  # matplotlib leaves spaces at the end of lines
        path.write_text("\n".join(line.rstrip() for line in path.read_text().splitlines()) + "\n")
