"""Who may use the console: this machine's own browser and programs, but not another site's script in that browser.

A page elsewhere can make a browser post to 127.0.0.1, and can have its own name resolved to 127.0.0.1. Against the one
stands the check of `Origin`, against the other that of `Host`.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Collection
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request

from .proxy import Relayed

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def protect(app: Flask, *, host: str, allowed: Collection[str] = ()) -> None:
    """Refuse what is not meant for a console that listens on ``host``, and add the page's headers to its responses.

    ``allowed`` are other host names that lead here. The bridge's responses are relayed without the page's headers.
    """

    @app.before_request
    def refuse() -> None:
        if not is_own_host(request.host, host, allowed):
            abort(
                403, "The Host is not this console's: use 127.0.0.1 or localhost, or start it with --allow-host NAME."
            )
        if request.method in ("GET", "HEAD"):  # what they answer another site's script cannot read
            return
        origin = request.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != request.host:
            abort(403, "The Origin is not this console's: another site's script may not post here.")

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in () if isinstance(response, Relayed) else HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def is_own_host(given: str, listening: str, allowed: Collection[str] = ()) -> bool:
    """Whether a `Host` header's value is an address, this machine's own name, or one of ``allowed``."""
    name = (urlsplit(f"//{given}").hostname or "").lower()
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
    """Whether only this machine reaches who listens on ``host``, a name or an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
