"""The responses in the OpenAPI description, from the same tables as the bridge's responses.

The schemas allow other members, because a validating client must accept members that a later version adds.
"""

from __future__ import annotations

from collections.abc import Iterable

from signup_bridge.core.contact import ContactType
from signup_bridge.core.outcomes import SENT, VERIFIED, EncodingUnsupported, Outcome, RequestRejected
from signup_bridge.web.profiles import Profile
from signup_bridge.web.responses import PROBLEM_TYPE, from_rejection, http_status, response_format

from .schema import TEXT, Schema, enum, reference

_REQUIRED_HEADERS: Schema = {
    "X-Request-Id": {
        "required": True,
        "schema": TEXT,
        "description": "The id of the request, which is also in the log.",
    },
    "Server-Timing": {
        "required": True,
        "schema": TEXT,
        "description": "Milliseconds: `wait` before the API call, `upstream` during the call.",
    },
}
_HEADERS: Schema = {
    "Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "description": "Seconds until the retry."},
    "webhook-delivery": {"schema": enum("abort-message")},
    "Accept-Encoding": {
        "schema": enum("identity"),
        "description": "Present if the request had a Content-Encoding.",
    },
    "Idempotent-Replayed": {
        "schema": enum("true"),
        "description": "Present if the delivery was already processed. The response contains the stored outcome.",
    },
}


def content(description: str, media_type: str, schema: Schema) -> Schema:
    """Return a response with one media type."""
    headers = dict(_REQUIRED_HEADERS)
    return {"description": description, "headers": headers, "content": {media_type: {"schema": schema}}}


def responses(outcomes: Iterable[Outcome], profile: Profile, name: str, schemas: Schema) -> Schema:
    """Return the responses by status. Add their schemas to ``schemas``, under names that start with ``name``."""
    by_status: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        by_status.setdefault(http_status(outcome, profile), []).append(outcome)
    return {str(status): _response(status, by_status[status], profile, name, schemas) for status in sorted(by_status)}


def _response(status: int, outcomes: list[Outcome], profile: Profile, name: str, schemas: Schema) -> Schema:
    """Return the response with one status, and add its schemas to ``schemas``."""
    headers = {"Idempotent-Replayed"} if any(one.stored == "definitive" for one in outcomes) else set()
    by_format: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        media_type, body_format = "application/json", outcome.code
        if outcome.kind != "success":
            rejection: RequestRejected = EncodingUnsupported()
            if outcome is not rejection.outcome:
                rejection = RequestRejected(outcome)
            sent = dict(from_rejection(rejection, profile, "").headers)
            media_type, body_format = sent.pop("Content-Type"), response_format(outcome, profile)
            headers |= set(sent)
        by_format.setdefault((media_type, body_format), []).append(outcome)
    by_media_type: dict[str, list[Schema]] = {}
    for (media_type, body_format), same in by_format.items():
        by_media_type.setdefault(media_type, []).append(_body(body_format, status, same, name, schemas))
    return {
        "description": "; ".join(f"`{outcome.code}`: {outcome.title}" for outcome in outcomes),
        "headers": _REQUIRED_HEADERS | {header: _HEADERS[header] for header in sorted(headers)},
        "content": {
            media_type: {"schema": bodies[0] if len(bodies) == 1 else {"oneOf": bodies}}
            for media_type, bodies in by_media_type.items()
        },
    }


def _body(body_format: str, status: int, outcomes: list[Outcome], name: str, schemas: Schema) -> Schema:
    """Return the schema of the bodies in one format, with the codes of these outcomes."""
    codes = enum(*(outcome.code for outcome in outcomes))
    match body_format:
        case "problem":
            component = f"{name}Problem{status}"
            members = {"code": codes, "status": {"type": "integer", "enum": [status]}}
        case "acknowledged":
            component, members = f"{name}Acknowledged", {"code": codes}
        case "hook":
            component, members = f"{name}Hook{status}", {"code": codes}
        case _:
            return reference(body_format.capitalize())
    schemas[component] = {
        "allOf": [reference(body_format.capitalize()), {"type": "object", "properties": members}],
    }
    return reference(component)


def _object(members: Schema, *, optional: Iterable[str] = (), description: str | None = None) -> Schema:
    required = [name for name in members if name not in set(optional)]
    details = {"description": description} if description else {}
    return {"type": "object", **details, "properties": members, "required": required}


def _text(description: str) -> Schema:
    return {"type": "string", "description": description}


_ERRORS = {"type": "array", "items": _object({"pointer": TEXT, "detail": TEXT})}
_API_REQUEST_ID = _text("The API's request id, if there is one.")
_RETRY_AFTER: Schema = {
    "type": "integer",
    "minimum": 0,
    "description": "Seconds, as in the header Retry-After. In `attempts-exhausted`, without that header: the time "
    "until a new delivery for the contact may be tried.",
}
_DELIVERY_ID = _text("The delivery's id: the signed id, or the id in Idempotency-Key or in a direct invocation.")
_CONTACT: Schema = {
    "type": enum(*(one.label for one in ContactType)),
    "contact": _text("Masked. It is not stored, so GET /deliveries/{id} does not return it."),
}

SCHEMAS: Schema = {
    "Verified": _object(
        {
            "code": enum(VERIFIED.code),
            "id": _DELIVERY_ID,
            **_CONTACT,
            "api_request_id": _text("The API's request id, unless the outcome comes from the account's contact list."),
            "resolved": {"type": "boolean", "description": "True if the outcome was unknown before; otherwise absent."},
        },
        optional=("id", "contact", "api_request_id", "resolved"),
    ),
    "Sent": _object(
        {
            "code": enum(SENT.code),
            "id": _DELIVERY_ID,
            **_CONTACT,
            "api_request_id": _text("The API's request id."),
            "resend_after": {"type": "integer", "description": "Seconds until another code may be requested."},
        },
        optional=("id", "contact"),
    ),
    "Problem": _object(
        {
            "type": {"type": "string", "pattern": f"^{PROBLEM_TYPE}[a-z-]+$"},
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": TEXT,
            "code": TEXT,
            "retryable": {
                "type": "boolean",
                "description": "Whether a retry of the same delivery may have another outcome.",
            },
            "retry_after": _RETRY_AFTER,
            "request_id": _text("The bridge's id of this request, which is also in X-Request-Id and in the log."),
            "api_request_id": _API_REQUEST_ID,
            "errors": _ERRORS,
        },
        optional=("retry_after", "api_request_id", "errors"),
        description="RFC 9457.",
    ),
    "Acknowledged": _object(
        {
            "code": TEXT,
            "verified": {"type": "boolean", "enum": [False]},
            "title": TEXT,
            "detail": TEXT,
            "retry_after": _RETRY_AFTER,
            "api_request_id": _API_REQUEST_ID,
            "errors": _ERRORS,
        },
        optional=("retry_after", "api_request_id", "errors"),
        description="The contact was not verified, and a retry has the same outcome.",
    ),
    "Hook": _object(
        {
            "error": _object({"http_code": {"type": "integer"}, "message": {"type": "string", "minLength": 1}}),
            "code": TEXT,
            "retry_after": _RETRY_AFTER,
        },
        optional=("retry_after",),
        description="The error format of Supabase's hooks. The message is shown to the person.",
    ),
    "Health": _object({"status": enum("ok"), "version": TEXT}),
    "Ready": _object(
        {
            "status": enum("ok"),
            "version": TEXT,
            "ledger": _object({"engine": enum("sqlite", "redis"), "reach": enum("instance", "shared")}),
        }
    ),
    "Description": _object({"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
}
