"""JSON Pointers (RFC 6901). The pointers come from settings; the documents may contain anything."""

from __future__ import annotations

import re
from typing import Any

Pointer = tuple[str, ...]
"""The unescaped reference tokens; an empty tuple for the whole document."""

_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)+", re.DOTALL)


def parse(text: str) -> Pointer:
    """Return the tokens of a pointer to a member. Raises ValueError."""
    if not _POINTER.fullmatch(text):
        raise ValueError(
            "must be a JSON Pointer (RFC 6901) such as /data/user/email; in a name, write ~ as ~0 and / as ~1"
        )
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:])


def to_string(pointer: Pointer) -> str:
    """Return the pointer as a URI fragment without percent-encoding: ``#/data/user/email``."""
    return "/".join(["#", *(token.replace("~", "~0").replace("/", "~1") for token in pointer)])


def resolve(document: Any, pointer: Pointer) -> Any:
    """Return the value at a pointer. Raises LookupError if there is none."""
    for token in pointer:
        if isinstance(document, dict):
            document = document[token]
        elif isinstance(document, list) and is_index(token):
            document = document[int(token)]
        else:
            raise LookupError
    return document


def is_index(token: str) -> bool:
    """Return whether a token can be an index of a list."""
    return re.fullmatch(r"0|[1-9][0-9]{0,8}", token) is not None
