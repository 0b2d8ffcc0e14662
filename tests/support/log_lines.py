"""Check log lines against `LOG_FIELDS`, which has every field that docs/reference/logs.md describes."""

from __future__ import annotations

import json
import logging
from typing import Any

from signup_bridge.telemetry.logs import JsonFormatter

LOG_FIELDS = {
    "time": "string",
    "level": "string",
    "message": "string",
    "logger": "string",
    "request_id": "string",
    "trace_id": "string",
    "error": "string",
    "stack": "array",
    "action": "string",
    "outcome": "string",
    "status": "integer",
    "type": "string",
    "contact": "string",
    "duration_ms": "number",
    "wait_ms": "number",
    "upstream_ms": "number",
    "api_code": "string",
    "api_request_id": "string",
    "upstream_error": "string",
    "replayed": "boolean",
    "resolved": "boolean",
    "remedy": "string",
    "limit": "string",
    "reason": "string",
    "invalid_members": "array",
    "record": "string",
    "records": "integer",
    "outcomes": "object",
    "event_keys": "array",
    "problems": "array",
}
"""The JSON type of each field."""

TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def undeclared(line: dict[str, Any]) -> list[str]:
    """Return the fields of a line that are not declared or have another type."""
    return [
        f"{name}: {value!r}"
        for name, value in line.items()
        if type(value) not in TYPES.get(LOG_FIELDS.get(name, ""), ())
    ]


def lines_of(text: str) -> list[dict[str, Any]]:
    """Return the log lines in the output, and check that their fields are declared."""
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert [found for line in lines if (found := undeclared(line))] == []
    return lines


class Checker(logging.Handler):
    """A handler that records the undeclared fields of log lines in this process."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found += undeclared(json.loads(JsonFormatter().format(record)))
