"""Helpers that the request and response schemas share."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}


def reference(name: str) -> Schema:
    """Return a reference to the component with this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def enum(*words: str) -> Schema:
    """Return the schema of a string that is one of ``words``."""
    return {"type": "string", "enum": list(words)}
