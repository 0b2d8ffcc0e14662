"""Return the statements of operate.md, logs.md and metrics.md about metrics, fields, log messages and alarms."""

from __future__ import annotations

import re

import yaml

from tests.docs import code_facts
from tests.support.documents import blocks, cells, read, section, table

OPERATE, LOGS, METRICS = "docs/guides/operate.md", "docs/reference/logs.md", "docs/reference/metrics.md"


def documented_metrics() -> dict[str, tuple[str, set[str]]]:
    rows = table(METRICS, "Names and labels", 0, 1, 2)
    return {name: (kind, set(re.findall("[a-z]+", labels))) for name, kind, labels in rows}


def queried_labels() -> set[str]:
    text = read(OPERATE)
    used = re.findall(r"by \(([a-z, ]+)\)", text) + re.findall(r"\{([a-z]+)=", text)
    return {name for names in used for name in re.findall("[a-z]+", names)}


def queried_codes() -> set[str]:
    text = read(OPERATE)
    queries = re.findall(r'(?:outcome|result)=~?"([^"]+)"', text) + re.findall(r'outcome:\(?"([^)`]+)"', text)
    return {code for query in queries for code in re.findall("[a-z]+(?:-[a-z]+)+", query)}


def documented_fields() -> dict[str, str]:
    return {name: kind.split(" ")[0].rstrip(",") for name, kind in table(LOGS, "Fields", 0, 1)}


def queried_fields() -> set[str]:
    (queries,) = re.findall(r"```text\n(message:.*?)```", read(OPERATE), re.DOTALL)
    fields = set(re.findall(r"([a-z_]+):", queries)) | set(re.findall(r"percentile\(([a-z_]+),", queries))
    return fields | {name for names in re.findall(r"select ([a-z_, ]+), count", queries) for name in names.split(", ")}


def documented_lines() -> set[tuple[str, str]]:
    """Return message and level of each line. A message shortened with `…` becomes the code's, if one matches."""
    logged = code_facts.log_lines()

    def complete(message: str, level: str) -> set[tuple[str, str]]:
        pattern = ".*".join(map(re.escape, message.split("…")))
        return {one for one in logged if re.fullmatch(pattern, one[0]) and one[1] == level} or {(message, level)}

    return {line for message, level in table(LOGS, "Messages", 0, 1) for line in complete(message, level)}


def delivery_paths() -> set[str]:
    """Return the paths whose requests have the log message `delivery`."""
    (meaning,) = [meaning for message, _, meaning in table(LOGS, "Messages") if message == "`delivery`"]
    return set(re.findall("`(/[a-z/]*)`", meaning))


def documented_levels() -> set[str]:
    return {level for _, levels in table(LOGS, "Messages", 0, 1) for level in levels.split(", ")}


def alarms_in_table() -> set[str]:
    rows = [cells(line) for line in section(OPERATE, "## Alarms").splitlines() if line.startswith("|")]
    return {name for _, rule, *_ in rows[2:] for name in re.findall("`(SignupBridge[A-Za-z]+)`", rule)}


def alarms_in_rules() -> set[str]:
    rules = yaml.safe_load(blocks(OPERATE, "yaml")[1])
    return {rule["alert"] for group in rules["groups"] for rule in group["rules"]}
