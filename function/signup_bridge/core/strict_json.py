"""JSON as both sides of the bridge must read it: UTF-8, no member twice, no NaN, a bounded nesting.

A second `contact` or a second `Error` that one parser sees and another does not is how checks are passed by. Python's
own bound on nesting differs from release to release, and code that runs at it (finalizers of other objects) fails.
"""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

MAX_NESTING = 100

# The closing quote is optional, so that a string that never ends is one token, too.
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)


def loads(data: bytes) -> Any:
    """Return the JSON document in ``data``.

    Raises ValueError, whose text holds nothing of the data, for anything that is not UTF-8 JSON, holds a member twice
    or a number that JSON does not know, or nests deeper than MAX_NESTING.
    """
    try:
        text = data.decode()
        if not _is_too_deep(text):
            return _DECODER.decode(text)
    except (UnicodeDecodeError, json.JSONDecodeError):
        pass  # the cause would carry the data
    raise ValueError("not JSON")


def dumps(value: object) -> bytes:
    """Return ``value`` as UTF-8 JSON. Raises ValueError if it is no JSON value or nests deeper than MAX_NESTING."""
    if not _nests_too_deep(value):
        try:
            return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
        except (TypeError, ValueError):
            pass  # the cause would carry the data
    raise ValueError("not JSON")


def _is_too_deep(text: str) -> bool:
    """Return whether a JSON text nests deeper than MAX_NESTING. Few texts have so many brackets that it is read."""
    if text.count("[") + text.count("{") <= MAX_NESTING:
        return False
    depth = deepest = 0
    for token in _TOKEN.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token[0], 0)
        deepest = max(deepest, depth)
    return deepest > MAX_NESTING


def _nests_too_deep(value: object) -> bool:
    """Return whether a value nests deeper than MAX_NESTING, without a function that calls itself."""
    level: list[Any] = [value] if isinstance(value, (dict, list, tuple)) else []
    for _ in range(MAX_NESTING):
        members = (member for outer in level for member in (outer.values() if isinstance(outer, dict) else outer))
        level = list({id(member): member for member in members if isinstance(member, (dict, list, tuple))}.values())
        if not level:
            return False
    return True


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
