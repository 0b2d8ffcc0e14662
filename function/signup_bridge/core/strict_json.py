"""JSON as both sides of the bridge must read it: UTF-8, no member twice, no NaN.

A second `contact` or a second `Error` that one parser sees and another does not is how checks are passed by.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn


def loads(data: bytes) -> Any:
    """The JSON document in ``data``.

    Raises ValueError, whose text holds nothing of the data, for anything that is not UTF-8 JSON, holds a member twice
    or a number that JSON does not know, or nests too deep.
    """
    try:
        return _DECODER.decode(data.decode())
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise ValueError("not JSON") from None  # the cause would carry the data


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member stands twice")
    return members


def _constant(_name: str) -> NoReturn:
    raise ValueError("not a JSON number")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_constant)
