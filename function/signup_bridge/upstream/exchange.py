"""What is known for certain about one call: the `Exchange`, and the reading of its reply, which writes it down.

A reply is read against the call's deadline and a limit of bytes, whatever it consists of. The reading must never wait
beyond the deadline, nor leave behind unnoticed what the next call would take for its own.
"""

from __future__ import annotations

import io
import re
import socket
import ssl
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any, cast

from signup_bridge.core.clock import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLY_LIMIT = 262_144
"""Bytes of a whole reply as it comes over the wire, whatever it consists of. The longest one expected, a list of 200
contacts, is about a tenth of it."""


_STATUS_LINE = re.compile(rb"HTTP/1\.[01] [1-5][0-9]{2}( [^\r\n]*)?\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]+)[ \t]*(;[^\r\n]*)?\r?\n")
"""http.client reads the numbers with int(), which also takes signs, underscores, 0x and spaces."""


class Exchange:
    """One call as the wire saw it, written by the connection that carried it.

    ``sent``: a byte of the request was handed to the network, after connect and handshake. ``received``: a byte of the
    reply came. ``status`` and ``body``: the whole reply, both None unless all of it came. ``surplus``: more came than
    the reply, and the connection must not be used again, or the next call would take it for its own reply.
    ``untrusted``: why the server's certificate is not trusted, None if it is.
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
        self.untrusted: str | None = None

    def remaining(self) -> float:
        """Seconds left, more than zero. Raises TimeoutError when there are none."""
        remaining = self.deadline.remaining()
        if remaining <= 0:
            raise TimeoutError("the deadline has passed")
        return remaining


CURRENT: ContextVar[Exchange] = ContextVar("exchange")
"""The exchange of this thread's call: what belongs to one call is never written onto the client that threads share."""


@contextmanager
def exchange(deadline: Deadline) -> Iterator[Exchange]:
    """The `Exchange` that whatever this thread sends inside the block is noted on."""
    token = CURRENT.set(Exchange(deadline))
    try:
        yield CURRENT.get()
    finally:
        CURRENT.reset(token)


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
        self.exchange = CURRENT.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.ended:
            return 0
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
        if self._count > REPLY_LIMIT:
            raise ValueError("the reply is too long")
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


class _File(io.BufferedReader):
    """The buffer over a `_Reader`. What it still holds when the reply has ended was not asked for.

    ``in_chunks``: the next line is a chunk's size.
    """

    in_chunks = False

    def readline(self, size: int | None = -1, /) -> bytes:
        """Return the next line. Raises ValueError for a status line or chunk size that is not HTTP's (RFC 9112)."""
        line = super().readline(size)
        if self.in_chunks:
            chunk = _CHUNK_SIZE.fullmatch(line)
            if chunk is None:
                raise ValueError("not a chunk size")
            self.in_chunks = bool(chunk[1].strip(b"0"))
        elif line.startswith(b"HTTP/") and not _STATUS_LINE.fullmatch(line):
            raise ValueError("not a status line")
        return line

    def close(self) -> None:
        reader = cast(_Reader, self.raw)
        reader.ended = True
        reader.exchange.surplus |= bool(self.peek())
        super().close()


class Response(HTTPResponse):
    """http.client's reply, reading through `_File`: it asks the socket for nothing but a file."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        self._lines = _File(_Reader(sock))
        super().__init__(cast(socket.socket, _Socket(self._lines)), *args, **kwargs)

    def begin(self) -> None:
        """Read the head. Raises ValueError for a status or length that is not a plain number."""
        super().begin()
        if any(not re.fullmatch("[0-9]+", length) for length in self.headers.get_all("Content-Length", ())):
            raise ValueError("not a Content-Length")
        self._lines.in_chunks = self.chunked
        if self.status != 200:  # an interim reply such as 103 is followed by another one
            self.will_close = True


class _Socket:
    def __init__(self, file: _File) -> None:
        self._file = file

    def makefile(self, _mode: str) -> io.BufferedReader:
        return self._file
