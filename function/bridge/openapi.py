"""The OpenAPI 3.1 description of the routes, made from the tables that the answers are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from . import __version__, answers, cloudevents, outcomes, payload
from .answers import PROBLEM_TYPE, form_of, status_of
from .outcomes import OUTCOMES, SENT, VERIFIED, Outcome
from .profiles import STATUS, Profile
from .settings import Settings

_NOT_OF_THE_WEBHOOKS = (outcomes.NOT_FOUND, outcomes.METHOD_NOT_ALLOWED)
_VERIFYING = (VERIFIED, outcomes.CODE_INCORRECT, outcomes.ATTEMPTS_EXHAUSTED, outcomes.OUTCOME_UNRESOLVED)
_SENDING = (SENT, outcomes.SEND_LIMITED, outcomes.SEND_FAILED)
"""What only one of the two webhooks ends in."""
_EVERY_ANSWER = {
    "X-Request-Id": {"required": True, "schema": {"type": "string"}, "description": "Stands on every log line, too."},
    "Server-Timing": {
        "required": True,
        "schema": {"type": "string"},
        "description": "Milliseconds: `wait` before the API call, `upstream` in it.",
    },
}
_REPLAYED = {
    "Idempotent-Replayed": {"schema": {"const": "true"}, "description": "The delivery was answered so before."},
}
_SECURITY: dict[str, tuple[dict[str, Any], list[dict[str, list[str]]]]] = {
    "standard-webhooks": (
        {
            f"{prefix}-{name}": {"type": "apiKey", "in": "header", "name": f"{prefix}-{name}"}
            for prefix in ("webhook", "svix")
            for name in ("id", "timestamp", "signature")
        },
        [{f"{prefix}-{name}": [] for name in ("id", "timestamp", "signature")} for prefix in ("webhook", "svix")],
    ),
    "github": (
        {"github": {"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256"}},
        [{"github": []}],
    ),
    "bearer": ({"bearer": {"type": "http", "scheme": "bearer"}}, [{"bearer": []}]),
    "none": ({}, []),
}


def document(configured: Settings) -> dict[str, Any]:
    """The description of a bridge with these settings, as JSON values."""
    schemes, security = _SECURITY[configured.webhook_auth]
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "signup-bridge",
            "version": __version__,
            "description": "Verifies the code that a person received by phone or email, once for each delivery.",
        },
        "paths": {
            "/webhooks/signup": {"post": _webhook("signup", security, configured)},
            "/": {"post": _webhook("signup_at_root", security, configured)},
            **({"/webhooks/code": {"post": _code(security, configured)}} if configured.send_codes else {}),
            "/deliveries/{id}": {"get": _delivered(security, configured)},
            "/ready": {"get": _ready()},
            "/health": {"get": _get("health", "Whether the bridge runs; touches nothing.", "Health")},
            "/openapi.json": {"get": _get("openapi", "This description.", "Description")},
            **({"/metrics": {"get": _metrics()}} if configured.metrics else {}),
        },
        "components": {
            "securitySchemes": schemes,
            "schemas": _schemas() | (_of_sending() if configured.send_codes else {}),
        },
    }
    return whole if configured.reveal_already_verified else _perhaps_untimed(whole)


def _perhaps_untimed(document: Any) -> Any:
    """The same, with a ``Server-Timing`` that need not be there."""
    if not isinstance(document, dict):
        return [_perhaps_untimed(one) for one in document] if isinstance(document, list) else document
    changed = {name: _perhaps_untimed(value) for name, value in document.items()}
    if "Server-Timing" in changed:
        changed["Server-Timing"] |= {"required": False}
    return changed


def _told(of: Iterable[Outcome], configured: Settings) -> list[Outcome]:
    return [one for one in of if one is not outcomes.ALREADY_VERIFIED or configured.reveal_already_verified]


def _webhook(operation: str, security: list[dict[str, list[str]]], configured: Settings) -> dict[str, Any]:
    told = _told((one for one in OUTCOMES if one not in _NOT_OF_THE_WEBHOOKS + _SENDING), configured)
    return {
        "operationId": operation,
        "summary": "Verify a contact with the code that was sent to it.",
        "security": security,
        "requestBody": {"required": True, "content": _bodies(configured, "Delivery")},
        "responses": _responses(told, configured.profile),
    }


def _code(security: list[dict[str, list[str]]], configured: Settings) -> dict[str, Any]:
    told = _told((one for one in OUTCOMES if one not in _NOT_OF_THE_WEBHOOKS + _VERIFYING), configured)
    return {
        "operationId": "code",
        "summary": "Send a contact a verification code.",
        "security": security,
        "requestBody": {"required": True, "content": _bodies(configured, "SendRequest")},
        "responses": _responses(told, configured.profile),
    }


def _bodies(configured: Settings, schema: str) -> dict[str, Any]:
    """The request's body by its media type: the sender's own if it is mapped, else the bridge's, or an event of it."""
    if configured.mapping is not None:
        described = "The sender's own, with what is wanted where PAYLOAD_PRESET or PAYLOAD_* point to."
        return {"application/json": {"schema": {"description": described}}}
    attribute = {"type": "string", "pattern": f"^{cloudevents.ATTRIBUTE}$"}
    event = {
        "type": "object",
        "properties": {"id": attribute, "source": attribute, "data": {"$ref": f"#/components/schemas/{schema}"}},
        "required": ["id", "source", "data"],
    }
    return {
        "application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}},
        cloudevents.STRUCTURED: {"schema": event},
    }


