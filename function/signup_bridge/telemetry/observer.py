"""The events that metrics count. Nothing counts them unless ``METRICS=true``."""

from __future__ import annotations

from signup_bridge.core.outcomes import Result


class Observer:
    """Sees each event once, at its end, and ignores it."""

    def on_response(self, outcome: str, *, replayed: bool) -> None:
        """A delivery was processed or a request rejected. ``outcome`` is the outcome's code."""

    def on_api_call(self, action: str, result: Result) -> None:
        """A call of the API ended or could not start, with this result."""
