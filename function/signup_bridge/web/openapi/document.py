"""Build the OpenAPI 3.1 description of the routes, from the same tables as the responses."""

from __future__ import annotations

import json
import re

from signup_bridge import __version__
from signup_bridge.core import outcomes
from signup_bridge.core.outcomes import OUTCOMES, SENT, VERIFIED, Outcome
from signup_bridge.web.profiles import STATUS

from . import request_schemas, response_schemas
from .request_schemas import Features
from .schema import TEXT, Schema, reference

_SIGNATURE_HEADERS = [
    [f"{prefix}-{name}" for name in ("id", "timestamp", "signature")] for prefix in ("webhook", "svix")
]
_SECURITY: dict[str, tuple[Schema, list[Schema]]] = {
    "standard-webhooks": (
        {name: {"type": "apiKey", "in": "header", "name": name} for names in _SIGNATURE_HEADERS for name in names},
        [{name: [] for name in names} for names in _SIGNATURE_HEADERS],
    ),
    "github": (
        {"github": {"type": "apiKey", "in": "header", "name": "X-Hub-Signature-256"}},
        [{"github": []}],
    ),
    "bearer": ({"bearer": {"type": "http", "scheme": "bearer"}}, [{"bearer": []}]),
    "none": ({}, []),
}
"""The security schemes of each ``WEBHOOK_AUTH``, and the alternatives that an operation requires."""
_TAGS = {"webhooks": "Requests from senders.", "bridge": "Requests from operators and machines."}

_ROUTING_OUTCOMES = (outcomes.NOT_FOUND, outcomes.DELIVERY_NOT_FOUND, outcomes.METHOD_NOT_ALLOWED)
_VERIFICATION_ONLY: tuple[Outcome, ...] = (
    VERIFIED, outcomes.CODE_INCORRECT, outcomes.ATTEMPTS_EXHAUSTED, outcomes.OUTCOME_UNRESOLVED,
)  # fmt: skip
_SENDING_ONLY: tuple[Outcome, ...] = (SENT, outcomes.SEND_LIMITED, outcomes.SEND_FAILED)
"""The outcomes of only one of the two webhooks."""
_LOOKUP_OUTCOMES = (
    outcomes.NOT_FOUND, outcomes.DELIVERY_NOT_FOUND, outcomes.IN_PROGRESS, outcomes.SIGNATURE_INVALID,
    outcomes.LEDGER_UNAVAILABLE, outcomes.OVERLOADED,
)  # fmt: skip
"""The outcomes of `GET /deliveries/<id>` besides the delivery's own. Some ids, such as ``.``, change the path."""


def build(features: Features) -> Schema:
    """Return the description of a bridge with these features, as JSON values."""
    schemas = dict(response_schemas.SCHEMAS)
    operations = _operations(features, schemas)
    if not features.reveal:  # responses to deliveries do not show times
        for response in (one for operation in operations.values() for one in operation["responses"].values()):
            response["headers"]["Server-Timing"] = response["headers"]["Server-Timing"] | {"required": False}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "signup-bridge",
            "version": __version__,
            "description": "Verifies the code that a person received by phone or email, once for each delivery.",
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name, "description": description} for name, description in _TAGS.items()],
        "paths": {path: {"post" if "requestBody" in one else "get": one} for path, one in operations.items()},
        "components": {
            "securitySchemes": _SECURITY[features.keys.webhook_auth][0],
            "schemas": _referenced(schemas, operations),
        },
    }


def _operations(features: Features, schemas: Schema) -> dict[str, Schema]:
    failures = (outcomes.LEDGER_UNAVAILABLE, outcomes.OVERLOADED)
    ready = _ok("Ready") | response_schemas.responses(failures, STATUS, "Ready", schemas)
    metrics = response_schemas.content("Metrics in the Prometheus text format.", "text/plain", TEXT)
    operations = {
        "/webhooks/signup": _webhook("signup", features, schemas),
        "/": _webhook("signup_at_root", features, schemas),
        "/webhooks/code": _webhook("code", features, schemas),
        "/deliveries/{id}": _lookup(features, schemas),
        "/ready": _operation(
            "ready", "Check that the ledger works", "The response shows whether instances share the ledger.", ready
        ),
        "/health": _operation(
            "health", "Check that the bridge runs", "This check uses neither the ledger nor the API.", _ok("Health")
        ),
        "/openapi.json": _operation(
            "openapi", "Get this description", "The description depends on the settings.", _ok("Description")
        ),
        "/metrics": _operation(
            "metrics", "Get the metrics", "The metrics of this instance since its start.", {"200": metrics}
        ),
    }
    if not features.send_codes:
        del operations["/webhooks/code"]
    if not features.metrics:
        del operations["/metrics"]
    return operations


def _referenced(schemas: Schema, operations: Schema) -> Schema:
    """Return the schemas that the operations refer to, directly or through other schemas."""
    used: Schema = {}
    new = operations
    while new:
        names = re.findall('"#/components/schemas/([^"]+)"', json.dumps(new))
        new = {name: schemas[name] for name in names if name in schemas and name not in used}
        used |= new
    return dict(sorted(used.items()))


def _visible(features: Features) -> list[Outcome]:
    """Return the outcomes that responses may show."""
    return [one for one in OUTCOMES if features.reveal or one is not outcomes.ALREADY_VERIFIED]


def _webhook(name: str, features: Features, schemas: Schema) -> Schema:
    """Return the operation that sends a ``code``, or an operation that verifies one."""
    if name == "code":
        summary, description = "Send a code", "Send a verification code to a contact."
        body, response, excluded = "SendRequest", "Code", _VERIFICATION_ONLY
    else:
        summary, description = "Verify a contact", "Verify a contact with the code that was sent to it."
        body, response, excluded = "Delivery", "Signup", _SENDING_ONLY
    visible = [one for one in _visible(features) if one not in _ROUTING_OUTCOMES + excluded]
    responses = response_schemas.responses(visible, features.profile, response, schemas)
    return _operation(name, summary, description, responses) | {
        "tags": ["webhooks"],
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": request_schemas.webhook_headers(features),
        "requestBody": request_schemas.request_body(features, body, schemas, has_code=name != "code"),
    }


def _lookup(features: Features, schemas: Schema) -> Schema:
    """Return the operation that looks up a delivery. Its outcomes are those that the ledger stores."""
    stored = [one for one in _visible(features) if one.stored != "no" and (one is not SENT or features.send_codes)]
    responses = response_schemas.responses([*stored, *_LOOKUP_OUTCOMES], features.profile, "Delivered", schemas)
    description = "The signature covers an empty body. The bridge does not call the API."
    delivery_id = {
        "name": "id", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1},
        "description": "The delivery's id.",
    }  # fmt: skip
    return _operation("delivered", "Get the outcome of a delivery", description, responses) | {
        "tags": ["webhooks"],
        "security": _SECURITY[features.keys.webhook_auth][1],
        "parameters": [delivery_id, *request_schemas.lookup_headers(features)],
    }


def _operation(name: str, summary: str, description: str, responses: Schema) -> Schema:
    return {
        "operationId": name,
        "tags": ["bridge"],
        "summary": summary,
        "description": description,
        "security": [],
        "responses": responses,
    }


def _ok(schema: str) -> Schema:
    return {"200": response_schemas.content("OK.", "application/json", reference(schema))}
