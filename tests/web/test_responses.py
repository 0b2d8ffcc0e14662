"""Test the times in the headers of responses."""

from __future__ import annotations

from signup_bridge.core.outcomes import Timing
from signup_bridge.web.responses import common_headers


def test_common_headers_show_milliseconds() -> None:
    assert common_headers("r-1", Timing(12.3456, 45.6789)) == {
        "X-Request-Id": "r-1",
        "Server-Timing": "wait;dur=12345.6, upstream;dur=45678.9",
    }
    assert common_headers("r-1")["Server-Timing"] == "wait;dur=0.0, upstream;dur=0.0"
    assert common_headers("r-1", None) == {"X-Request-Id": "r-1"}
