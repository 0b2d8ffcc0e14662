"""TCP ports of this machine: which is free, and whether one is."""

from __future__ import annotations

import secrets
import socket

_FIRST, _COUNT = 10_000, 22_000
"""Below the ports that systems give to whoever asks for any, or makes a connection: none of these is taken by chance
between the look at it and its use. Linux gives them from 32768 on, others from 49152."""


def free() -> int:
    """A port on 127.0.0.1 that nobody uses, and that nobody is given by chance."""
    while True:
        port = _FIRST + secrets.randbelow(_COUNT)  # whatever seed the caller's random numbers have
        if is_free(port):
            return port


def address(host: str, port: int) -> str:
    """Where this machine reaches who listens there, as in a URL."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  a question, no binding
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether one can listen there."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError:
        return False
    return True


def check(port: int, setting: str, host: str = "127.0.0.1") -> None:
    """Raises OSError, which names the setting, when the port is taken."""
    if not is_free(port, host):
        raise OSError(f"port {port} on {host} is taken; set {setting} to another one")
