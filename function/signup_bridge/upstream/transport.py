"""The wire under the SDK: kept-alive connections to one host, and what is written on them and read from them.

The SDK's own transport follows redirects, shares one time-out among threads, bounds each `recv` instead of the whole
reply, and tells "never sent" from "no answer" by exception classes that do not say it. This one, which the SDK is given
in its place, notes the facts on the current call's `Exchange` instead; it must never send a request twice.
"""

from __future__ import annotations

import select
import socket
import ssl
import weakref
from contextlib import suppress
from http.client import IncompleteRead
from typing import NamedTuple, cast
from urllib.parse import urlsplit

from signup_bridge.core import network
from signup_bridge.core.clock import Clock, Stopwatch

from .exchange import CURRENT, REPLY_LIMIT, Exchange, Response


class Answer(NamedTuple):
    """What the SDK is given of a reply. It looks for an error only under two content types, and takes every other reply
    for success: it is given no headers, so that it never judges."""

    status_code: int
    content: bytes
    headers: dict[str, str]


class Wire:
    """Sends what the SDK signed to one base URL, in the place of its ``ProxyConnection``.

    ``connections`` is how many are kept. ``ca_bundle`` is the path of a PEM file; OSError when it cannot be read. No
    time-out, proxy, redirect, cookie or ``.netrc`` plays a part: the contact goes to the API, and to nobody else.
    """

    request_length = 0
    """The SDK reads it after each request."""

    def __init__(self, url: str, *, ca_bundle: str, connections: int, clock: Clock) -> None:
        parts = urlsplit(url)
        self._host = cast(str, parts.hostname)
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context(cafile=ca_bundle) if parts.scheme == "https" else None
        self._connections = connections
        self._clock = clock
        self._idle: list[tuple[socket.socket, Stopwatch]] = []
        weakref.finalize(self, _close, self._idle)

    def request(self, method: str, _url: str, body: str, headers: dict[str, str]) -> Answer:
        """Send it once. Whatever goes wrong is raised as it came; the facts are on the exchange."""
        current, sock = CURRENT.get(), None
        try:
            request = _written(method, headers, body.encode())
            sock = self._take() or self._connect(current)
            sock.settimeout(current.remaining())
            current.sent = True
            sock.sendall(request)
            reply = Response(sock, method=method)
            reply.begin()
            content = _whole(reply)
            current.status, current.body = reply.status, content
            if reply.will_close or current.surplus:
                sock.close()
            else:
                self._keep(sock)
        except Exception as error:
            current.error = type(error).__name__
            if isinstance(error, ssl.SSLCertVerificationError):
                current.untrusted = error.verify_message
            if sock is not None:
                sock.close()
            raise
        return Answer(reply.status, content, {})

    def _take(self) -> socket.socket | None:
        """A connection that was kept, has not been idle for too long and has nothing to read: not even its end."""
        with suppress(IndexError):
            while True:
                sock, idle = self._idle.pop()
                if idle.seconds() <= network.IDLE_LIMIT and not _has_something(sock):
                    return sock
                sock.close()
        return None

    def _connect(self, current: Exchange) -> socket.socket:
        sock = network.connect(self._host, self._port, current.remaining)
        return self._tls.wrap_socket(sock, server_hostname=self._host) if self._tls else sock

    def _keep(self, sock: socket.socket) -> None:
        # What TLS has already deciphered is not seen by a look at the socket.
        if len(self._idle) >= self._connections or (isinstance(sock, ssl.SSLSocket) and sock.pending()):
            sock.close()
            return
        if hasattr(socket, "TCP_QUICKACK"):
            # A server may hold back what it still has to say until the reply is acknowledged. Acknowledged at once,
            # it is here to be seen before the next request, and not just behind it.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self._idle.append((sock, Stopwatch(self._clock)))


def _written(method: str, headers: dict[str, str], body: bytes) -> bytes:
    """A request in one piece. Raises ValueError for a header that would be two."""
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    if head.count("\r") != len(headers) or head.count("\n") != len(headers):
        raise ValueError("a header with a line end in it")
    length = f"Content-Length: {len(body)}\r\n"
    return f"{method} / HTTP/1.1\r\n{head}{length}Accept-Encoding: identity\r\n\r\n".encode("ascii") + body


def _has_something(sock: socket.socket) -> bool:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _close(idle: list[tuple[socket.socket, Stopwatch]]) -> None:
    for sock, _ in idle:
        sock.close()


def _whole(reply: Response) -> bytes:
    """The reply's body. Raises IncompleteRead when it ends early: http.client says so only of one in chunks."""
    body = b""
    while chunk := reply.read(REPLY_LIMIT):
        body += chunk
    if reply.length:
        raise IncompleteRead(body, reply.length)
    return body
