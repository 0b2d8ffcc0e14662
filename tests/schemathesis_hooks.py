"""What `schemathesis run` checks beside its own: see test_openapi.py."""

from __future__ import annotations

from typing import Any

import schemathesis


@schemathesis.check
def valid_data_is_read(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """What the description allows is never refused as a body, whatever the API says of the code in it."""
    about_a_delivery = case.path != "/metrics"  # which is no JSON
    if about_a_delivery and case.meta is not None and case.meta.generation.mode.is_positive:
        assert response.json().get("code") not in ("body-malformed", "body-invalid"), response.text
