"""What a signup form can show a person for each outcome."""

from __future__ import annotations

_MESSAGES = {
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
_RETRY_MESSAGE = "We could not check your code yet. We will try again for you."
_FAILURE_MESSAGE = "Something is wrong with our signup. We have been told."


def message_for(outcome: str | None, *, retryable: bool | None) -> str:
    """Return the message for an outcome, or a general one if it has none."""
    return _MESSAGES.get(outcome or "") or (_RETRY_MESSAGE if retryable in (True, None) else _FAILURE_MESSAGE)
