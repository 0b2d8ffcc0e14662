"""What the sender hears: a `Verdict` or a `Refusal` becomes an HTTP answer that makes the sender do the right thing.

Out comes a status, headers and a body, in the form of the sender's profile. It must never hold a contact in the clear,
a code, or what went wrong inside.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.outcomes import ALREADY_VERIFIED, CODE_INCORRECT, SENT, Outcome, RequestRejected, Result

from .profiles import STATUS, Profile, ResponseFormat

PROBLEM_TYPE = "urn:signup-bridge:problem:"


class HttpResponse(NamedTuple):
    """An HTTP answer, without its `common_headers`."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def common_headers(request_id: str, *, wait: float = 0.0, upstream: float = 0.0, timed: bool = True) -> dict[str, str]:
    """The headers of every answer. ``wait`` and ``upstream`` are seconds: before the API call and in it.

    Not ``timed``: they could tell what the answer hides.
    """
    if not timed:
        return {"X-Request-Id": request_id}
    times = f"wait;dur={wait * 1000:.1f}, upstream;dur={upstream * 1000:.1f}"
    return {"X-Request-Id": request_id, "Server-Timing": times}


def from_result(
    verdict: Result,
    contact_type: ContactType | None,
    contact: Contact | None,
    profile: Profile = STATUS,
    *,
    resend_after: float = 0.0,
) -> HttpResponse:
    """The answer to a delivery: when all went well its contact is told, masked, or left out where it is not known.

    ``resend_after`` is in seconds: when another code may be asked for.
    """
    if verdict.outcome.kind != "done":
        told = _ProblemDetails(
            verdict.outcome, verdict.outcome.detail, verdict.request_id, retry_after=verdict.retry_after
        )
        return _render(told, profile)
    members = {
        "status": verdict.outcome.code,
        "type": contact_type.label if contact_type else None,
        "contact": contact.masked if contact else None,
        "request_id": verdict.request_id,
        "resolved": verdict.resolved or None,
        "resend_after": math.ceil(resend_after) if verdict.outcome is SENT else None,
    }
    return json_response(verdict.outcome.status, {name: value for name, value in members.items() if value is not None})


def conceal_already_verified(verdict: Result) -> Result:
    """The verdict as it is told where nobody may find out which contacts were verified before."""
    if verdict.outcome not in (ALREADY_VERIFIED, CODE_INCORRECT):  # the same work for both: time could tell them apart
        return verdict
    return verdict._replace(outcome=CODE_INCORRECT, request_id=verdict.request_id or verdict.placeholder_request_id)


def mark_replayed(answer: HttpResponse) -> HttpResponse:
    """The same answer, marked as one that was given before."""
    return answer._replace(headers=(*answer.headers, ("Idempotent-Replayed", "true")))


def from_rejection(refusal: RequestRejected, profile: Profile = STATUS) -> HttpResponse:
    """The answer to a request that was not worked on."""
    told = _ProblemDetails(refusal.outcome, refusal.detail, errors=refusal.errors, message=refusal.message)
    return _render(told, profile)


def http_status(outcome: Outcome, profile: Profile) -> int:
    """The HTTP status that an outcome is answered with."""
    match response_format(outcome, profile):
        case "acknowledged":
            return 200
        case "hook":
            return 503 if outcome.retryable else 200
    return outcome.status


def response_format(outcome: Outcome, profile: Profile) -> ResponseFormat:
    """The form of an outcome with which not all went well; the others' is the same in all profiles."""
    match outcome.kind:
        case "refused":
            return profile.refused
        case "retryable":
            return profile.retryable
    return "problem"


def json_response(status: int, members: dict[str, Any], media_type: str = "application/json") -> HttpResponse:
    """An answer whose body is a JSON object."""
    return HttpResponse(status, (("Content-Type", media_type),), json.dumps(members).encode() + b"\n")


class _ProblemDetails(NamedTuple):
    """What may be told of an outcome.

    ``retry_after`` is in seconds, ``message`` for the person who signs up; None for the outcome's own.
    """

    outcome: Outcome
    detail: str
    request_id: str | None = None
    errors: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None
    message: str | None = None

    @property
    def members(self) -> dict[str, Any]:
        """Those that are there only when there is something to tell."""
        members: dict[str, Any] = {}
        if self.request_id is not None:
            members["request_id"] = self.request_id
        if self.errors:
            members["errors"] = [{"pointer": pointer, "detail": what} for pointer, what in self.errors]
        return members


def _render(told: _ProblemDetails, profile: Profile) -> HttpResponse:
    outcome = told.outcome
    status = http_status(outcome, profile)
    message = told.message or outcome.title
    match response_format(outcome, profile):
        case "acknowledged":  # nothing to stop: who hears 200 does not send again
            members = {"status": outcome.code, "verified": False, "title": message, "detail": told.detail}
            return json_response(status, members | told.members)
        case "hook":
            http_code = status if outcome.retryable else outcome.status
            answer = json_response(status, {"error": {"http_code": http_code, "message": message}})
            # At once: all its tries together have 5 s.
            again = (("Retry-After", "1"),) if outcome.retryable else ()
            return answer._replace(headers=answer.headers + again)
    return _problem(told)


def _problem(told: _ProblemDetails) -> HttpResponse:
    """A problem document (RFC 9457) and the headers that say whether, and when, to send again."""
    outcome = told.outcome
    members: dict[str, Any] = {
        "type": PROBLEM_TYPE + outcome.code,
        "title": outcome.title,
        "status": outcome.status,
        "detail": told.detail,
        "code": outcome.code,
        "retryable": outcome.retryable,
    }
    answer = json_response(outcome.status, members | told.members, "application/problem+json")
    return answer._replace(headers=answer.headers + _headers(outcome, told.retry_after))


def _headers(outcome: Outcome, retry_after: float | None) -> tuple[tuple[str, str], ...]:
    if outcome.abort:
        return (("webhook-delivery", "abort-message"),)
    if outcome.retry_after is not None:
        return (("Retry-After", str(math.ceil(max(1, outcome.retry_after if retry_after is None else retry_after)))),)
    return ()
