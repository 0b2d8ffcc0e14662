"""The trace id of a request, from its `traceparent` header, for the log and the API calls.

Source: W3C Trace Context, "traceparent Header Field Values".
"""

from __future__ import annotations

import re
from contextvars import ContextVar

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""The trace id of the current request: 32 lower-case hexadecimal digits."""

# Only versions after 00 may add fields after the flags. An id without a letter could be a phone number, which must not
# be logged.
_TRACEPARENT = (
    r"(?!ff|00.{53}-)[0-9a-f]{2}-(?P<trace>(?=[0-9]*[a-f])[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?"
)


def from_header(traceparent: str) -> str | None:
    """Return the trace id in the value of a `traceparent` header, or None if it is invalid."""
    match = re.fullmatch(_TRACEPARENT, traceparent.strip()) if traceparent else None
    return match["trace"] if match else None
