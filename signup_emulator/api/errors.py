"""The one error of the API stand-in."""

from __future__ import annotations


class ApiError(Exception):
    """An answer of the API that is an error: its code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
