"""The interface of the metrics, and its null object: nothing is counted unless ``METRICS=true``."""

from __future__ import annotations

from signup_bridge.core.outcomes import Result


class Observer:
    """Ignores each event, which it receives once, at the event's end."""

    def on_response(self, outcome: str, *, replayed: bool) -> None:
        """Record that a delivery was processed or a request rejected. ``outcome`` is the outcome's code."""

    def on_api_call(self, action: str, result: Result) -> None:
        """Record that a call of the API ended or could not start."""
