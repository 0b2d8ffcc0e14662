"""What happens, for whoever counts it. Nobody does unless ``METRICS=true``."""

from __future__ import annotations

from signup_bridge.core.outcomes import Result


class Observer:
    """Is told of each thing once, when it is over, and counts nothing."""

    def on_response(self, outcome: str, *, replayed: bool) -> None:
        """A delivery is answered, or a request refused: the outcome's code."""

    def on_api_call(self, action: str, result: Result) -> None:
        """A call of the API has been made, or could not leave; what it means."""
