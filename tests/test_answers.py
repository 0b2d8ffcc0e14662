"""What every answer tells of its times."""

from __future__ import annotations

from bridge.answers import common_headers


def test_times_are_told_in_milliseconds() -> None:
    assert common_headers("r-1", wait=0.0123, upstream=0.4567) == {
        "X-Request-Id": "r-1",
        "Server-Timing": "wait;dur=12.3, upstream;dur=456.7",
    }
    assert common_headers("r-1")["Server-Timing"] == "wait;dur=0.0, upstream;dur=0.0"
    assert common_headers("r-1", wait=1, upstream=1, timed=False) == {"X-Request-Id": "r-1"}
