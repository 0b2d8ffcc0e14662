"""Convert the replies of the scripts, which are lists of strings, to the ledger's types."""

from __future__ import annotations

from typing import Any

from signup_bridge.ledger import (
    Acquired,
    CallWindow,
    Claim,
    ContactBusy,
    InFlight,
    KeyMismatch,
    RateLimited,
    Record,
    Replay,
    SendLimited,
    ShortCircuited,
    Slot,
    UnknownOutcome,
)

_BARE_CLAIMS: dict[str, Claim] = {"in-flight": InFlight(), "contact-busy": ContactBusy(), "key-mismatch": KeyMismatch()}


def claim(reply: list[Any]) -> Claim:
    """Return the claim of a reply to ``claim`` or ``claim_send``."""
    kind, *rest = reply
    match kind:
        case "acquired":
            return _acquired(*rest)
        case "replay":
            return Replay(record(rest[0]))
        case "short-circuited":
            return ShortCircuited(record(rest[0]))
        case "rate-limited":
            return RateLimited(float(rest[0]))
        case "send-limited":
            return SendLimited(float(rest[0]), rest[1])
    return _BARE_CLAIMS[kind]


def _acquired(wait: str, release_pending: str, unknown: list[Any]) -> Acquired:
    if not unknown:
        return Acquired(float(wait), release_pending=release_pending == "1")
    now, calls, competing_calls, has_more_calls = unknown
    unknown_outcome = UnknownOutcome(
        float(now), _call_windows(calls), _call_windows(competing_calls), has_more_calls=has_more_calls == "1"
    )
    return Acquired(float(wait), release_pending=release_pending == "1", unknown_outcome=unknown_outcome)


def slot(reply: list[str]) -> Slot:
    """Return the slot of a reply to ``begin_retry`` or ``reserve_slot``."""
    return Slot(float(reply[0]), fits=reply[1] == "1")


def record(reply: list[str]) -> Record:
    """Return the record in a reply."""
    outcome, request_id, resolved, contact_type, *retry_after = reply
    seconds = float(retry_after[0]) if retry_after else None
    return Record(outcome, request_id or None, resolved == "1", int(contact_type), seconds)


def _call_windows(times: list[str]) -> tuple[CallWindow, ...]:
    return tuple(CallWindow(float(sent), float(gave_up)) for sent, gave_up in zip(times[::2], times[1::2], strict=True))
