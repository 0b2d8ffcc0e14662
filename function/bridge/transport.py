"""The wire under the SDK: one pool of kept-alive connections to one host.

The SDK's own transport follows redirects, shares one time-out among threads, bounds each `recv` instead of the whole
reply, and tells "never sent" from "no answer" by exception classes that do not say it. This adapter, mounted on the
SDK's session, notes the facts on the current call's `Exchange` instead; it must never send a request twice.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError
from urllib3.util import Timeout

from . import sockets
from .clock import Clock, Stopwatch
from .exchange import CURRENT, REPLY_LIMIT, Response


class _Noting:
    """What both connection classes add: the deadline on every wait, and the moment the request leaves."""

    sock: socket.socket | None
    idle: Stopwatch | None = None

    def _new_conn(self) -> socket.socket:
        to = cast(HTTPConnection, self)
        try:
            return sockets.connect(to.host, to.port, CURRENT.get().remaining)
        except OSError as error:  # under the class that urllib3 has for what was not connected
            raise NewConnectionError(to, type(error).__name__) from error

    def send(self, data: Any) -> None:
        # Connect and handshake are over when this goes on: the handshake writes to the socket by itself, http.client
        # would connect inside its own `send`, after the note, and no proxy is ever asked to CONNECT.
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # the next class in line is urllib3's connection
        current = CURRENT.get()
        cast(socket.socket, self.sock).settimeout(current.remaining())
        current.sent = True
        super().send(data)  # type: ignore[misc]  # as above


class _HTTPConnection(_Noting, HTTPConnection):
    response_class = Response


class _HTTPSConnection(_Noting, HTTPSConnection):
    response_class = Response


class _Pool(HTTPConnectionPool):
    """A pool that drops a connection before it is used again when it has been idle for too long or holds a surplus."""

    ConnectionCls: Any = _HTTPConnection
    clock: Clock

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        idle = cast(_Noting, connection).idle
        if idle is not None and idle.seconds() > sockets.IDLE_LIMIT:
            connection.close()
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle = Stopwatch(self.clock)
            # What TLS has already deciphered is not seen by a look at the socket.
            if CURRENT.get().surplus or (isinstance(conn.sock, ssl.SSLSocket) and conn.sock.pending()):
                conn.close()
            elif conn.sock is not None and hasattr(socket, "TCP_QUICKACK"):
                # A server may hold back what it still has to say until the reply is acknowledged. Acknowledged at once,
                # it is here to be seen before the next request, and not just behind it.
                conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        super()._put_conn(conn)


class _TLSPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection


class Adapter(HTTPAdapter):
    """Sends what the SDK signed to one base URL and notes the reply on the current `Exchange`.

    ``connections`` is how many are kept. ``ca_bundle`` is the path of a PEM file; OSError when it cannot be read.
    """

    def __init__(self, url: str, *, ca_bundle: str, connections: int, clock: Clock) -> None:
        super().__init__(pool_connections=1, pool_maxsize=1)
        parts = urlsplit(url)
        host = cast(str, parts.hostname)
        self._pool: _Pool
        if parts.scheme == "https":
            tls = ssl.create_default_context(cafile=ca_bundle)
            self._pool = _TLSPool(host, parts.port, maxsize=connections, block=False, ssl_context=tls)
        else:
            self._pool = _Pool(host, parts.port, maxsize=connections, block=False)
        self._pool.clock = clock

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Send it once. Whatever goes wrong is raised as it came; the facts are on the exchange.

        What the SDK would have besides, its time-out, its CA file and the environment's proxy, is left aside: the
        contact goes to the API, and to nobody else.
        """
        current = CURRENT.get()
        try:
            remaining = current.remaining()
            raw = self._pool.urlopen(
                cast(str, request.method),
                request.path_url,
                body=cast("bytes", request.body),
                headers=cast("dict[str, str]", request.headers),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=Timeout(connect=remaining, read=remaining),
            )
            body = _whole(raw)
        except Exception as error:
            current.error = _root_of(error)
            raise
        current.status, current.body = raw.status, body
        response = self.build_response(request, raw)
        response._content = body  # noqa: SLF001  requests has no other way to give a reply that is already read
        # The SDK looks for an error only under two content types, and takes every other reply for success. It is
        # given none, so that it never judges.
        response.headers.pop("Content-Type", None)
        return response


def _whole(raw: BaseHTTPResponse) -> bytes:
    """The reply's body. One read may end early at a broken connection without a word; the next one says so."""
    body = b""
    while chunk := raw.read(REPLY_LIMIT):
        body += chunk
    return body


def _root_of(error: BaseException) -> str:
    """The class of the innermost error: libraries wrap what happened several times over."""
    while True:
        inner = _inner(error)
        if inner is None:
            return type(error).__name__
        error = inner


def _inner(error: BaseException) -> BaseException | None:
    candidates: Iterable[object] = (error.__cause__, *error.args)
    return next((one for one in candidates if isinstance(one, BaseException)), None)
