"""Format a line of the JSON log as text, for a person at a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_IN_COLUMNS = ("time", "level", "message", "status", "outcome", "contact", "duration_ms")
_OMITTED = ("request_id", "trace_id", "api_request_id", "type", "wait_ms", "upstream_ms")


def format_line(line: Mapping[str, Any]) -> str:
    """Return one line of printable ASCII, with the local time of day.

    A request has its status, outcome, masked contact and duration; another line has its level and message. The other
    fields follow as ``name=value``, without ids and partial durations.
    """
    local = datetime.fromisoformat(line["time"].replace("Z", "+00:00")).astimezone()
    is_request = {"status", "outcome"} <= line.keys()
    columns = [f"{local:%H:%M:%S}"]
    if line["level"] != "INFO" or not is_request:
        columns.append(_escape(line["level"]))
    if is_request:
        columns.append(_escape(f"{line['status']} {line['outcome']}"))
        columns += [_value(line["contact"])] if "contact" in line else []
        columns += [_escape(f"{line['duration_ms']} ms")] if "duration_ms" in line else []
    else:
        columns.append(_escape(line["message"]))
    rest = {name: value for name, value in line.items() if name not in (*_IN_COLUMNS, *_OMITTED)}
    columns += [_escape(name) if value is True else f"{_escape(name)}={_value(value)}" for name, value in rest.items()]
    return "  ".join(columns)


def _value(value: Any) -> str:
    """Return a word unchanged, and any other value as JSON, which escapes other characters than printable ASCII."""
    quoted = json.dumps(value)
    is_word = isinstance(value, str) and quoted == f'"{value}"' and value and " " not in value
    return value if is_word else quoted


def _escape(text: str) -> str:
    """Escape other characters than printable ASCII, such as line breaks and the control characters of a terminal."""
    return text.encode("unicode_escape").decode()
