"""Check that a server can listen on an address, to report the setting and the remedy before anything starts."""

from __future__ import annotations

import errno
import os
import socket

_IN_USE = "{port_setting}: port {port} on {host} is in use; set another port"
_OTHER = "{host_setting}: {host}, port {port} is not available ({reason}); set another address or port"
_BY_ERRNO = {
    errno.EADDRINUSE: _IN_USE,
    errno.EADDRNOTAVAIL: "{host_setting}: this machine does not have the address {host}; set its address, or 0.0.0.0",
    errno.EACCES: "{port_setting}: port {port} requires root privileges; set a port of 1024 or higher",
}


def listen_problem(host: str, port: int, *, host_setting: str = "HOST", port_setting: str = "PORT") -> str | None:
    """Return the problem and the remedy if no server can listen on this address, else None."""
    try:
        _listen(host, port)
    except OSError as error:
        named = {"host_setting": host_setting, "port_setting": port_setting, "host": host, "port": port}
        text = _BY_ERRNO.get(error.errno or 0, _OTHER)
        return text.format(**named, reason=_reason(error))
    return None


def _listen(host: str, port: int) -> None:
    """Listen briefly, with gunicorn's options. `socket.create_server` would hide a failed name resolution."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen()


def _reason(error: OSError) -> str:
    """Return the system's error message. The error numbers of name resolution have no such message."""
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    return os.strerror(error.errno or 0).lower()
