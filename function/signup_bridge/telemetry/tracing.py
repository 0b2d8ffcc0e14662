"""The trace that a request belongs to: from its `traceparent` header to the log's lines and to the API's calls.

Source: W3C Trace Context, "traceparent Header Field Values".
"""

from __future__ import annotations

import re
from contextvars import ContextVar

trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)
"""Of the request that is being answered: 32 lower-case hexadecimal digits."""

# A later version may have more behind its flags. What has no letter could be a phone number, sent to be logged.
_TRACEPARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?P<trace>(?=[0-9]*[a-f])[0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)


def from_header(traceparent: str) -> str | None:
    """The trace id in a `traceparent` header's value, None when it is none."""
    match = _TRACEPARENT.fullmatch(traceparent.strip())
    if match is None or (match["more"] is not None and traceparent.strip().startswith("00")):
        return None
    return match["trace"]
