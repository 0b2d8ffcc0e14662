"""Read tables, sections, code blocks, anchors and links of the project's Markdown documents."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@cache
def read(document: str) -> str:
    """Return the text of a document, named by its path below the project's root."""
    return (ROOT / document).read_text()


def words(document: str) -> int:
    """Return the number of words in a document, without its code blocks."""
    text = re.sub(r"^ *```.*?^ *```", "", read(document), flags=re.DOTALL | re.MULTILINE)
    return sum(any(map(str.isalnum, word)) for word in text.split())


def section(document: str, heading: str) -> str:
    """Return the text under a heading, up to the next heading of the same or a higher level."""
    _, sign, rest = read(document).partition(f"\n{heading}\n")
    assert sign, f"{document} has no heading {heading!r}"
    level = len(heading) - len(heading.lstrip("#"))
    return re.split(rf"\n#{{1,{level}}} ", rest)[0]


def table(document: str, heading: str, *columns: int) -> list[tuple[str, ...]]:
    """Return some columns of the first table under a heading, without its head and without backticks.

    Without columns, return the whole rows unchanged.
    """
    _, sign, rest = read(document).partition(f"## {heading}\n")
    assert sign, f"{document} has no heading {heading!r}"
    rows = [cells(line) for line in re.split("\n##+ ", rest)[0].splitlines() if line.startswith("|")][2:]
    if not columns:
        return [tuple(row) for row in rows]
    return [tuple(row[column].strip("`") for column in columns) for row in rows]


def column(document: str, heading: str, number: int) -> list[str]:
    """Return one column of the first table under a heading."""
    return [cell for (cell,) in table(document, heading, number)]


def empty_cells(document: str, heading: str, first: int) -> list[tuple[str, ...]]:
    """Return the rows of a table that have an empty cell in or after a column."""
    return [row for row in table(document, heading) if not all(row[first:])]


def cells(line: str) -> list[str]:
    """Return the cells of a line of a table."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def blocks(document: str, language: str) -> list[str]:
    """Return the code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(document), re.DOTALL | re.MULTILINE)


def sections(document: str) -> dict[str, str]:
    """Return the text of each second-level section by heading."""
    return dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", read(document), re.MULTILINE))


def anchor(heading: str) -> str:
    """Return the anchor that GitHub gives to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def anchors(document: str) -> set[str]:
    """Return the anchors of a document's headings."""
    without_code = re.sub(r"^```.*?^```", "", read(document), flags=re.DOTALL | re.MULTILINE)
    return {anchor(heading) for heading in re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)}


def broken_links(document: str) -> list[str]:
    """Return the links to files or headings of the project that do not exist."""
    broken = []
    for target, heading in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", read(document)):
        path = ((ROOT / document).parent / target).resolve() if target else ROOT / document
        if not path.exists() or (heading and heading not in anchors(str(path.relative_to(ROOT)))):
            broken.append(f"{target}#{heading}")
    return broken
