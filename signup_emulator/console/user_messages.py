"""Provide a text for each outcome that a signup form can show to a person."""

from __future__ import annotations

_MESSAGES = {
    "verified": "You are verified. Welcome!",
    "sent": "We have sent you a code.",
    "send-limited": "You have requested too many codes. Try again later.",
    "send-failed": "We could not send a code. Try again, or use another phone number or email address.",
    "code-incorrect": "The code is wrong. Check it, or request a new one.",
    "contact-invalid": "We cannot send a code to this contact. Check the phone number or email address.",
    "already-verified": "This phone number or email address is already verified. Sign in instead.",
    "attempts-exhausted": "Too many wrong codes. Request a new one later.",
    "outcome-unresolved": "Something went wrong on our side. Request a new code.",
    "body-invalid": "Check the phone number or email address, and the code.",
    "in-progress": "Your code is still being checked. Wait a moment.",
}
_RETRY_MESSAGE = "We could not check your code. Try again in a moment."
_FAILURE_MESSAGE = "Our signup does not work at the moment. Try again later."


def message_for(outcome: str | None, *, retryable: bool | None) -> str:
    """Return the message for an outcome, or a general one if it has none."""
    return _MESSAGES.get(outcome or "") or (_RETRY_MESSAGE if retryable in (True, None) else _FAILURE_MESSAGE)
