"""The wire under the SDK: one pool of kept-alive connections to one host, and what is known for certain about a call.

The SDK's own transport follows redirects, shares one time-out among threads, bounds each `recv` instead of the whole
reply, and tells "never sent" from "no answer" by exception classes that do not say it. This adapter, mounted on the
SDK's session, notes the facts on the `Exchange` of the current thread instead; it must never send a request twice.
"""

from __future__ import annotations

import io
import socket
import ssl
from collections.abc import Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from threading import Thread
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NameResolutionError, NewConnectionError
from urllib3.util import Timeout

from .clock import Clock, Deadline, Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator

IDLE_LIMIT = 20.0
"""Seconds after which a pooled connection is not trusted any more: SCF freezes instances, and a write into a connection
that died meanwhile makes an unknown outcome."""

CONNECT_LIMIT = 3.0
"""Seconds for one address to accept a connection, so that a dead one leaves time for the next."""

REPLY_LIMIT = 262_144
"""Bytes of a whole reply as it comes over the wire, whatever it consists of. The longest one expected, a list of 200
contacts, is about a tenth of it."""


class Exchange:
    """One call as the wire saw it, written by the connection that carried it.

    ``sent``: a byte of the request was handed to the network, after connect and handshake. ``received``: a byte of the
    reply came. ``status`` and ``body``: the whole reply, both None unless all of it came. ``surplus``: more came than
    the reply, and the connection must not be used again, or the next call would take it for its own reply.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.sent = False
        self.received = False
        self.timed_out = False
        self.surplus = False
        self.status: int | None = None
        self.body: bytes | None = None
        self.error: str | None = None

    def remaining(self) -> float:
        """Seconds left, more than zero. Raises TimeoutError when there are none."""
        remaining = self.deadline.remaining()
        if remaining <= 0:
            self.timed_out = True
            raise TimeoutError("the deadline has passed")
        return remaining


_current: ContextVar[Exchange] = ContextVar("exchange")


@contextmanager
def exchange(deadline: Deadline) -> Iterator[Exchange]:
    """The `Exchange` that whatever this thread sends inside the block is noted on."""
    token = _current.set(Exchange(deadline))
    try:
        yield _current.get()
    finally:
        _current.reset(token)


class _Reader(io.RawIOBase):
    """A socket's bytes, each read bounded by the exchange's deadline.

    Past the deadline it still takes what has already arrived, without waiting: an answer that is here is better known
    than forgotten.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # The file keeps the socket open while http.client, at "Connection: close", closes its own hold on it.
        self._file = sock.makefile("rb", buffering=0)
        self._count = 0
        self.ended = False
        self.exchange = _current.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.ended:
            return 0
        if self._count > REPLY_LIMIT:
            raise ValueError("the reply is too long")
        current = self.exchange
        self._sock.settimeout(current.deadline.remaining())
        try:
            count = self._file.readinto(buffer)
        except (TimeoutError, ssl.SSLWantReadError):
            current.timed_out = True
            raise
        if count is None:  # a plain socket at time-out 0 with nothing to read
            current.timed_out = True
            raise TimeoutError("the deadline has passed")
        current.received = current.received or count > 0
        self._count += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _File(io.BufferedReader):
    """The buffer over a `_Reader`. What it still holds when the reply has ended was not asked for."""

    def close(self) -> None:
        reader = cast(_Reader, self.raw)
        reader.ended = True
        reader.exchange.surplus |= bool(self.peek())
        super().close()


class _Response(HTTPResponse):
    """http.client's reply, reading through `_File`: it asks the socket for nothing but a file."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(cast(socket.socket, _ReadingSocket(sock)), *args, **kwargs)

    def begin(self) -> None:
        super().begin()
        if self.status != 200:  # an interim reply such as 103 is followed by another one
            self.will_close = True


class _ReadingSocket:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return _File(_Reader(self._sock))


class _Noting:
    """What both connection classes add: the deadline on every wait, and the moment the request leaves."""

    sock: socket.socket | None
    idle: Stopwatch | None = None

    def _new_conn(self) -> socket.socket:
        return _connect(cast(HTTPConnection, self), _current.get())

    def send(self, data: Any) -> None:
        # Connect and handshake are over when this goes on: the handshake writes to the socket by itself, http.client
        # would connect inside its own `send`, after the note, and no proxy is ever asked to CONNECT.
        if self.sock is None:
            self.connect()  # type: ignore[attr-defined]  # the next class in line is urllib3's connection
        current = _current.get()
        cast(socket.socket, self.sock).settimeout(current.remaining())
        current.sent = True
        super().send(data)  # type: ignore[misc]  # as above


class _HTTPConnection(_Noting, HTTPConnection):
    response_class = _Response


class _HTTPSConnection(_Noting, HTTPSConnection):
    response_class = _Response


def _connect(connection: HTTPConnection, current: Exchange) -> socket.socket:
    """A connected socket, whose time-out is what is left for the handshake."""
    failure: Exception = NewConnectionError(connection, "the name has no address")
    for family, kind, protocol, _, address in _addresses(connection, current):
        sock = None
        try:
            sock = socket.socket(family, kind, protocol)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(min(CONNECT_LIMIT, current.remaining()))
            sock.connect(address)
            sock.settimeout(current.remaining())
        except OSError as error:
            if sock is not None:
                sock.close()
            failure = NewConnectionError(connection, type(error).__name__)
            failure.__cause__ = error
        else:
            return sock
    raise failure


def _addresses(connection: HTTPConnection, current: Exchange) -> list[Any]:
    """The host's addresses. A resolver cannot be told a time-out, so it is asked in a thread that can be left."""
    found: list[Any] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(connection.host, connection.port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:  # what IDNA does not know is a UnicodeError
            found.append(error)

    thread = Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(current.remaining())
    if not found:
        current.timed_out = True
        raise NameResolutionError(connection.host, connection, socket.gaierror("no answer in time"))
    if isinstance(found[0], Exception):
        raise NameResolutionError(connection.host, connection, socket.gaierror()) from found[0]
    return cast("list[Any]", found[0])


class _Pool(HTTPConnectionPool):
    """A pool that drops a connection before it is used again when it has been idle for too long or holds a surplus."""

    ConnectionCls: Any = _HTTPConnection
    clock: Clock

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        idle = cast(_Noting, connection).idle
        if idle is not None and idle.seconds() > IDLE_LIMIT:
            connection.close()
        return connection

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle = Stopwatch(self.clock)
            # What TLS has already deciphered is not seen by a look at the socket.
            if _current.get().surplus or (isinstance(conn.sock, ssl.SSLSocket) and conn.sock.pending()):
                conn.close()
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
        current = _current.get()
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

    def close(self) -> None:
        self._pool.close()


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
