"""The context of one invocation of an event function."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

RESPONSE_RESERVE = 0.5
"""Seconds of the platform's timeout that are reserved for the response."""

MAX_TIMEOUT_MS = 900_000
"""SCF's longest timeout, in milliseconds."""


class Invocation(NamedTuple):
    """The platform's ``request_id``, if there is one, and the ``budget``: the seconds that it leaves for the event."""

    request_id: str | None = None
    budget: float = math.inf

    @staticmethod
    def from_context(context: object) -> Invocation:
        """Read the optional ``request_id`` and ``time_limit_in_ms`` (milliseconds) of the platform's context."""
        if not isinstance(context, Mapping):
            return Invocation()
        request_id, limit = context.get("request_id"), context.get("time_limit_in_ms")
        budget = math.inf
        if isinstance(limit, (int, float)) and limit is not True and limit > 0:
            budget = max(0.0, min(limit, MAX_TIMEOUT_MS) / 1000 - RESPONSE_RESERVE)
        return Invocation(request_id if isinstance(request_id, str) else None, budget)
