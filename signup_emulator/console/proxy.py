"""Relay requests to the bridge and return its responses, both unchanged except for hop-by-hop headers."""

from __future__ import annotations

import http.client
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flask import Response

from .deliveries import Headers, HttpRequest, HttpResponse

RESPONSE_TIMEOUT = 65.0
"""Seconds to wait for a response: more than the largest REQUEST_BUDGET."""

HOP_BY_HOP = (
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host",
    "content-length", "expect",
)  # fmt: skip
"""Headers that belong to one connection only."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class BridgeTarget:
    """A bridge at ``url``, with its WEBHOOK_AUTH, the first of its WEBHOOK_SECRETS and its PAYLOAD_PRESET.

    ``preset`` is None for the bridge's own format. ``sends``: it also sends codes. ``generated``: the secret is not
    configured, but generated for this run; only such a secret may be shown.
    """

    url: str
    auth: str
    secret: str = field(repr=False)
    preset: str | None = None
    sends: bool = False
    generated: bool = False


def with_traceparent(headers: Headers) -> tuple[Headers, str]:
    """Return the headers with a `traceparent`, and its trace id, which the log line and the API calls have, too."""
    for name, value in headers:
        match = _TRACEPARENT.fullmatch(value)
        if name.lower() == "traceparent" and match:
            return headers, match[1]
    trace = "a" + secrets.token_hex(16)[1:]  # the bridge rejects a trace id without a letter
    return [*headers, ("traceparent", f"00-{trace}-{secrets.token_hex(8)}-01")], trace


def forward(bridge: BridgeTarget, request: HttpRequest, headers: Headers) -> HttpResponse:
    """Send a request with these headers and return the bridge's response. Raises OSError, http.client.HTTPException."""
    parts = urlsplit(bridge.url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=RESPONSE_TIMEOUT)
    body = request.body.encode("utf-8", "surrogateescape")
    try:
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        for name, value in end_to_end(headers):
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Connection", "close")
        connection.endheaders(body)
        response = connection.getresponse()
        text = response.read().decode("utf-8", "surrogateescape")
        return HttpResponse(response.status, response.reason, response.getheaders(), text)
    finally:
        connection.close()


class RelayedResponse(Response):
    """The bridge's response, unchanged except for the headers of its connection."""


def to_flask_response(request: HttpRequest, response: HttpResponse) -> RelayedResponse:
    """Convert the bridge's response to a request."""
    body = response.body.encode("utf-8", "surrogateescape")
    converted = RelayedResponse(body, f"{response.status} {response.reason}")
    converted.headers.clear()
    for name, value in end_to_end(response.headers):
        converted.headers.add(name, value)
    lengths = [value for name, value in response.headers if name.lower() == "content-length"]
    # The response to a HEAD names the length of a body that is not sent.
    converted.headers["Content-Length"] = lengths[0] if request.method == "HEAD" and lengths else str(len(body))
    return converted


def end_to_end(headers: Headers) -> Headers:
    """Return the end-to-end headers. A Connection header can name more hop-by-hop headers (RFC 9110, 7.6.1)."""
    listed = ",".join(value for name, value in headers if name.lower() == "connection")
    hop_by_hop = {*HOP_BY_HOP, *(name.strip().lower() for name in listed.split(","))}
    return [(name, value) for name, value in headers if name.lower() not in hop_by_hop]
