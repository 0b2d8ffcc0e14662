"""The responses in the OpenAPI description, from the tables that the bridge responds by.

Their schemas are open: a client that validates must accept a member that a later version adds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from signup_bridge.core.contact import ContactType
from signup_bridge.core.outcomes import MEDIA_TYPE_UNSUPPORTED, SENT, VERIFIED, Outcome, RequestRejected
from signup_bridge.web.profiles import Profile
from signup_bridge.web.responses import PROBLEM_TYPE, from_rejection, http_status, response_format

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_REQUIRED_HEADERS: Schema = {
    "X-Request-Id": {
        "required": True,
        "schema": _TEXT,
        "description": "The id of the request, which is also in the log.",
    },
    "Server-Timing": {
        "required": True,
        "schema": _TEXT,
        "description": "Milliseconds: `wait` before the API call, `upstream` in it.",
    },
}
_HEADERS: Schema = {
    "Retry-After": {"schema": {"type": "string", "pattern": "^[0-9]+$"}, "description": "Seconds."},
    "webhook-delivery": {"schema": {"type": "string", "enum": ["abort-message"]}},
    "Accept-Encoding": {
        "schema": {"type": "string", "enum": ["identity"]},
        "description": "Present if the request had a Content-Encoding.",
    },
    "Idempotent-Replayed": {
        "schema": {"type": "string", "enum": ["true"]},
        "description": "The delivery was processed before, and this was the response.",
    },
}
_NOT_DESCRIBED = ("Content-Type", "Connection")
"""Headers that OpenAPI describes elsewhere, or that end at the next proxy."""


def content(description: str, media_type: str, schema: Schema) -> Schema:
    """Return a response with one media type."""
    headers = dict(_REQUIRED_HEADERS)
    return {"description": description, "headers": headers, "content": {media_type: {"schema": schema}}}


def responses(outcomes: Iterable[Outcome], profile: Profile, name: str) -> tuple[Schema, Schema]:
    """Return the responses by status, and the schemas that they refer to, whose names begin with ``name``."""
    by_status: dict[int, list[Outcome]] = {}
    for outcome in outcomes:
        by_status.setdefault(http_status(outcome, profile), []).append(outcome)
    schemas: Schema = {}
    described = {
        str(status): _response(status, by_status[status], profile, name, schemas) for status in sorted(by_status)
    }
    return described, schemas


def _response(status: int, outcomes: list[Outcome], profile: Profile, name: str, schemas: Schema) -> Schema:
    """Return the response of one status, and add the schemas that it needs to ``schemas``."""
    by_form: dict[tuple[str, str], list[Outcome]] = {}
    headers: set[str] = {"Idempotent-Replayed"} if any(one.stored == "definitive" for one in outcomes) else set()
    for outcome in outcomes:
        if outcome.kind == "success":
            by_form["application/json", outcome.code] = [outcome]
            continue
        sent = dict(from_rejection(RequestRejected(outcome), profile).headers)
        headers |= set(sent)
        if outcome is MEDIA_TYPE_UNSUPPORTED:
            headers.add("Accept-Encoding")
        by_form.setdefault((sent["Content-Type"], response_format(outcome, profile)), []).append(outcome)
    by_media_type: dict[str, list[Schema]] = {}
    for (media_type, form), in_form in by_form.items():
        schema = _code_schemas(form, status, in_form)
        if "allOf" in schema:
            component = f"{name}{'Acknowledged' if form == 'acknowledged' else f'Problem{status}'}"
            schemas[component] = schema
            schema = _reference(component)
        by_media_type.setdefault(media_type, []).append(schema)
    return {
        "description": "; ".join(f"`{outcome.code}`: {outcome.title}" for outcome in outcomes),
        "headers": _REQUIRED_HEADERS
        | {one: _HEADERS.get(one, {"schema": _TEXT}) for one in sorted(headers) if one not in _NOT_DESCRIBED},
        "content": {
            media_type: {"schema": several[0] if len(several) == 1 else {"oneOf": several}}
            for media_type, several in by_media_type.items()
        },
    }


def _code_schemas(form: str, status: int, outcomes: list[Outcome]) -> Schema:
    """Return the schema of one form, whose codes are those of these outcomes."""
    codes = {"type": "string", "enum": [outcome.code for outcome in outcomes]}
    match form:
        case "problem":
            members = {"code": codes, "status": {"type": "integer", "enum": [status]}}
            return {"allOf": [_reference("Problem"), {"type": "object", "properties": members}]}
        case "acknowledged":
            return {"allOf": [_reference("Acknowledged"), {"type": "object", "properties": {"status": codes}}]}
        case "hook":
            return _reference("HookError")
    return _reference(form.capitalize())


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _object(members: Schema, *, optional: Iterable[str] = (), description: str | None = None) -> Schema:
    required = [name for name in members if name not in set(optional)]
    described = {"description": description} if description else {}
    return {"type": "object", **described, "properties": members, "required": required}


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


_ERRORS = {"type": "array", "items": _object({"pointer": _TEXT, "detail": _TEXT})}
_REQUEST_ID = {"type": "string", "description": "The API's request id, if there is one."}
_CONTACT: Schema = {
    "type": _one_of(*(one.label for one in ContactType)),
    "contact": {
        "type": "string",
        "description": "Masked. It is not stored, so GET /deliveries/{id} does not return it.",
    },
}

SCHEMAS: Schema = {
    "Verified": _object(
        {
            "status": _one_of(VERIFIED.code),
            **_CONTACT,
            "request_id": {
                "type": "string",
                "description": "The API's request id, unless the outcome comes from the account's contact list.",
            },
            "resolved": {"type": "boolean", "description": "True if the outcome was unknown before, else absent."},
        },
        optional=("contact", "request_id", "resolved"),
    ),
    "Sent": _object(
        {
            "status": _one_of(SENT.code),
            **_CONTACT,
            "request_id": {"type": "string", "description": "The API's request id."},
            "resend_after": {"type": "integer", "description": "Seconds until another code may be requested."},
        },
        optional=("contact",),
    ),
    "Problem": _object(
        {
            "type": {"type": "string", "pattern": f"^{PROBLEM_TYPE}[a-z-]+$"},
            "title": _TEXT,
            "status": {"type": "integer"},
            "detail": _TEXT,
            "code": _TEXT,
            "retryable": {
                "type": "boolean",
                "description": "Whether a retry of the same delivery may have another outcome.",
            },
            "request_id": _REQUEST_ID,
            "errors": _ERRORS,
        },
        optional=("request_id", "errors"),
        description="RFC 9457.",
    ),
    "Acknowledged": _object(
        {
            "status": _TEXT,
            "verified": {"type": "boolean", "enum": [False]},
            "title": _TEXT,
            "detail": _TEXT,
            "request_id": _REQUEST_ID,
            "errors": _ERRORS,
        },
        optional=("request_id", "errors"),
        description="Nothing was verified, and a retry changes nothing.",
    ),
    "HookError": _object(
        {"error": _object({"http_code": {"type": "integer"}, "message": {"type": "string", "minLength": 1}})},
        description="The error format of Supabase's hooks. The message is shown to the person.",
    ),
    "Health": _object({"status": _one_of("ok"), "version": _TEXT}),
    "Ready": _object(
        {
            "status": _one_of("ok"),
            "version": _TEXT,
            "ledger": _object({"engine": _one_of("sqlite", "redis"), "reach": _one_of("instance", "shared")}),
        }
    ),
    "Description": _object({"openapi": _TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
}
