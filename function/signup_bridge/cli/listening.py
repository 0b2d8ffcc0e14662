"""Check that a server can listen on an address, to name the setting and the remedy before anything starts."""

from __future__ import annotations

import errno
import os
import socket

_IN_USE = "{port_setting}: port {port} on {host} is in use; set another port"
_OTHER = "{host_setting}: no server can listen on {host}, port {port} ({reason}); set another address or port"
_BY_ERRNO = {
    errno.EADDRINUSE: _IN_USE,
    errno.EADDRNOTAVAIL: "{host_setting}: {host} is not an address of this machine; set one of its own, or 0.0.0.0",
    errno.EACCES: "{port_setting}: port {port} needs the rights of root; set a port of 1024 or higher",
}


def listen_problem(host: str, port: int, *, host_setting: str = "HOST", port_setting: str = "PORT") -> str | None:
    """Return why no server can listen there, and what to do; None if one can."""
    try:
        _listen(host, port)
    except OSError as error:
        named = {"host_setting": host_setting, "port_setting": port_setting, "host": host, "port": port}
        text = _BY_ERRNO.get(error.errno or 0, _OTHER)
        return text.format(**named, reason=_reason(error))
    return None


def _listen(host: str, port: int) -> None:
    """Listen for a moment, with gunicorn's options. `socket.create_server` would hide a failed name resolution."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()


def _reason(error: OSError) -> str:
    """Return the system's words; the numbers of name resolution are not its own."""
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    return os.strerror(error.errno or 0).lower()
