"""What happens, for whoever counts it. Nobody does unless ``METRICS=true``."""

from __future__ import annotations

from signup_bridge.upstream.reply import Verdict


class Watch:
    """Is told of each thing once, when it is over, and counts nothing."""

    def delivered(self, outcome: str, *, replayed: bool) -> None:
        """A delivery is answered, or a request refused: the outcome's code."""

    def called(self, action: str, verdict: Verdict) -> None:
        """A call of the API has been made, or could not leave; what it means."""