def _delivered(security: list[dict[str, list[str]]], configured: Settings) -> dict[str, Any]:
    """The question what became of a delivery: its own answer, of those that are remembered."""
    told = _told(
        (one for one in OUTCOMES if one.stored != "no" and (one is not SENT or configured.send_codes)), configured
    )
    told += [
        outcomes.NOT_FOUND, outcomes.IN_PROGRESS, outcomes.SIGNATURE_INVALID, outcomes.LEDGER_UNAVAILABLE,
        outcomes.OVERLOADED,
    ]  # fmt: skip
    return {
        "operationId": "delivered",
        "summary": "What became of a delivery, asked with a signature over an empty body; the API is not called.",
        "security": security,
        "parameters": [
            {
                "name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
                "description": "The delivery's id.",
            }
        ],
        "responses": _responses(told, configured.profile),
    }  # fmt: skip


def _ready() -> dict[str, Any]:
    operation = _get("ready", "Whether the ledger works, and who shares it.", "Ready")
    return operation | {
        "responses": operation["responses"] | _responses([outcomes.LEDGER_UNAVAILABLE, outcomes.OVERLOADED], STATUS)
    }


def _responses(of: list[Outcome], profile: Profile) -> dict[str, Any]:
    by_status: dict[int, list[Outcome]] = {}
    for outcome in of:
        by_status.setdefault(status_of(outcome, profile), []).append(outcome)
    return {str(status): _response(status, by_status[status], profile) for status in sorted(by_status)}


def _response(status: int, of: list[Outcome], profile: Profile) -> dict[str, Any]:
    """The answers of one status, which all have one media type."""
    description = "; ".join(f"`{outcome.code}`: {outcome.title}" for outcome in of)
    by_form: dict[str, list[Outcome]] = {}
    for outcome in of:
        form = outcome.code if outcome.kind == "done" else form_of(outcome, profile)
        by_form.setdefault(form, []).append(outcome)
    schemas = [_schema(form, status, by_form[form]) for form in by_form]
    media_type = "application/problem+json" if "problem" in by_form else "application/json"
    response = _content(description, media_type, schemas[0] if len(schemas) == 1 else {"oneOf": schemas})
    told = [answers.of_refusal(outcomes.Refusal(outcome), profile) for outcome in of if outcome.kind != "done"]
    names = {name for answer in told for name, _ in answer.headers}
    if "Retry-After" in names:
        response["headers"]["Retry-After"] = {"schema": {"type": "string", "pattern": "^[0-9]+$"}}
    if any(outcome.stored == "definitive" for outcome in of):
        response["headers"] |= _REPLAYED
    if "webhook-delivery" in names:
        response["headers"]["webhook-delivery"] = {"schema": {"const": "abort-message"}}
    return response


