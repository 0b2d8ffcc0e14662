"""JSON Pointers (RFC 6901): a setting's text becomes tokens, tokens find a value in a document.

It must find what is there in whatever document anybody sends, and raise nothing but LookupError.
"""

from __future__ import annotations

import re
from typing import Any

Pointer = tuple[str, ...]
"""The reference tokens, unescaped; none for the whole document."""

_POINTER = re.compile(r"(?:/(?:[^/~]|~[01])*)+", re.DOTALL)
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")


def parse(text: str) -> Pointer:
    """The tokens of a pointer to a member. Raises ValueError."""
    if not _POINTER.fullmatch(text):
        raise ValueError(
            "must be a JSON Pointer (RFC 6901) such as /data/user/email; ~ is written ~0, and / in a name ~1"
        )
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text.split("/")[1:])


def to_string(pointer: Pointer) -> str:
    """The pointer as a URI fragment, but for percent signs: ``#/data/user/email``."""
    return "".join(["#", *("/" + token.replace("~", "~0").replace("/", "~1") for token in pointer)])


def resolve(document: Any, pointer: Pointer) -> Any:
    """The value that a pointer points to. Raises LookupError when there is none."""
    for token in pointer:
        if isinstance(document, dict):
            document = document[token]
        elif isinstance(document, list) and is_index(token):
            document = document[int(token)]
        else:
            raise LookupError
    return document


def is_index(token: str) -> bool:
    """Return whether a token can be a position in a list, from 0 on."""
    return _INDEX.fullmatch(token) is not None
