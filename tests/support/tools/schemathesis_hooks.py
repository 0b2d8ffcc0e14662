"""Add a check and value patterns to `schemathesis run`, which web/test_openapi.py starts."""

from __future__ import annotations

from typing import Any

import schemathesis
from signup_bridge.inbound import body

NAMES = ("Idempotency-Key", "ce-id", "ce-source")
"""The headers that identify a delivery. The description does not restrict their values."""

EVENT = {"#/id", "#/source"}
"""Attributes that an event needs unless a header identifies the delivery, which a schema cannot express."""

UNWANTED_CODE = "must be absent in a request to send a code"
"""The error for a member that the schema of a mapped body permits, as it permits any other member."""

EMAIL = r"^[!-?A-~]+@[!-,/-?A-~]+(\.[!-,/-?A-~]+)+$"
"""`payload.EMAIL` in ASCII. Other characters can be invisible and be removed, which can leave a label empty."""


@schemathesis.hook
def before_load_schema(ctx: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Add patterns for generated values. The description has none, because people type more than it should list.

    Only structured events are generated. A header decides whether a body is an event or its data, which a schema
    cannot express.
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
            elif member == "type" and "By" in name:  # a mapped body, whose contacts are phone numbers here
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
    """Check that a body that the description allows is never rejected as malformed or invalid."""
    about_a_delivery = case.path != "/metrics"  # its response is not JSON
    if about_a_delivery and case.meta is not None and case.meta.generation.mode.is_positive:
        document = response.json()
        errors = document.get("errors", [{"pointer": "", "detail": ""}])
        if all(one["pointer"] in EVENT or one["detail"] == UNWANTED_CODE for one in errors):
            return
        assert document.get("code") not in ("body-malformed", "body-invalid"), response.text
