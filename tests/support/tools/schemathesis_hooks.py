"""Checks and values that `schemathesis run` has beside its own; web/test_openapi.py runs it."""

from __future__ import annotations

from typing import Any

import schemathesis
from signup_bridge.inbound import body

NAMES = ("Idempotency-Key", "ce-id", "ce-source")
"""The headers that name a delivery. The description leaves open what they may consist of."""

EVENT = {"#/id", "#/source"}
"""An event's attributes, which are needed unless a header names the delivery: no schema can say that."""

UNWANTED_CODE = "must be absent in a request to send a code"
"""The description of a mapped body: its schema permits other members of an object."""

EMAIL = r"^[!-?A-~]+@[!-,/-?A-~]+(\.[!-,/-?A-~]+)+$"
"""`payload.EMAIL` in ASCII: beyond it there are invisible characters, which are removed, and labels that end empty."""


@schemathesis.hook
def before_load_schema(ctx: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Say by patterns which values to make up. The description has none: people type more than it should list.

    Events are in structured mode: a header decides whether a body is an event or its data, which no schema can say.
    """
    for name, schema in raw_schema["components"]["schemas"].items():
        if {f"#/{member}" for member in schema.get("properties", {})} >= EVENT:
            schema["required"] = [*schema.get("required", ()), "id", "source"]
        for member, described in schema.get("properties", {}).items():
            if described.get("minLength") == 4:
                described["pattern"] = f"^{body.VERIFY_CODE}$"
            elif described.get("minLength") == 5:
                described["pattern"] = EMAIL if name.startswith("Email") else f"^{body.PHONE}$"
                described["maxLength"] = body.CONTACT_LIMIT
            elif member == "type" and "By" in name:  # of a mapped body, whose contacts are phone numbers here
                described["anyOf"] = [{"type": "string", "enum": ["phone"]}]
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            parameters = operation.get("parameters", [])
            parameters[:] = [one for one in parameters if one["name"] not in NAMES]
            for media in operation.get("requestBody", {}).get("content", {}).values():
                media["schema"] = media["schema"].get("anyOf", [media["schema"]])[0]


@schemathesis.check
def valid_data_is_read(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """A body that the description allows is never rejected as a body, with any result of the API."""
    about_a_delivery = case.path != "/metrics"  # which is not JSON
    if about_a_delivery and case.meta is not None and case.meta.generation.mode.is_positive:
        document = response.json()
        errors = document.get("errors", [{"pointer": "", "detail": ""}])
        if all(one["pointer"] in EVENT or one["detail"] == UNWANTED_CODE for one in errors):
            return
        assert document.get("code") not in ("body-malformed", "body-invalid"), response.text
