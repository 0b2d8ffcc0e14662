"""Serve a minimal substitute for the API, with TLS and a configurable latency.

It accepts every request and does little work, because the benchmarks measure its callers on the same machine. It runs
in a separate process.
"""

from __future__ import annotations

import multiprocessing
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from pathlib import Path

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@contextmanager
def running(pem: Path, latency: float = 0.0) -> Iterator[str]:
    """Run the substitute with a key and certificate, and yield its URL. It responds after ``latency`` seconds."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=_serve, args=(pem, latency, there))
    process.start()
    there.close()
    try:
        yield f"https://127.0.0.1:{here.recv()}"
    finally:
        here.close()
        process.join()


def _serve(pem: Path, latency: float, pipe: Connection) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        threading.Thread(target=_accept, args=(server, tls, latency), daemon=True).start()
        pipe.send(server.getsockname()[1])
        with suppress(EOFError, KeyboardInterrupt):
            pipe.recv()  # until the other end is closed or its process has ended


def _accept(server: socket.socket, tls: ssl.SSLContext, latency: float) -> None:
    while True:
        plain, _ = server.accept()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_talk, args=(plain, tls, latency), daemon=True).start()


def _talk(plain: socket.socket, tls: ssl.SSLContext, latency: float) -> None:
    with suppress(OSError), tls.wrap_socket(plain, server_side=True) as connection:
        data = b""
        while True:
            while not (ended := _end(data)):
                chunk = connection.recv(65_536)
                if not chunk:
                    return
                data += chunk
            data = data[ended:]
            if latency:
                time.sleep(latency)
            reply = b'{"Response":{"RequestId":"%b"}}' % str(uuid.uuid4()).encode()
            connection.sendall(_HEAD % len(reply) + reply)


def _end(data: bytes) -> int:
    """Return the end of the first request, or 0 if it is incomplete."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        return 0
    length = int(head.lower().partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0] or b"0")
    return len(data) - len(rest) + length if len(rest) >= length else 0
