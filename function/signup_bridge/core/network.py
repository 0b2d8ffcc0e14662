"""Connect within one deadline that includes name resolution and all addresses of a host.

The standard library and urllib3 limit each address separately, and do not limit name resolution.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread
from typing import Any

from .clock import cpu_lock

CONNECT_LIMIT = 3.0
"""Maximum seconds to connect to one address, so that an unreachable one leaves time for the next."""

IDLE_LIMIT = 20.0
"""Seconds after which an idle connection is not reused. SCF freezes instances, and a write to a connection that was
closed during the freeze causes an unknown outcome."""


def connect(host: str, port: int, remaining: Callable[[], float]) -> socket.socket:
    """Return a connected socket with the remaining time as its timeout.

    ``remaining`` returns the seconds left, and raises TimeoutError after the deadline. Raises OSError.
    """
    failure: OSError = socket.gaierror("the host name has no address")
    for family, kind, protocol, _, address in _addresses(host, port, remaining()):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(CONNECT_LIMIT, remaining()))
            sock.connect(address)
            sock.settimeout(remaining())
        except OSError as error:
            if sock is not None:
                sock.close()
            failure = error
        else:
            return sock
    raise failure


class DeadlineSocket:
    """A connected socket with one deadline for all reads and writes; a socket's timeout limits each call separately.

    ``remaining`` is the same as in `connect`.
    """

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._remaining())
        with cpu_lock.released():
            return self._sock.recv(size)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._remaining())
            rest = rest[self._sock.send(rest) :]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _addresses(host: str, port: int, seconds: float) -> list[Any]:
    """Return the host's addresses. The resolver has no timeout, so it runs in a thread that can be abandoned."""
    results: list[Any] = []

    def resolve() -> None:
        try:
            results.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # UnicodeError: a name that IDNA does not allow
            results.append(error)

    thread = Thread(target=resolve, daemon=True)
    thread.start()
    thread.join(seconds)
    if not results:
        raise socket.gaierror("the name resolution timed out")
    if isinstance(results[0], Exception):
        raise socket.gaierror("the host name cannot be resolved") from results[0]
    addresses: list[Any] = results[0]
    return addresses
