"""Replace the SDK's transport with urllib3's connection pool, one deadline for each call, and the facts of each call.

The SDK's transport follows redirects, shares one timeout among threads, and limits each read instead of the whole
reply. Its exceptions do not distinguish "never sent" from "no reply".
"""

from __future__ import annotations

import io
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import urlsplit

from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.util import SKIP_HEADER, Retry

from signup_bridge.core import network
from signup_bridge.core.clock import Clock, Deadline, Stopwatch, cpu_lock

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

REPLY_LIMIT = 262_144
"""Maximum size of a reply with its headers, in bytes. The longest expected reply, a list of 200 contacts, has about a
tenth of that."""

_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2}( [^\r\n]*)?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(;[^\r\n]*)?\r?\n")
_CONTENT_LENGTH = re.compile(r"[0-9]{1,9}")
"""The formats of RFC 9112. http.client reads numbers with int(), which also accepts signs, underscores, 0x and
spaces."""


class CallTrace:
    """The facts of one call, recorded by its connection.

    ``sent``: a byte of the request was passed to the network, after connect and handshake. ``received``: a byte of the
    reply arrived. ``timed_out``: a read reached the deadline. ``status`` and ``body``: the reply, both None unless it
    arrived completely. ``has_trailing_data``: more than the reply arrived, which the next call would read as its own
    reply. ``error``: the class of the error. ``untrusted``: why the server's certificate is not trusted.
    """

    def __init__(self, deadline: Deadline) -> None:
        self.deadline = deadline
        self.sent = False
        self.received = False
        self.timed_out = False
        self.has_trailing_data = False
        self.status: int | None = None
        self.body: bytes | None = None
        self.error: str | None = None
        self.untrusted: str | None = None

    def remaining(self) -> float:
        """Return the seconds left, more than zero. Raises TimeoutError after the deadline."""
        remaining = self.deadline.remaining()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining

    def record_error(self, error: BaseException) -> None:
        """Record the class of the original error, which urllib3 wraps."""
        while isinstance(error, HTTPError) and error.__context__ is not None:
            error = error.__context__
        self.error = type(error).__name__
        if isinstance(error, ssl.SSLCertVerificationError):
            self.untrusted = error.verify_message


current_call: ContextVar[CallTrace] = ContextVar("current_call")
"""The trace of this thread's call. Neither the SDK nor urllib3 can pass our own parameters to the connection."""


@contextmanager
def trace_call(deadline: Deadline) -> Iterator[CallTrace]:
    """Yield a `CallTrace`, which records the facts of this thread's call inside the block."""
    token = current_call.set(CallTrace(deadline))
    try:
        yield current_call.get()
    finally:
        current_call.reset(token)


class SdkResponse(NamedTuple):
    """The reply for the SDK. Without a content type, the SDK does not search it for errors."""

    status_code: int
    content: bytes
    headers: dict[str, str]


class HttpTransport:
    """Sends signed requests to one base URL. Replaces the SDK's ``ProxyConnection``.

    ``connections`` is the number kept alive, ``ca_bundle`` the path of a PEM file. Raises OSError if it cannot be read.
    There are no retries, redirects, proxies, cookies or ``.netrc``, so that contacts are sent only to the API.
    """

    request_length = 0  # the SDK reads it after each request

    def __init__(self, url: str, *, ca_bundle: str, connections: int, clock: Clock) -> None:
        parts = urlsplit(url)
        secure = parts.scheme == "https"
        self._pool = _ConnectionPool(
            cast(str, parts.hostname),
            parts.port or (443 if secure else 80),
            maxsize=connections,
            retries=Retry(total=False, redirect=False),  # urllib3 would create one for each request
            clock=clock,
            ssl_context=ssl.create_default_context(cafile=ca_bundle) if secure else None,
        )

    def request(self, method: str, _url: str, body: str, headers: dict[str, str]) -> SdkResponse:
        """Send a request once. Raises any error, after recording it on the current call's trace."""
        headers = {**headers, "User-Agent": SKIP_HEADER}
        try:
            reply = self._pool.urlopen(method, "/", body.encode(), headers, redirect=False, decode_content=False)
        except Exception as error:
            current_call.get().record_error(error)
            raise
        return SdkResponse(reply.status, reply.data, {})


