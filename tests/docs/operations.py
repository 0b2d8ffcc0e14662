"""What docs/operations.md states about metrics, fields, log lines and alarms."""

from __future__ import annotations

import re

import yaml

from tests.docs import code_facts
from tests.support.documents import blocks, cells, read, section, table

OPERATIONS = "docs/operations.md"


def empty_cells(heading: str, first: int) -> list[tuple[str, ...]]:
    """Return the rows of a table that have an empty cell from a column on."""
    return [row for row in table(OPERATIONS, heading) if not all(row[first:])]


def documented_metrics() -> dict[str, tuple[str, set[str]]]:
    rows = table(OPERATIONS, "Metrics", 0, 1, 2)
    return {name: (kind, set(re.findall("[a-z]+", labels))) for name, kind, labels in rows}


def queried_labels() -> set[str]:
    text = read(OPERATIONS)
    used = re.findall(r"by \(([a-z, ]+)\)", text) + re.findall(r"\{([a-z]+)=", text)
    return {name for names in used for name in re.findall("[a-z]+", names)}


def queried_codes() -> set[str]:
    text = read(OPERATIONS)
    queries = re.findall(r'(?:outcome|result)=~?"([^"]+)"', text) + re.findall(r'outcome:\(?"([^)`]+)"', text)
    return {code for query in queries for code in re.findall("[a-z]+(?:-[a-z]+)+", query)}


def documented_fields() -> dict[str, str]:
    return {name: kind.split(" ")[0].rstrip(",") for name, kind in table(OPERATIONS, "Fields", 0, 1)}


def queried_fields() -> set[str]:
    (queries,) = re.findall(r"```text\n(message:.*?)```", read(OPERATIONS), re.DOTALL)
    fields = set(re.findall(r"([a-z_]+):", queries)) | set(re.findall(r"percentile\(([a-z_]+),", queries))
    return fields | {name for names in re.findall(r"select ([a-z_, ]+), count", queries) for name in names.split(", ")}


def documented_lines() -> set[tuple[str, str]]:
    """Return message and level of each line; a message that `…` shortens is completed if the code logs one like it."""
    logged = code_facts.log_lines()

    def complete(message: str, level: str) -> set[tuple[str, str]]:
        pattern = ".*".join(map(re.escape, message.split("…")))
        return {one for one in logged if re.fullmatch(pattern, one[0]) and one[1] == level} or {(message, level)}

    return {line for message, level in table(OPERATIONS, "Lines", 0, 1) for line in complete(message, level)}


def delivery_paths() -> set[str]:
    """Return the paths whose requests are logged as `delivery`."""
    (meaning,) = [meaning for message, _, meaning in table(OPERATIONS, "Lines") if message == "`delivery`"]
    return set(re.findall("`(/[a-z/]*)`", meaning))


def documented_levels() -> set[str]:
    return {level for _, levels in table(OPERATIONS, "Lines", 0, 1) for level in levels.split(", ")}


def alarms_in_table() -> set[str]:
    rows = [cells(line) for line in section(OPERATIONS, "## Alarms").splitlines() if line.startswith("|")]
    return {name for _, rule, *_ in rows[2:] for name in re.findall("`(SignupBridge[A-Za-z]+)`", rule)}


def alarms_in_rules() -> set[str]:
    rules = yaml.safe_load(blocks(OPERATIONS, "yaml")[1])
    return {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
