"""What the sender hears: a `Verdict` or a `Refusal` becomes an HTTP answer that makes the sender do the right thing.

Out comes a status, headers and a body. It must never hold a contact in the clear, a code, or what went wrong inside.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from .judge import Verdict
from .outcomes import VERIFIED, Outcome, Refusal
from .payload import Contact

PROBLEM_TYPE = "urn:signup-bridge:problem:"


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, without its `common_headers`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def common_headers(request_id: str, *, wait: float = 0.0, upstream: float = 0.0) -> dict[str, str]:
    """The headers of every answer. ``wait`` and ``upstream`` are seconds: before the API call and in it."""
    times = f"wait;dur={wait * 1000:.1f}, upstream;dur={upstream * 1000:.1f}"
    return {"X-Request-Id": request_id, "Server-Timing": times}


def of_verdict(verdict: Verdict, contact: Contact) -> Answer:
    """The answer to a delivery that was worked on: its contact is told masked, and only when it is verified."""
    if verdict.outcome is not VERIFIED:
        return _problem(verdict.outcome, verdict.outcome.detail, request_id=verdict.request_id)
    members = {
        "status": VERIFIED.code,
        "type": contact.type.word,
        "contact": contact.masked,
        "request_id": verdict.request_id,
    }
    return of_document(VERIFIED.status, members)


def of_refusal(refusal: Refusal) -> Answer:
    """The answer to a request that was not worked on."""
    return _problem(refusal.outcome, refusal.detail, errors=refusal.errors)


def of_document(status: int, members: dict[str, Any], media_type: str = "application/json") -> Answer:
    """An answer whose body is a JSON object."""
    return Answer(status, (("Content-Type", media_type),), json.dumps(members).encode() + b"\n")


def _problem(
    outcome: Outcome, detail: str, *, request_id: str | None = None, errors: tuple[tuple[str, str], ...] = ()
) -> Answer:
    """A problem document (RFC 9457) and the headers that say whether, and when, to send again."""
    members: dict[str, Any] = {
        "type": PROBLEM_TYPE + outcome.code,
        "title": outcome.title,
        "status": outcome.status,
        "detail": detail,
        "code": outcome.code,
        "retryable": outcome.retryable,
    }
    if request_id is not None:
        members["request_id"] = request_id
    if errors:
        members["errors"] = [{"pointer": pointer, "detail": what} for pointer, what in errors]
    answer = of_document(outcome.status, members, "application/problem+json")
    return Answer(answer.status, answer.headers + _headers(outcome), answer.body)


def _headers(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    if outcome.abort:
        return (("webhook-delivery", "abort-message"),)
    if outcome.retry_after is not None:
        return (("Retry-After", str(outcome.retry_after)),)
    return ()
