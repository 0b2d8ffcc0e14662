"""The OpenAPI 3.1 description of the routes, from the tables that the responses come from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from signup_bridge import __version__
from signup_bridge.core import outcomes
from signup_bridge.core.outcomes import OUTCOMES, SENT, VERIFIED, Outcome
from signup_bridge.web.profiles import STATUS

from . import request_schemas, response_schemas
from .request_schemas import Features

Schema = dict[str, Any]

_ROUTING_OUTCOMES = (outcomes.NOT_FOUND, outcomes.METHOD_NOT_ALLOWED)
_VERIFICATION_ONLY = (VERIFIED, outcomes.CODE_INCORRECT, outcomes.ATTEMPTS_EXHAUSTED, outcomes.OUTCOME_UNRESOLVED)
_SENDING_ONLY = (SENT, outcomes.SEND_LIMITED, outcomes.SEND_FAILED)
"""The outcomes of only one of the two webhooks."""
_LOOKUP_OUTCOMES = (
    outcomes.NOT_FOUND, outcomes.IN_PROGRESS, outcomes.SIGNATURE_INVALID, outcomes.LEDGER_UNAVAILABLE,
    outcomes.OVERLOADED,
)  # fmt: skip
"""The outcomes of `GET /deliveries/<id>` besides the delivery's own."""
_SECURITY: dict[str, tuple[Schema, list[dict[str, list[str]]]]] = {
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
_TAGS = {"webhooks": "Requests from senders.", "bridge": "Requests from operators and machines."}


def build(features: Features) -> Schema:
    """Return the description of a bridge with these features, as JSON values."""
    schemes, _ = _SECURITY[features.keys.webhook_auth]
    schemas: Schema = dict(response_schemas.SCHEMAS)
    paths: dict[str, Schema] = {
        "/webhooks/signup": {"post": _signup_operation("signup", features, schemas)},
        "/": {"post": _signup_operation("signup_at_root", features, schemas)},
        **({"/webhooks/code": {"post": _code_operation(features, schemas)}} if features.send_codes else {}),
        "/deliveries/{id}": {"get": _lookup_operation(features, schemas)},
        "/ready": {"get": _ready_operation(schemas)},
        "/health": {
            "get": _get_operation(
                "health", "Check that the bridge runs", "Uses neither the ledger nor the API.", "Health"
            )
        },
        "/openapi.json": {
            "get": _get_operation("openapi", "Get this description", "It depends on the settings.", "Description")
        },
        **({"/metrics": {"get": _metrics_operation()}} if features.metrics else {}),
    }
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "signup-bridge",
            "version": __version__,
            "description": "Verifies the code that a person received by phone or email, once for each delivery.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {"securitySchemes": schemes, "schemas": _referenced(schemas, paths)},
    }
    return document if features.reveal else _with_optional_timing(document)


def _referenced(schemas: Schema, paths: Schema) -> Schema:
    """Return the schemas that the paths refer to, and those that these refer to."""
    used: Schema = {}
    new = paths
    while new:
        names = re.findall('"#/components/schemas/([^"]+)"', json.dumps(new))
        new = {name: schemas[name] for name in names if name in schemas and name not in used}
        used |= new
    return dict(sorted(used.items()))


def _with_optional_timing(document: Any) -> Any:
    """Return the document with an optional ``Server-Timing``: responses to deliveries do not have it."""
    if not isinstance(document, dict):
        return [_with_optional_timing(one) for one in document] if isinstance(document, list) else document
    changed = {name: _with_optional_timing(value) for name, value in document.items()}
    if "Server-Timing" in changed:
        changed["Server-Timing"] |= {"required": False}
    return changed


def _visible(candidates: Iterable[Outcome], features: Features) -> list[Outcome]:
    """Return the outcomes that responses may show."""
    return [one for one in candidates if one is not outcomes.ALREADY_VERIFIED or features.reveal]


def _signup_operation(operation: str, features: Features, schemas: Schema) -> Schema:
    visible = _visible((one for one in OUTCOMES if one not in _ROUTING_OUTCOMES + _SENDING_ONLY), features)
    schemas |= request_schemas.components(features, "Delivery", code=True)
    responses, added = response_schemas.responses(visible, features.profile, "Signup")
    schemas |= added
    return {
        "operationId": operation,
        "tags": ["webhooks"],
        "summary": "Verify a contact",
        "description": "Verify a contact with the code that was sent to it.",
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": request_schemas.webhook_headers(features),
        "requestBody": {"required": True, "content": request_schemas.content(features, "Delivery")},
        "responses": responses,
    }


def _code_operation(features: Features, schemas: Schema) -> Schema:
    visible = _visible((one for one in OUTCOMES if one not in _ROUTING_OUTCOMES + _VERIFICATION_ONLY), features)
    schemas |= request_schemas.components(features, "SendRequest", code=False)
    responses, added = response_schemas.responses(visible, features.profile, "Code")
    schemas |= added
    return {
        "operationId": "code",
        "tags": ["webhooks"],
        "summary": "Send a code",
        "description": "Send a contact a verification code.",
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": request_schemas.webhook_headers(features),
        "requestBody": {"required": True, "content": request_schemas.content(features, "SendRequest")},
        "responses": responses,
    }


def _lookup_operation(features: Features, schemas: Schema) -> Schema:
    """Return the operation that looks up a delivery, whose outcome is one of those that are stored."""
    visible = _visible(
        (one for one in OUTCOMES if one.stored != "no" and (one is not SENT or features.send_codes)), features
    )
    responses, added = response_schemas.responses([*visible, *_LOOKUP_OUTCOMES], features.profile, "Delivered")
    schemas |= added
    delivery_id = {
        "name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
        "description": "The delivery's id.",
    }  # fmt: skip
    return {
        "operationId": "delivered",
        "tags": ["webhooks"],
        "summary": "Get the outcome of a delivery",
        "description": "The signature covers an empty body. The bridge does not call the API.",
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": [delivery_id, *request_schemas.lookup_headers(features)],
        "responses": responses,
    }


def _ready_operation(schemas: Schema) -> Schema:
    operation = _get_operation(
        "ready", "Check that the ledger works", "The response also says whether instances share the ledger.", "Ready"
    )
    visible = [outcomes.LEDGER_UNAVAILABLE, outcomes.OVERLOADED]
    responses, added = response_schemas.responses(visible, STATUS, "Ready")
    schemas |= added
    return operation | {"responses": operation["responses"] | responses}


def _metrics_operation() -> Schema:
    text = response_schemas.content("Metrics in the Prometheus text format.", "text/plain", {"type": "string"})
    operation = _get_operation("metrics", "Metrics", "The metrics of this instance since its start.", "")
    return operation | {"responses": {"200": text}}


def _get_operation(operation: str, summary: str, description: str, schema: str) -> Schema:
    ok = response_schemas.content("OK.", "application/json", {"$ref": f"#/components/schemas/{schema}"})
    return {
        "operationId": operation,
        "tags": ["bridge"],
        "summary": summary,
        "description": description,
        "security": [],
        "responses": {"200": ok},
    }
