"""The OpenAPI 3.1 description of the routes, made from the tables that the answers are made from."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from signup_bridge import __version__
from signup_bridge.core import outcomes
from signup_bridge.core.outcomes import OUTCOMES, SENT, VERIFIED, Outcome
from signup_bridge.web.profiles import STATUS

from . import requests
from . import responses as openapi_responses
from .requests import Features

Schema = dict[str, Any]

_NOT_OF_THE_WEBHOOKS = (outcomes.NOT_FOUND, outcomes.METHOD_NOT_ALLOWED)
_VERIFYING = (VERIFIED, outcomes.CODE_INCORRECT, outcomes.ATTEMPTS_EXHAUSTED, outcomes.OUTCOME_UNRESOLVED)
_SENDING = (SENT, outcomes.SEND_LIMITED, outcomes.SEND_FAILED)
"""What only one of the two webhooks ends in."""
_QUESTION = (
    outcomes.NOT_FOUND, outcomes.IN_PROGRESS, outcomes.SIGNATURE_INVALID, outcomes.LEDGER_UNAVAILABLE,
    outcomes.OVERLOADED,
)  # fmt: skip
"""The outcomes of `GET /deliveries/<id>`, beside the delivery's own."""
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
_TAGS = {"webhooks": "What senders ask.", "bridge": "What operators and machines ask."}


def document(features: Features) -> Schema:
    """Return the description of a bridge with these features, as JSON values."""
    schemes, _ = _SECURITY[features.keys.webhook_auth]
    schemas: Schema = dict(openapi_responses.SCHEMAS)
    paths: dict[str, Schema] = {
        "/webhooks/signup": {"post": _signup("signup", features, schemas)},
        "/": {"post": _signup("signup_at_root", features, schemas)},
        **({"/webhooks/code": {"post": _code(features, schemas)}} if features.send_codes else {}),
        "/deliveries/{id}": {"get": _delivered(features, schemas)},
        "/ready": {"get": _ready(schemas)},
        "/health": {"get": _get("health", "Whether the bridge runs", "It touches nothing.", "Health")},
        "/openapi.json": {"get": _get("openapi", "This description", "It depends on the settings.", "Description")},
        **({"/metrics": {"get": _metrics()}} if features.metrics else {}),
    }
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "signup-bridge",
            "version": __version__,
            "description": "Verifies the code that a person received by phone or email, once for each delivery.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": paths,
        "components": {"securitySchemes": schemes, "schemas": _used(schemas, paths)},
    }
    return whole if features.reveal else _drop_timing_header(whole)


def _used(schemas: Schema, paths: Schema) -> Schema:
    """Return the schemas that the paths refer to, and those that these refer to."""
    used: Schema = {}
    new = paths
    while new:
        names = re.findall('"#/components/schemas/([^"]+)"', json.dumps(new))
        new = {name: schemas[name] for name in names if name in schemas and name not in used}
        used |= new
    return dict(sorted(used.items()))


def _drop_timing_header(document: Any) -> Any:
    """The same, with a ``Server-Timing`` that need not be there."""
    if not isinstance(document, dict):
        return [_drop_timing_header(one) for one in document] if isinstance(document, list) else document
    changed = {name: _drop_timing_header(value) for name, value in document.items()}
    if "Server-Timing" in changed:
        changed["Server-Timing"] |= {"required": False}
    return changed


def _visible(candidates: Iterable[Outcome], features: Features) -> list[Outcome]:
    return [one for one in candidates if one is not outcomes.ALREADY_VERIFIED or features.reveal]


def _signup(operation: str, features: Features, schemas: Schema) -> Schema:
    visible = _visible((one for one in OUTCOMES if one not in _NOT_OF_THE_WEBHOOKS + _SENDING), features)
    schemas |= requests.components(features, "Delivery", code=True)
    responses, narrowed = openapi_responses.responses(visible, features.profile, "Signup")
    schemas |= narrowed
    return {
        "operationId": operation,
        "tags": ["webhooks"],
        "summary": "Verify a contact",
        "description": "Verify a contact with the code that was sent to it.",
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": requests.webhook_headers(features),
        "requestBody": {"required": True, "content": requests.content(features, "Delivery")},
        "responses": responses,
    }


def _code(features: Features, schemas: Schema) -> Schema:
    visible = _visible((one for one in OUTCOMES if one not in _NOT_OF_THE_WEBHOOKS + _VERIFYING), features)
    schemas |= requests.components(features, "SendRequest", code=False)
    responses, narrowed = openapi_responses.responses(visible, features.profile, "Code")
    schemas |= narrowed
    return {
        "operationId": "code",
        "tags": ["webhooks"],
        "summary": "Send a code",
        "description": "Send a contact a verification code.",
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": requests.webhook_headers(features),
        "requestBody": {"required": True, "content": requests.content(features, "SendRequest")},
        "responses": responses,
    }


def _delivered(features: Features, schemas: Schema) -> Schema:
    """The question what became of a delivery: its own answer, of those that are remembered."""
    visible = _visible(
        (one for one in OUTCOMES if one.stored != "no" and (one is not SENT or features.send_codes)), features
    )
    responses, narrowed = openapi_responses.responses([*visible, *_QUESTION], features.profile, "Delivered")
    schemas |= narrowed
    the_id = {
        "name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
        "description": "The delivery's id.",
    }  # fmt: skip
    return {
        "operationId": "delivered",
        "tags": ["webhooks"],
        "summary": "What became of a delivery",
        "description": "Asked with a signature over an empty body. The API is not called.",
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": [the_id, *requests.question_headers(features)],
        "responses": responses,
    }


def _ready(schemas: Schema) -> Schema:
    operation = _get("ready", "Whether the ledger works", "It also says whether instances share the ledger.", "Ready")
    visible = [outcomes.LEDGER_UNAVAILABLE, outcomes.OVERLOADED]
    responses, narrowed = openapi_responses.responses(visible, STATUS, "Ready")
    schemas |= narrowed
    return operation | {"responses": operation["responses"] | responses}


def _metrics() -> Schema:
    text = openapi_responses.content("In Prometheus' text format.", "text/plain", {"type": "string"})
    operation = _get("metrics", "Metrics", "What this instance did since it started.", "")
    return operation | {"responses": {"200": text}}


def _get(operation: str, summary: str, description: str, schema: str) -> Schema:
    ok = openapi_responses.content("Yes.", "application/json", {"$ref": f"#/components/schemas/{schema}"})
    return {
        "operationId": operation,
        "tags": ["bridge"],
        "summary": summary,
        "description": description,
        "security": [],
        "responses": {"200": ok},
    }