class DeadlineReader(io.RawIOBase):
    """Reads the bytes of a socket within the deadline of the call.

    After the deadline, it reads bytes that have already arrived, without waiting: the whole reply may have arrived
    during a freeze of the instance.
    """

    def __init__(self, sock: socket.socket, file: io.RawIOBase, trace: CallTrace) -> None:
        self._sock = sock
        # The file keeps the socket open if http.client closes its own reference because of "Connection: close".
        self._file = file
        self._count = 0
        self.trace = trace
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.ended:
            return 0
        trace = self.trace
        self._sock.settimeout(trace.deadline.remaining())
        try:
            with cpu_lock.released():
                count = self._file.readinto(buffer)
        except (TimeoutError, ssl.SSLWantReadError):
            trace.timed_out = True
            raise
        if count is None:  # a plain socket with timeout 0 has nothing to read
            trace.timed_out = True
            raise TimeoutError("the deadline has passed")
        trace.received = trace.received or count > 0
        self._count += count
        if self._count > REPLY_LIMIT:
            raise ValueError("the reply is too long")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class ReplyBuffer(io.BufferedReader):
    """The buffer over a `DeadlineReader`. The bytes that it holds after the reply are trailing data."""

    in_chunks = False
    """Whether the next line is the size of a chunk."""

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line. Raises ValueError for a status line or chunk size that HTTP does not allow."""
        line = super().readline(size)
        if self.in_chunks:
            chunk = _CHUNK_SIZE.fullmatch(line)
            if chunk is None:
                raise ValueError("not a chunk size")
            if int(chunk[1], 16) > REPLY_LIMIT:  # http.client would allocate all of it
                raise ValueError("the reply is too long")
            self.in_chunks = bool(chunk[1].strip(b"0"))
        elif line.startswith(b"HTTP/") and not _STATUS_LINE.fullmatch(line):
            raise ValueError("not a status line")
        return line

    def close(self) -> None:
        reader = cast(DeadlineReader, self.raw)
        reader.ended = True
        reader.trace.has_trailing_data |= bool(self.peek())
        super().close()


class StrictResponse(HTTPResponse):
    """Reads a reply within the deadline. Unlike http.client, it accepts only numbers that RFC 9112 allows."""

    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._lines = ReplyBuffer(DeadlineReader(sock, self.fp.detach(), current_call.get()))
        self.fp = self._lines

    def begin(self) -> None:
        """Read the headers. Raises ValueError for a status or length that is not a plain number, or is too large."""
        super().begin()
        if not all(_CONTENT_LENGTH.fullmatch(length) for length in self.headers.get_all("Content-Length", ())):
            raise ValueError("not a Content-Length")
        if (self.length or 0) > REPLY_LIMIT:  # http.client would allocate all of it
            raise ValueError("the reply is too long")
        self._lines.in_chunks = self.chunked
        if self.status != 200:  # an interim reply such as 103 is followed by another one
            self.will_close = True


class DeadlineConnection(HTTPConnection):
    """A connection that waits no longer than the deadline of the current call.

    It uses TLS if it has an ``ssl_context``, because urllib3's class for TLS resolves the host name without a timeout.
    """

    response_class = StrictResponse

    def __init__(self, *args: Any, clock: Clock, ssl_context: ssl.SSLContext | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.clock = clock
        self.ssl_context = ssl_context
        self.idle = Stopwatch(clock)
        self.unsent = bytearray()

    @property
    def is_connected(self) -> bool:
        """Whether a request may reuse it: it was not idle for too long, and has neither data nor an end to read."""
        return self.idle.seconds() <= network.IDLE_LIMIT and super().is_connected

    def connect(self) -> None:
        """Connect, with the TLS handshake. Raises OSError."""
        with cpu_lock.released():
            sock = network.connect(self.host, self.port, current_call.get().remaining)
            self.sock = self.ssl_context.wrap_socket(sock, server_hostname=self.host) if self.ssl_context else sock

    def send(self, data: Any) -> None:
        """Buffer a part of the request until `request` sends all parts."""
        self.unsent += data

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request in one piece, since the API may process it from its first byte. Raises ProtocolError."""
        self.unsent.clear()
        super().request(*args, **options)
        trace = current_call.get()
        try:
            if self.sock is None:
                self.connect()
            self.sock.settimeout(trace.remaining())
            trace.sent = True
            self.sock.sendall(self.unsent)
        except OSError as error:
            # The pool ignores some OSErrors and would wait for a reply.
            raise ProtocolError("the request could not be sent") from error

    def getresponse(self) -> BaseHTTPResponse:  # type: ignore[override]
        """Return the complete reply, and close the connection if it must not be reused. Raises any error."""
        reply = super().getresponse()
        trace = current_call.get()
        trace.status, trace.body = reply.status, reply.data
        # The socket does not show data that TLS has already decrypted.
        if trace.has_trailing_data or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            self.close()
        elif self.sock is not None and hasattr(socket, "TCP_QUICKACK"):
            # A server may hold back trailing data until the reply is acknowledged. An immediate acknowledgement makes
            # the data arrive, and be detected, before the next request.
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        self.idle = Stopwatch(self.clock)
        return reply


class _ConnectionPool(HTTPConnectionPool):
    ConnectionCls = DeadlineConnection
