"""Return the facts that README.md and its translation both state."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from tests.support.documents import blocks, cells, read

ENGLISH, CHINESE = "README.md", "README.zh-CN.md"
MAX_WORDS = 900


def words(document: str) -> int:
    """Return the number of words, including code."""
    return len(read(document).split())


def examples(document: str) -> list[str]:
    """Return the commands without their comments, and the examples."""
    commands = [re.sub(r" +# .*", "", block) for block in blocks(document, "sh")]
    return commands + blocks(document, "http") + blocks(document, "json")


def settings(document: str) -> list[tuple[str, str]]:
    """Return names and defaults in the table of settings."""
    rows = re.findall(r"^\| `[A-Z_]+` \|.*", read(document), re.MULTILINE)
    return [(name.strip("`"), default.strip("`")) for name, default, *_ in map(cells, rows)]


def code_in_tables(document: str) -> list[list[str]]:
    """Return the words marked as code in each row of a table."""
    return [re.findall("`[^`]+`", row) for row in re.findall(r"^\|.*", read(document), re.MULTILINE)]


def links(document: str) -> list[str]:
    """Return the targets of links and pictures, except for the link to the other language."""
    found = re.findall(r'\]\(([^)]+)\)|src(?:set)?="([^"]+)"|(http://[\d.:]+)', read(document))
    return [target for targets in found for target in targets if target and target not in (ENGLISH, CHINESE)]


def headings(document: str) -> list[str]:
    """Return the level of each heading."""
    text = re.sub(r"^```.*?^```", "", read(document), flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"^(#+) ", text, re.MULTILINE)


FACTS: dict[str, Callable[[str], Collection[Any]]] = {
    "commands and examples": examples,
    "settings": settings,
    "code in tables": code_in_tables,
    "links": links,
    "headings": headings,
}
