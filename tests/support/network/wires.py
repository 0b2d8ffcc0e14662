"""Break TCP connections: a relay that loses replies or changes its target, and a server that runs a function."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


class Wire:
    """A relay to the server on port ``behind``. It breaks the connection at a reply that contains one of ``lose``.

    Connections that are open when ``refuse`` is called receive that reply to everything they send.
    """

    def __init__(self, port: int) -> None:
        self.lose: list[bytes] = []
        self.behind = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        self._callers: set[socket.socket] = set()
        self._changed = threading.Condition()
        self._passing = threading.Event()
        self._passing.set()
        self._refusals: dict[socket.socket, bytes] = {}
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def refuse(self, reply: bytes) -> None:
        self._refusals = dict.fromkeys(self._open, reply)

    @contextmanager
    def holding_replies(self) -> Iterator[None]:
        """Hold back all replies until the end of the block."""
        self._passing.clear()
        try:
            yield
        finally:
            self._passing.set()

    def has_connections(self, count: int) -> bool:
        """Wait until this number of clients is connected."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._callers) == count, timeout=60)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                with self._changed:
                    self._callers.add(caller)
                    self._changed.notify_all()
                server = socket.create_connection(("127.0.0.1", self.behind))
                self._open += [caller, server]
                for pair in ((caller, server, False), (server, caller, True)):
                    thread = threading.Thread(target=self._pass_on, args=pair)
                    self._threads.append(thread)
                    thread.start()

    def _pass_on(self, source: socket.socket, target: socket.socket, replies: bool) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if not replies and source in self._refusals:
                    source.sendall(self._refusals[source])
                    continue
                match = next((part for part in self.lose if part in data), None)
                if replies and match is not None:
                    self.lose.remove(match)
                    break
                if replies:
                    self._passing.wait()
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        with self._changed:
            self._callers -= {source, target}
            self._changed.notify_all()

    def __enter__(self) -> Wire:  # noqa: PYI034  typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for one in self._open:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in self._open:
            one.close()


@contextmanager
def serving(talk: Callable[[socket.socket], object]) -> Iterator[int]:
    """Yield the port of a server that calls ``talk`` with each connection, one after the other."""
    server = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                with connection, suppress(OSError):
                    talk(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def reset(connection: socket.socket) -> None:
    """Read once, then reset the connection, like a machine that no longer has it."""
    connection.recv(65_536)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
