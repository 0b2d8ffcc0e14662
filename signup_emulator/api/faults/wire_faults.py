"""Define the wire faults, and the damaged or partial replies that they send."""

from __future__ import annotations

import json
from typing import NamedTuple

WIRE_FAULTS = {
    # The call is processed; its reply is lost or damaged.
    "hang": "no reply; the connection stays open",
    "reset": "the connection is reset",
    "close": "the connection is closed without a reply",
    "truncate": "half of the body, then the connection is closed",
    "stall-body": "half of the body, then silence; the connection stays open",
    "drip": "the whole reply, one byte every 0.2 s",
    # The call is not processed, and there is no reply.
    "unprocessed": "the connection is closed before the call is processed",
    # Another server replies instead of the API; the call is not processed.
    "http-502": "HTTP status 502 with an HTML page",
    "html": "HTTP status 200 with an HTML page",
    "empty-object": "an empty JSON object",
    "empty-response": "an empty `Response`, without a request id",
    "error-with-charset": "the error for a wrong code, as `application/json; charset=utf-8`",
    "error-without-content-type": "the error for a wrong code, without `Content-Type`",
    "redirect": "a redirect to a URL that returns an apparent success to GET",
}
"""The wire faults, each with its effect."""

PROCESSED = ("hang", "reset", "close", "truncate", "stall-body", "drip")
"""The wire faults whose call is processed."""

_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to the network."
_WRONG_CODE = {"Code": "InternalError.VerifyCodeErr", "Message": "Incorrect verification code."}


class HttpReply(NamedTuple):
    """An HTTP reply."""

    status: int
    media_type: str | None
    body: bytes
    location: str | None = None


def faulty_reply(fault: str, request_id: str, redirected: str) -> HttpReply | None:
    """Return the reply that replaces the API's; None for a fault that breaks the API's own reply."""
    error = json.dumps({"Response": {"Error": _WRONG_CODE, "RequestId": request_id}}).encode()
    return {
        "http-502": HttpReply(502, "text/html", _PAGE),
        "html": HttpReply(200, "text/html", _PAGE),
        "empty-object": HttpReply(200, "application/json", b"{}"),
        "empty-response": HttpReply(200, "application/json", b'{"Response": {}}'),
        "error-with-charset": HttpReply(200, "application/json; charset=utf-8", error),
        "error-without-content-type": HttpReply(200, None, error),
        "redirect": HttpReply(302, "text/html", _PAGE, location=redirected),
    }.get(fault)


def partial_reply(fault: str, body: bytes) -> bytes | None:
    """Return the part of the API's reply that is sent before it breaks, None if nothing is sent."""
    if fault in ("truncate", "stall-body"):
        return body[: len(body) // 2]
    return body if fault == "drip" else None
