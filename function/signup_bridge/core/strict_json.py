"""Strict JSON: UTF-8, no duplicate members, no NaN, limited nesting.

If two parsers read a duplicate `contact` or `Error` differently, it can bypass a check. Python's own nesting limit
differs between releases, and code that runs near that limit, such as finalizers, fails.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MAX_NESTING = 100

# The closing quote is optional, so that an unterminated string is also one token.
_STRING_OR_BRACKET = r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]'


def loads(data: bytes) -> Any:
    """Parse a JSON document. Raises ValueError, whose text contains no data, if it is not strict JSON."""
    try:
        text = data.decode()
        if not _is_too_deep(text):
            return _DECODER.decode(text)
    except (UnicodeDecodeError, json.JSONDecodeError):
        pass  # the cause would contain the data
    raise ValueError("not JSON")


def dumps(value: object) -> bytes:
    """Return a value as UTF-8 JSON. Raises ValueError if it is not a JSON value or nests deeper than MAX_NESTING."""
    if not _nests_too_deep(value):
        try:
            return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError):
            pass  # the cause would contain the data
    raise ValueError("not JSON")


def _is_too_deep(text: str) -> bool:
    """Return whether a document nests deeper than MAX_NESTING. Only a document with that many brackets is scanned."""
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    depth = deepest = 0
    for token in re.finditer(_STRING_OR_BRACKET, text, re.DOTALL):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest > MAX_NESTING


def _nests_too_deep(value: object) -> bool:
    """Return whether a value nests deeper than MAX_NESTING, without recursion."""
    level: list[Any] = [value] if isinstance(value, (dict, list, tuple)) else []
    for _ in range(MAX_NESTING):
        members = (member for outer in level for member in (outer.values() if isinstance(outer, dict) else outer))
        level = list({id(member): member for member in members if isinstance(member, (dict, list, tuple))}.values())
        if not level:
            return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate member")
    return members


def _reject_constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_reject_constant)
