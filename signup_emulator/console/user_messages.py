"""What a signup form shows a person for each of the bridge's codes."""

from __future__ import annotations

_WORDS = {
    "verified": "You are verified. Welcome!",
    "sent": "We have sent you a code.",
    "send-limited": "You have asked for too many codes. Wait a while, then ask again.",
    "send-failed": "We could not send you a code. Ask again, or use another number or address.",
    "code-incorrect": "That code is not right. Look again, or ask for a new one.",
    "contact-invalid": "We cannot send codes there. Check the number or address.",
    "already-verified": "This number or address has already been verified. Sign in instead?",
    "attempts-exhausted": "Too many wrong codes. Wait a while, then ask for a new one.",
    "outcome-unresolved": "Something went wrong on our side. Ask for a new code, please.",
    "body-invalid": "Check the number or address, and the code.",
    "in-progress": "One moment: your code is being checked.",
}
_LATER = "We could not check your code yet, and try again for you. Nothing is lost."
_OURS = "Something is wrong with our signup. We have been told."


def message_for(outcome: str | None, *, retryable: bool | None) -> str:
    """The words for an outcome; where it has none, those for whether it may end otherwise."""
    return _WORDS.get(outcome or "") or (_LATER if retryable in (True, None) else _OURS)
