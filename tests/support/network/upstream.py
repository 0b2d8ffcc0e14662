"""Replace the API by a server that passes each connection to a function of the test."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from tests.support import log_audit

Script = Callable[[socket.socket], None]


class Upstream:
    """A server that passes each connection to a function. ``requests`` has the complete requests it received."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script, self._tls = script, tls
        self._server = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                thread = threading.Thread(target=self._talk, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, plain: socket.socket) -> None:
        connection = plain
        with suppress(OSError, ValueError):
            if self._tls:
                connection = self._tls.wrap_socket(plain, server_side=True)
            self._open.append(connection)
            while request := read_request(connection):
                self.requests.append(request)
                log_audit.carry_request(request)
                self._script(connection)
        connection.close()

    def __enter__(self) -> Upstream:  # noqa: PYI034  Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    """Return one complete request, or nothing if the caller has disconnected."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    lengths = (line.partition(b":")[2] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    length = int(next(lengths, b"0"))
    while len(rest) < length:
        rest += connection.recv(65_536)
    return head + b"\r\n\r\n" + rest


def reply(document: object, *, status: str = "200 OK", headers: str = "Content-Type: application/json\r\n") -> bytes:
    """Return an HTTP reply. A ``document`` that is not bytes is encoded as JSON."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(data)}\r\n\r\n".encode() + data


def send(data: bytes) -> Script:
    """Return a script that sends these bytes in reply to every request."""
    return lambda connection: connection.sendall(data)


SUCCESS = {"Response": {"RequestId": "eac6b301-a322-493a-8e36-83b295459397"}}


def cut(connection: socket.socket) -> None:
    """Reset the TCP connection, even below TLS."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())
