"""Find free TCP ports, and format the address of a server."""

from __future__ import annotations

import secrets
import socket

_FIRST, _COUNT = 10_000, 22_000
"""Ports below the ephemeral range, so that no connection takes one between the check and its use. The range starts at
32768 on Linux, at 49152 on other systems."""


def free() -> int:
    """Return an unused port on 127.0.0.1 below the ephemeral range."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)  # independent of a seed that the caller has set
        if _is_free(port):
            return port


def address(host: str, port: int) -> str:
    """Return the host and port, as in a URL, to connect from this machine to a server that listens on ``host``."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True
