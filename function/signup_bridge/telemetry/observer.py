"""The interface of the metrics, and the null object that is used unless ``METRICS=true``."""

from __future__ import annotations

from signup_bridge.core.outcomes import Result


class Observer:
    """Ignores all events. Each event is reported once, when it ends."""

    def on_response(self, outcome: str, *, replayed: bool) -> None:
        """Record that a delivery was processed or a request rejected. ``outcome`` is the outcome's code."""

    def on_api_call(self, action: str, result: Result) -> None:
        """Record that a call of the API finished or could not start."""
