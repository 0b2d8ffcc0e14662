"""Connecting within a time that holds: name resolution and every address of a host included.

The standard library bounds each address by itself, and the resolver not at all.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from threading import Thread
from typing import Any

CONNECT_LIMIT = 3.0
"""Seconds for one address to accept a connection, so that a dead one leaves time for the next."""

IDLE_LIMIT = 20.0
"""Seconds after which an idle connection is not used again: SCF freezes instances, and a write into a connection that
died meanwhile makes an unknown outcome."""


def connect(host: str, port: int, remaining: Callable[[], float]) -> socket.socket:
    """A connected socket, whose time-out is what remains then.

    ``remaining`` is asked for the seconds left, and raises TimeoutError when there are none. Raises OSError.
    """
    failure: OSError = socket.gaierror("the name has no address")
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


class Bounded:
    """A connected socket whose every read and write ends when the time does that ``remaining`` returns.

    ``remaining`` is as in `connect`. A time-out of the socket alone bounds each read: a peer that drips outlives it.
    """

    def __init__(self, sock: socket.socket, remaining: Callable[[], float]) -> None:
        self._sock = sock
        self._remaining = remaining

    def recv(self, size: int) -> bytes:
        self._sock.settimeout(self._remaining())
        return self._sock.recv(size)

    def sendall(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._sock.settimeout(self._remaining())
            rest = rest[self._sock.send(rest) :]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _addresses(host: str, port: int, seconds: float) -> list[Any]:
    """The host's addresses. A resolver cannot be told a time-out, so it is asked in a thread that can be left."""
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # what IDNA does not know is a UnicodeError
            found.append(error)

    thread = Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(seconds)
    if not found:
        raise socket.gaierror("no answer in time")
    if isinstance(found[0], Exception):
        raise socket.gaierror("the name cannot be resolved") from found[0]
    addresses: list[Any] = found[0]
    return addresses
