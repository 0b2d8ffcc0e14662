"""What `schemathesis run` checks beside its own, and which values it makes up: see test_openapi.py."""

from __future__ import annotations

from typing import Any

import schemathesis
from bridge import payload

PATTERNS = {"phone": payload.PHONE, "email": payload.EMAIL, "verify_code": payload.VERIFY_CODE}
HEADERS = {"Idempotency-Key": '"[a-z ]{1,20}"|[a-z]{1,20}', "ce-id": "[0-9a-z]{1,20}", "ce-source": "/[0-9a-z]{1,20}"}
EVENT = {"#/id", "#/source"}
"""An event's attributes, which are needed unless a header names the delivery: no schema can say that."""


@schemathesis.hook
def before_load_schema(ctx: schemathesis.HookContext, raw_schema: dict[str, Any]) -> None:
    """Give the texts patterns to make up values by. The description has none: people type more than it should list."""
    for name, schema in raw_schema["components"]["schemas"].items():
        for member, described in schema.get("properties", {}).items():
            kind = "verify_code" if member in ("verify_code", "VerifyCode") else name[:5].lower()
            if described.get("minLength") and kind in PATTERNS:
                described["pattern"] = f"^{PATTERNS[kind]}$"
    for operations in raw_schema["paths"].values():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                if parameter["name"] in HEADERS:
                    parameter["schema"]["pattern"] = f"^({HEADERS[parameter['name']]})$"


@schemathesis.check
def valid_data_is_read(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """What the description allows is never refused as a body, whatever the API says of the code in it."""
    about_a_delivery = case.path != "/metrics"  # which is no JSON
    if about_a_delivery and case.meta is not None and case.meta.generation.mode.is_positive:
        document = response.json()
        if {one["pointer"] for one in document.get("errors", [{"pointer": ""}])} <= EVENT:
            return
        assert document.get("code") not in ("body-malformed", "body-invalid"), response.text
