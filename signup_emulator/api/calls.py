"""What is noted of each call of the API: what came, what was answered, how long that took."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

KEPT = 10_000
"""Calls that are kept: the newest."""


@dataclass
class Call:
    """One call of the API. ``result`` is ``OK``, the API's error code, or the fault that answered instead of it.

    ``fault`` was armed, or chosen by the contact. ``trace_id`` is the header ``X-TC-TraceId``, ``request`` the
    parameters. ``reply`` is the body as far as it is sent, None when there is none; ``duration_ms`` is from the
    request, once it had been read, to the reply.
    """

    at: float
    action: str
    contact: str | None
    result: str
    request_id: str
    fault: str | None = None
    trace_id: str | None = None
    duration_ms: float = 0.0
    request: dict[str, Any] = field(default_factory=dict)
    reply: str | None = None


class Calls(list[Call]):
    """The newest calls, oldest first. A list, since it is sliced; appending to it is safe for threads."""

    def __init__(self, calls: Iterable[Call] = (), *, kept: int = KEPT) -> None:
        super().__init__(calls)
        self.kept = kept

    def append(self, call: Call, /) -> None:
        super().append(call)
        del self[: -self.kept]  # one step, which finds nothing to do when another thread was before it

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        return Calls, (list(self),)
