"""Build the HTTP response for a result or a rejection, in the format that makes the sender do the right thing.

A response never contains a contact in the clear, a verification code, or details of an internal error.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.outcomes import NO_TIME, SENT, EncodingUnsupported, Outcome, RequestRejected, Result, Timing

from .profiles import STATUS, Profile, ResponseFormat

PROBLEM_TYPE = "urn:signup-bridge:problem:"


class HttpResponse(NamedTuple):
    """An HTTP response without its `common_headers`. ``timing`` is None if it could reveal what the body conceals."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timing: Timing | None = NO_TIME


def common_headers(request_id: str, timing: Timing | None = NO_TIME) -> dict[str, str]:
    """Return the headers of every response; without times if there is no ``timing``."""
    if timing is None:
        return {"X-Request-Id": request_id}
    times = f"wait;dur={timing.queue_seconds * 1000:.1f}, upstream;dur={timing.upstream_seconds * 1000:.1f}"
    return {"X-Request-Id": request_id, "Server-Timing": times}


class Responder(NamedTuple):
    """Builds the responses for one kind of sender.

    ``resend_after``: seconds until a sender may request another code. ``timed``: responses to deliveries show times.
    """

    profile: Profile
    resend_after: float
    timed: bool

    def from_result(self, result: Result, contact_type: ContactType | None, contact: Contact | None) -> HttpResponse:
        """Return the response to a delivery. A success shows the masked contact, unless it is not known."""
        response = self._from_result(result, contact_type, contact)
        if result.replayed:
            response = response._replace(headers=(*response.headers, ("Idempotent-Replayed", "true")))
        timing = result.timing if self.timed else None
        return response._replace(timing=timing)

    def from_rejection(self, rejection: RequestRejected) -> HttpResponse:
        """Return the response to a request that was not processed."""
        return from_rejection(rejection, self.profile)

    def _from_result(self, result: Result, contact_type: ContactType | None, contact: Contact | None) -> HttpResponse:
        outcome = result.outcome
        if outcome.kind != "success":
            details = _ProblemDetails(outcome, outcome.detail, result.request_id, retry_after=result.retry_after)
            return _render(details, self.profile)
        members = {
            "status": outcome.code,
            "type": contact_type.label if contact_type else None,
            "contact": contact.masked if contact else None,
            "request_id": result.request_id,
            "resolved": result.resolved or None,
            "resend_after": math.ceil(self.resend_after) if outcome is SENT else None,
        }
        return json_response(outcome.status, {name: value for name, value in members.items() if value is not None})


def from_rejection(rejection: RequestRejected, profile: Profile = STATUS) -> HttpResponse:
    """Return the response to a request that was not processed."""
    details = _ProblemDetails(rejection.outcome, rejection.detail, errors=rejection.errors, message=rejection.message)
    response = _render(details, profile)
    if isinstance(rejection, EncodingUnsupported):
        return response._replace(headers=(*response.headers, ("Accept-Encoding", "identity")))
    return response


def http_status(outcome: Outcome, profile: Profile) -> int:
    """Return the HTTP status of the response to an outcome."""
    match response_format(outcome, profile):
        case "acknowledged":
            return 200
        case "hook":
            return 503 if outcome.retryable else 200
    return outcome.status


def response_format(outcome: Outcome, profile: Profile) -> ResponseFormat:
    """Return the format of an outcome that is no success; that of a success is the same in all profiles."""
    match outcome.kind:
        case "permanent":
            return profile.permanent
        case "retryable":
            return profile.retryable
    return "problem"


def json_response(status: int, members: dict[str, Any], media_type: str = "application/json") -> HttpResponse:
    """Return a response whose body is a JSON object."""
    return HttpResponse(status, (("Content-Type", media_type),), json.dumps(members).encode() + b"\n")


class _ProblemDetails(NamedTuple):
    """What a response may say about an outcome.

    ``retry_after`` is in seconds, ``message`` for the person who signs up; None selects the outcome's own.
    """

    outcome: Outcome
    detail: str
    request_id: str | None = None
    errors: tuple[tuple[str, str], ...] = ()
    retry_after: float | None = None
    message: str | None = None

    @property
    def members(self) -> dict[str, Any]:
        """The optional members."""
        members: dict[str, Any] = {}
        if self.request_id is not None:
            members["request_id"] = self.request_id
        if self.errors:
            members["errors"] = [{"pointer": pointer, "detail": what} for pointer, what in self.errors]
        return members


def _render(details: _ProblemDetails, profile: Profile) -> HttpResponse:
    outcome = details.outcome
    status = http_status(outcome, profile)
    message = details.message or outcome.title
    match response_format(outcome, profile):
        case "acknowledged":  # a sender that receives 200 does not retry: there is nothing to stop
            members = {"status": outcome.code, "verified": False, "title": message, "detail": details.detail}
            return json_response(status, members | details.members)
        case "hook":
            http_code = status if outcome.retryable else outcome.status
            response = json_response(status, {"error": {"http_code": http_code, "message": message}})
            # At once: all attempts of the sender together have 5 s.
            retry = (("Retry-After", "1"),) if outcome.retryable else ()
            return response._replace(headers=response.headers + retry)
    return _problem(details)


def _problem(details: _ProblemDetails) -> HttpResponse:
    """Return a problem document (RFC 9457) and the headers that tell whether and when to retry."""
    outcome = details.outcome
    members: dict[str, Any] = {
        "type": PROBLEM_TYPE + outcome.code,
        "title": outcome.title,
        "status": outcome.status,
        "detail": details.detail,
        "code": outcome.code,
        "retryable": outcome.retryable,
    }
    response = json_response(outcome.status, members | details.members, "application/problem+json")
    return response._replace(headers=response.headers + _headers(outcome, details.retry_after))


def _headers(outcome: Outcome, retry_after: float | None) -> tuple[tuple[str, str], ...]:
    if outcome.abort:
        return (("webhook-delivery", "abort-message"),)
    if outcome.retry_after is not None:
        return (("Retry-After", str(math.ceil(max(1, outcome.retry_after if retry_after is None else retry_after)))),)
    return ()
