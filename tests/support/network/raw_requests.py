"""Send requests that no HTTP client would send."""

from __future__ import annotations

import socket
from contextlib import suppress
from urllib.parse import urlsplit

from tests.support.bridge.signed_requests import body, signed


def raw(url: str, data: bytes, *, silent: bool = False) -> tuple[int, dict[str, str], bytes]:
    """Send bytes, then stop sending or stay silent; return the response's status, headers and body."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(data)
        with suppress(OSError):  # the server may respond and close before the request is sent completely
            if not silent:
                connection.shutdown(socket.SHUT_WR)
        return read_response(connection)


def read_response(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Return the status, headers and body of a response after which the server closes the connection."""
    response = b""
    while chunk := connection.recv(65_536):
        response += chunk
    head, _, document = response.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    return (
        int(first.split()[1]),
        {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)},
        document,
    )


def delivery_request() -> bytes:
    """Return a signed request with `Connection: close`."""
    data = body()
    headers = signed(data) | {"Host": "x", "Content-Length": str(len(data)), "Connection": "close"}
    lines = ["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + data
