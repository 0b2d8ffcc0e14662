"""Every line that the bridge writes is declared: `logs.FIELDS` is all that may stand in one."""

from __future__ import annotations

import json
import logging
from typing import Any

from signup_bridge.telemetry.logs import LOG_FIELDS, JsonFormatter

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def undeclared(line: dict[str, Any]) -> list[str]:
    """The fields of a line that are not declared, or not as they are."""
    return [
        f"{name}: {value!r}"
        for name, value in line.items()
        if type(value) not in TYPES.get(LOG_FIELDS.get(name, ""), ())
    ]


def lines_of(text: str) -> list[dict[str, Any]]:
    """The lines of the log in whatever else was printed, all of them declared."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [found for line in lines if (found := undeclared(line))] == []
    return lines


class Checker(logging.Handler):
    """Keeps what is not declared of the lines that this process writes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found += undeclared(json.loads(JsonFormatter().format(record)))
