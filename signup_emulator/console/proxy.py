"""The way from here to the bridge: a request is passed on as it came, its answer passed back as it came."""

from __future__ import annotations

import http.client
import re
import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from flask import Response

from .deliveries import Answer, Headers, Request

TIME_LIMIT = 65.0
"""Seconds for an answer, more than any budget."""

OF_THE_WAY = (
    "connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "host",
    "content-length", "expect",
)  # fmt: skip
"""Headers that belong to one connection, and not to what is sent over it."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class BridgeTarget:
    """A bridge at ``url``, and what its senders know: the WEBHOOK_AUTH and the first of the WEBHOOK_SECRETS.

    ``preset`` is the PAYLOAD_PRESET by which it reads their bodies, None for its own; ``sends``: it sends codes, too.
    """

    url: str
    auth: str
    secret: str = field(repr=False)
    preset: str | None = None
    sends: bool = False


def traced(headers: Headers) -> tuple[Headers, str]:
    """The headers with a `traceparent`, and its trace id: by it the log's line and the API's calls are known."""
    for name, value in headers:
        match = _TRACEPARENT.fullmatch(value)
        if name.lower() == "traceparent" and match:
            return headers, match[1]
    trace = "a" + secrets.token_hex(16)[1:]  # the bridge takes none without a letter
    return [*headers, ("traceparent", f"00-{trace}-{secrets.token_hex(8)}-01")], trace


def pass_on(bridge: BridgeTarget, request: Request, headers: Headers) -> Answer:
    """The bridge's answer to a request with these headers. Raises OSError or http.client.HTTPException."""
    parts = urlsplit(bridge.url)
    body = request.body.encode("utf-8", "surrogateescape")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIME_LIMIT)
    try:
        connection.putrequest(request.method, request.path, skip_accept_encoding=True)
        for name, value in kept(headers):
            connection.putheader(name, value.encode("latin-1", "replace"))
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Connection", "close")
        connection.endheaders(body)
        response = connection.getresponse()
        told = response.read().decode("utf-8", "surrogateescape")
        return Answer(response.status, response.reason, response.getheaders(), told)
    finally:
        connection.close()


class Relayed(Response):
    """The bridge's response, unchanged but for the headers of its connection."""


def relayed(request: Request, answer: Answer) -> Relayed:
    """Return the bridge's answer to a request as a response."""
    body = answer.body.encode("utf-8", "surrogateescape")
    response = Relayed(body, f"{answer.status} {answer.reason}")
    response.headers.clear()
    for name, value in kept(answer.headers):
        response.headers.add(name, value)
    lengths = [value for name, value in answer.headers if name.lower() == "content-length"]
    # The response to a HEAD names the length of a body that is not sent.
    response.headers["Content-Length"] = lengths[0] if request.method == "HEAD" and lengths else str(len(body))
    return response


def kept(headers: Headers) -> Headers:
    """Return the end-to-end headers. A Connection header names further ones that are not (RFC 9110, 7.6.1)."""
    listed = ",".join(value for name, value in headers if name.lower() == "connection")
    hop_by_hop = {*OF_THE_WAY, *(name.strip().lower() for name in listed.split(","))}
    return [(name, value) for name, value in headers if name.lower() not in hop_by_hop]
