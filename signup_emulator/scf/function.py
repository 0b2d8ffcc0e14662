"""Define a function as SCF runs it, and a request to its Function URL with the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Shape = Literal["web", "event"]
Headers = list[tuple[str, str]]

RESERVED = ("TENCENTCLOUD_", "SCF_", "QCLOUD_")
"""Prefixes of variable names that SCF reserves."""


class FunctionError(Exception):
    """The function did not respond. ``status`` is the platform's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Function:
    """The configuration of a function: its zip, type, environment, timeout in seconds and memory in MB.

    ``python`` is a CPython 3.10. Raises ValueError for an environment that SCF rejects.
    """

    archive: Path
    shape: Shape
    environment: Mapping[str, str] = field(repr=False)
    python: str
    timeout: float = 3.0
    memory: int = 128

    def __post_init__(self) -> None:
        reserved = [name for name in self.environment if name.startswith(RESERVED)]
        if reserved:
            raise ValueError(f"{', '.join(reserved)}: reserved by SCF; use another name")
        if sum(len(f"{name}{value}".encode()) for name, value in self.environment.items()) > 4096:
            raise ValueError("the environment variables exceed SCF's limit of 4 KB")


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Headers
    body: bytes


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Headers
    body: bytes
