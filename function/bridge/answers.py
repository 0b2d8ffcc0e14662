"""What the sender hears: a `Verdict` or a `Refusal` becomes an HTTP answer that makes the sender do the right thing.

Out comes a status, headers and a body. It must never hold a contact in the clear, a code, or what went wrong inside.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from .judge import Verdict
from .outcomes import VERIFIED, Outcome, Refusal
from .payload import Contact, ContactType

PROBLEM_TYPE = "urn:signup-bridge:problem:"


class Answer(NamedTuple):
    """An HTTP answer, without its `common_headers`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def common_headers(request_id: str, *, wait: float = 0.0, upstream: float = 0.0) -> dict[str, str]:
    """The headers of every answer. ``wait`` and ``upstream`` are seconds: before the API call and in it."""
    times = f"wait;dur={wait * 1000:.1f}, upstream;dur={upstream * 1000:.1f}"
    return {"X-Request-Id": request_id, "Server-Timing": times}


def of_verdict(verdict: Verdict, contact_type: ContactType | None, contact: Contact | None) -> Answer:
    """The answer to a delivery: when it is verified its contact is told, masked, or left out where it is not known."""
    if verdict.outcome is not VERIFIED:
        return _problem(
            verdict.outcome, verdict.outcome.detail, request_id=verdict.request_id, retry_after=verdict.retry_after
        )
    members = {
        "status": VERIFIED.code,
        "type": contact_type.word if contact_type else None,
        "contact": contact.masked if contact else None,
        "request_id": verdict.request_id,
        "resolved": verdict.resolved or None,
    }
    return of_document(VERIFIED.status, {name: value for name, value in members.items() if value is not None})


def replayed(answer: Answer) -> Answer:
    """The same answer, marked as one that was given before."""
    return answer._replace(headers=(*answer.headers, ("Idempotent-Replayed", "true")))


def of_refusal(refusal: Refusal) -> Answer:
    """The answer to a request that was not worked on."""
    return _problem(refusal.outcome, refusal.detail, errors=refusal.errors)


def of_document(status: int, members: dict[str, Any], media_type: str = "application/json") -> Answer:
    """An answer whose body is a JSON object."""
    return Answer(status, (("Content-Type", media_type),), json.dumps(members).encode() + b"\n")


def _problem(
    outcome: Outcome,
    detail: str,
    *,
    request_id: str | None = None,
    errors: tuple[tuple[str, str], ...] = (),
    retry_after: float | None = None,
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
    return Answer(answer.status, answer.headers + _headers(outcome, retry_after), answer.body)


def _headers(outcome: Outcome, retry_after: float | None) -> tuple[tuple[str, str], ...]:
    if outcome.abort:
        return (("webhook-delivery", "abort-message"),)
    if outcome.retry_after is not None:
        return (("Retry-After", str(math.ceil(max(1, outcome.retry_after if retry_after is None else retry_after)))),)
    return ()
