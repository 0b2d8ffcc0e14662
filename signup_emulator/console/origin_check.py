"""Reject requests to the console from scripts of other sites in this machine's browser.

Another site can make a browser post to 127.0.0.1, which the check of `Origin` prevents. It can also resolve its own
name to 127.0.0.1 (DNS rebinding), which the check of `Host` prevents.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request

from .proxy import RelayedResponse

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def protect(app: Flask, *, host: str, allowed: Collection[str] = ()) -> None:
    """Reject requests for another host or from another origin, and add security headers to the console's responses.

    ``allowed`` lists host names beside ``host`` and this machine's own. Relayed responses stay unchanged.
    """

    @app.before_request
    def check_request() -> None:
        if not is_own_host(request.host, host, allowed):
            abort(
                403, "The Host header does not name this console. Use 127.0.0.1 or localhost, or set --allow-host NAME."
            )
        if request.method in ("GET", "HEAD"):  # scripts of other sites cannot read the response
            return
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            abort(403, "The Origin header names another site, whose scripts may not send requests to this console.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in () if isinstance(response, RelayedResponse) else HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def is_own_host(host_header: str, listening: str, allowed: Collection[str] = ()) -> bool:
    """Return whether a `Host` header names an IP address, this machine, or one of ``allowed``."""
    name = (urlsplit(f"//{host_header}").hostname or "").lower()
    if name in (one.lower() for one in allowed):
        return True
    if name == "localhost" or name.endswith(".localhost") or name == listening.lower():
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return not is_loopback(listening) and name == socket.gethostname().lower()
    return True


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a server on ``host``, a name or an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