def _schema(form: str, status: int, of: list[Outcome]) -> dict[str, Any]:
    codes = [outcome.code for outcome in of]
    match form:
        case VERIFIED.code:
            return {"$ref": "#/components/schemas/Verified"}
        case SENT.code:
            return {"$ref": "#/components/schemas/Sent"}
        case "acknowledged":
            narrowed: dict[str, Any] = {"status": {"enum": codes}}
            return {"allOf": [{"$ref": "#/components/schemas/Acknowledged"}, {"properties": narrowed}]}
        case "hook":
            return {"$ref": "#/components/schemas/HookError"}
    narrowed = {"code": {"enum": codes}, "status": {"const": status}}
    return {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": narrowed}]}


def _metrics() -> dict[str, Any]:
    text = _content("In Prometheus' text format.", "text/plain", {"type": "string"})
    return _get("metrics", "What this instance did since it started.", "") | {"responses": {"200": text}}


def _get(operation: str, summary: str, schema: str) -> dict[str, Any]:
    ok = _content("Yes.", "application/json", {"$ref": f"#/components/schemas/{schema}"})
    return {"operationId": operation, "summary": summary, "security": [], "responses": {"200": ok}}


def _content(description: str, media_type: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "headers": dict(_EVERY_ANSWER), "content": {media_type: {"schema": schema}}}


def _schemas() -> dict[str, Any]:
    text = {"type": "string"}
    errors = {
        "type": "array",
        "items": {"type": "object", "properties": {"pointer": text, "detail": text}, "required": ["pointer", "detail"]},
    }
    request_id = {"type": "string", "description": "The API's, when it gave one."}
    return {
        "Delivery": {
            "oneOf": _both_names_and_types(3),
            "examples": [{"type": "phone", "contact": "18766554433", "verify_code": "123456"}],
        },
        "Verified": {
            "type": "object",
            "properties": {
                "status": {"const": VERIFIED.code},
                "type": {"enum": ["phone", "email"]},
                "contact": {"type": "string", "description": "Masked; it is not remembered."},
                "request_id": {"type": "string", "description": "The API's, unless the account's list told it."},
                "resolved": {"const": True, "description": "The outcome was unknown, and has been found out."},
            },
            "required": ["status", "type"],
            "additionalProperties": False,
        },
        "Problem": {
            "type": "object",
            "description": "RFC 9457.",
            "properties": {
                "type": {"type": "string", "pattern": f"^{PROBLEM_TYPE}[a-z-]+$"},
                "title": text,
                "status": {"type": "integer"},
                "detail": text,
                "code": text,
                "retryable": {"type": "boolean", "description": "The same delivery, sent again, may end otherwise."},
                "request_id": request_id,
                "errors": errors,
            },
            "required": ["type", "title", "status", "detail", "code", "retryable"],
            "additionalProperties": False,
        },
        "Acknowledged": {
            "type": "object",
            "description": "Nothing was verified, and sending again changes nothing.",
            "properties": {
                "status": text,
                "verified": {"const": False},
                "title": text,
                "detail": text,
                "request_id": request_id,
                "errors": errors,
            },
            "required": ["status", "verified", "title", "detail"],
            "additionalProperties": False,
        },
        "HookError": {
            "type": "object",
            "description": "Supabase's: the error that a person is shown.",
            "properties": {
                "error": {
                    "type": "object",
                    "properties": {"http_code": {"type": "integer"}, "message": {"type": "string", "minLength": 1}},
                    "required": ["http_code", "message"],
                    "additionalProperties": False,
                }
            },
            "required": ["error"],
            "additionalProperties": False,
        },
        "Health": {
            "type": "object",
            "properties": {"status": {"const": "ok"}, "version": text},
            "required": ["status", "version"],
            "additionalProperties": False,
        },
        "Ready": {
            "type": "object",
            "properties": {
                "status": {"const": "ok"},
                "version": text,
                "ledger": {
                    "type": "object",
                    "properties": {"engine": {"enum": ["sqlite", "redis"]}, "reach": {"enum": ["instance", "shared"]}},
                    "required": ["engine", "reach"],
                },
            },
            "required": ["status", "version", "ledger"],
            "additionalProperties": False,
        },
        "Description": {"type": "object", "required": ["openapi", "info", "paths"]},
    }


def _of_sending() -> dict[str, Any]:
    return {
        "SendRequest": {
            "oneOf": _both_names_and_types(2),
            "examples": [{"type": "phone", "contact": "18766554433"}],
        },
        "Sent": {
            "type": "object",
            "properties": {
                "status": {"const": SENT.code},
                "type": {"enum": ["phone", "email"]},
                "contact": {"type": "string", "description": "Masked; it is not remembered."},
                "request_id": {"type": "string", "description": "The API's."},
                "resend_after": {"type": "integer", "description": "Seconds until another code may be asked for."},
            },
            "required": ["status", "type", "request_id", "resend_after"],
            "additionalProperties": False,
        },
    }


def _both_names_and_types(members: int) -> list[dict[str, Any]]:
    """A body with the first so many of its members, in the bridge's words and in the API's, for phone and email."""
    return [
        _body(names, others, members, types, form)
        for names, others in ((payload.BRIDGE_NAMES, payload.API_NAMES), (payload.API_NAMES, payload.BRIDGE_NAMES))
        for types, form in ((["phone", 1], payload.PHONE), (["email", 2], payload.EMAIL))
    ]


def _body(
    names: payload.Names, others: payload.Names, members: int, types: Sequence[object], form: str
) -> dict[str, Any]:
    schemas: list[dict[str, Any]] = [
        {"enum": types},
        {"type": "string", "pattern": rf"^\s*{form}\s*$", "maxLength": payload.CONTACT_LIMIT},
        {"type": "string", "pattern": f"^{payload.VERIFY_CODE}$"},
    ]
    return {
        "type": "object",
        "properties": dict(zip(names[:members], schemas[:members], strict=True)),
        "required": list(names[:members]),
        "not": {"anyOf": [{"required": [other]} for other in (*others, *names[members:])]},
    }
