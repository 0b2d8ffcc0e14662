"""Build the HTTP response for a result or a rejection, in the format that the sender's profile requires.

A response never contains an unmasked contact, a verification code, or details of an internal error. The ``id`` of a
delivery is the sender's.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

from signup_bridge.core.delivery import DeliveryResult
from signup_bridge.core.outcomes import NO_TIME, SENT, EncodingUnsupported, Outcome, RequestRejected, Timing

from .profiles import Profile, ResponseFormat

PROBLEM_TYPE = "urn:signup-bridge:problem:"


class HttpResponse(NamedTuple):
    """An HTTP response without its `common_headers`. ``timing`` is None if it could reveal a concealed outcome."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timing: Timing | None = NO_TIME


def common_headers(request_id: str, timing: Timing | None = NO_TIME) -> dict[str, str]:
    """Return the headers of every response, without times if there is no ``timing``."""
    if timing is None:
        return {"X-Request-Id": request_id}
    times = f"wait;dur={timing.queue_seconds * 1000:.1f}, upstream;dur={timing.upstream_seconds * 1000:.1f}"
    return {"X-Request-Id": request_id, "Server-Timing": times}


class Responder(NamedTuple):
    """Builds the responses to deliveries for one kind of sender.

    ``resend_after``: seconds until a sender may request another code. ``timed``: responses show times.
    """

    profile: Profile
    resend_after: float
    timed: bool

    def from_result(self, delivery: DeliveryResult, request_id: str) -> HttpResponse:
        """Return the response to a delivery. A success includes the masked contact, if it is known."""
        result = delivery.public_result
        outcome = result.outcome
        if outcome.kind != "success":
            optional = {"api_request_id": result.api_request_id}
            response = _failure(
                outcome, self.profile, outcome.detail, request_id, optional, retry_after=result.retry_after
            )
        else:
            members = {
                "code": outcome.code,
                "id": delivery.id,
                "type": delivery.contact_type.label if delivery.contact_type else None,
                "contact": delivery.contact.masked if delivery.contact else None,
                "api_request_id": result.api_request_id,
                "resolved": result.resolved or None,
                "resend_after": math.ceil(self.resend_after) if outcome is SENT else None,
            }
            response = json_response(outcome.status, members)
        replayed = (("Idempotent-Replayed", "true"),) if result.replayed else ()
        return response._replace(headers=response.headers + replayed, timing=result.timing if self.timed else None)


def from_rejection(rejection: RequestRejected, profile: Profile, request_id: str) -> HttpResponse:
    """Return the response to a request that was not processed."""
    errors = [{"pointer": pointer, "detail": detail} for pointer, detail in rejection.errors]
    optional = {"errors": errors or None}
    response = _failure(rejection.outcome, profile, rejection.detail, request_id, optional, message=rejection.message)
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
    """Return the format of an outcome that is not a success. Successes have the same format in all profiles."""
    match outcome.kind:
        case "permanent":
            return profile.permanent
        case "retryable":
            return profile.retryable
    return "problem"


def json_response(
    status: int, members: dict[str, Any], *headers: tuple[str, str], media_type: str = "application/json"
) -> HttpResponse:
    """Return a response whose body is a JSON object of the members that are not None."""
    body = json.dumps({name: value for name, value in members.items() if value is not None}).encode() + b"\n"
    return HttpResponse(status, (("Content-Type", media_type), *headers), body)


def _failure(
    outcome: Outcome,
    profile: Profile,
    detail: str,
    request_id: str,
    optional: dict[str, Any],
    *,
    retry_after: float | None = None,
    message: str | None = None,
) -> HttpResponse:
    """Return the response to an outcome that is not a success.

    ``retry_after`` is in seconds, ``message`` is for the person who signs up; None selects the outcome's own.
    """
    status, seconds = http_status(outcome, profile), _retry_seconds(outcome, retry_after)
    title = message or outcome.title
    match response_format(outcome, profile):
        case "acknowledged":  # a sender that receives 200 does not retry, so it needs no header to stop
            members = {"code": outcome.code, "verified": False, "title": title, "detail": detail}
            return json_response(status, members | {"retry_after": seconds} | optional)
        case "hook":
            error = {"http_code": outcome.status, "message": title}
            headers: tuple[tuple[str, str], ...] = ()
            if outcome.retryable:  # the sender retries immediately, because all its attempts together may take 5 s
                error["http_code"], seconds, headers = status, 1, _retry_headers(1)
            return json_response(status, {"error": error, "code": outcome.code, "retry_after": seconds}, *headers)
    members = {  # RFC 9457
        "type": PROBLEM_TYPE + outcome.code,
        "title": outcome.title,
        "status": status,
        "detail": detail,
        "code": outcome.code,
        "retryable": outcome.retryable,
        "retry_after": seconds,
        "request_id": request_id,
    }
    headers = (("webhook-delivery", "abort-message"),) if outcome.abort else _retry_headers(seconds)
    return json_response(status, members | optional, *headers, media_type="application/problem+json")


def _retry_seconds(outcome: Outcome, retry_after: float | None) -> int | None:
    """Return the whole seconds after which to retry or to try a new delivery, or None if there is no such time."""
    if outcome.retry_after is not None:
        return math.ceil(max(1, outcome.retry_after if retry_after is None else retry_after))
    return None if retry_after is None else math.ceil(retry_after)


def _retry_headers(seconds: int | None) -> tuple[tuple[str, str], ...]:
    return () if seconds is None else (("Retry-After", str(seconds)),)
