"""Replies that break on the wire: what is sent in place of a reply, and how much of one.

In comes a wire fault, out come bytes; who holds the connection sends them.
"""

from __future__ import annotations

import json
from typing import NamedTuple

WIRE_FAULTS = {
    # The call is processed, then its reply is lost or damaged.
    "hang": "no reply at all; the connection stays open",
    "reset": "the connection is reset",
    "close": "the connection is closed without a reply",
    "truncate": "half of the body, then the connection is closed",
    "stall-body": "half of the body, then nothing more",
    "drip": "the whole reply, a byte every fifth of a second",
    # Neither is the call processed, nor is there a reply.
    "unprocessed": "the connection is closed before the call is processed",
    # Something else answers in the API's place; the call is not processed.
    "http-502": "HTTP status 502 with an HTML page",
    "html": "HTTP status 200 with an HTML page",
    "empty-object": "{}",
    "empty-response": '{"Response": {}}',
    "error-with-charset": "a wrong code, as application/json; charset=utf-8",
    "error-without-content-type": "a wrong code, without a Content-Type",
    "redirect": "a redirect to where a GET would be answered as a success is",
}
"""The wire faults, each with what it does."""

PROCESSED = ("hang", "reset", "close", "truncate", "stall-body", "drip")
"""Those whose call is processed."""

_PAGE = b"<!doctype html><title>Sign in</title><p>Please sign in to the network."
_WRONG_CODE = {"Code": "InternalError.VerifyCodeErr", "Message": "Incorrect verification code."}


class Reply(NamedTuple):
    """An HTTP reply."""

    status: int
    media_type: str | None
    body: bytes
    location: str | None = None


def faulty_reply(fault: str, request_id: str, redirected: str) -> Reply | None:
    """The reply that something else gives in the API's place; None for a fault that breaks the API's own."""
    refusal = json.dumps({"Response": {"Error": _WRONG_CODE, "RequestId": request_id}}).encode()
    return {
        "http-502": Reply(502, "text/html", _PAGE),
        "html": Reply(200, "text/html", _PAGE),
        "empty-object": Reply(200, "application/json", b"{}"),
        "empty-response": Reply(200, "application/json", b'{"Response": {}}'),
        "error-with-charset": Reply(200, "application/json; charset=utf-8", refusal),
        "error-without-content-type": Reply(200, None, refusal),
        "redirect": Reply(302, "text/html", _PAGE, location=redirected),
    }.get(fault)


def partial_reply(fault: str, body: bytes) -> bytes | None:
    """How much of the API's own reply is sent before it breaks; None when nothing is."""
    if fault in ("truncate", "stall-body"):
        return body[: len(body) // 2]
    return body if fault == "drip" else None
