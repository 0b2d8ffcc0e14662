"""Record the calls of the API: request, reply and duration."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, SupportsIndex

MAX_CALLS = 10_000
"""The number of calls that are stored, the newest ones."""


@dataclass
class Call:
    """One call of the API. ``result`` is ``OK``, the API's error code, or the wire fault that replaced the reply.

    ``fault`` was armed or chosen by the contact. ``trace_id`` is the header ``X-TC-TraceId``, ``request`` has the
    parameters. ``reply`` is the part of the body that was sent, None if nothing was. ``duration_ms`` is the time from
    the end of the request to the reply.
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
    """The newest calls, oldest first. `append` is thread-safe."""

    def __init__(self, calls: Iterable[Call] = (), *, limit: int = MAX_CALLS) -> None:
        super().__init__(calls)
        self.limit = limit

    def append(self, call: Call, /) -> None:
        super().append(call)
        del self[: -self.limit]  # atomic; deletes nothing if another thread was first

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        return Calls, (list(self),)
