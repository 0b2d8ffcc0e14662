"""Serve the Domain API at `POST /`, and a WSGI application at all other paths."""

from __future__ import annotations

import contextlib
import io
import json
import select
import socket
import ssl
import struct
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from werkzeug.exceptions import NotFound
from werkzeug.serving import ThreadedWSGIServer

from signup_toolkit import ports

from . import tc3
from .account.behaviour import RATE
from .account.domain import Domain
from .calls import Call, Calls
from .dispatcher import dispatch
from .faults.armed_faults import Faults
from .faults.wire_faults import HttpReply, faulty_reply, partial_reply
from .handler import Handler

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

DEMO_SECRET_ID = "AKIDSignupBridgeEmulatorDemo00000000"  # noqa: S105  public: printed at the start
DEMO_SECRET_KEY = "demo-key-that-opens-nothing-00000"  # noqa: S105  as above
BODY_LIMIT = 1_048_576
DISCARD_LIMIT = 64 * BODY_LIMIT
"""Bytes of a body over the limit that are read and discarded: a client that still sends may miss the response."""
HANG_LIMIT = 120.0
"""Seconds after which a hanging connection is closed."""

REDIRECTED = "/emulator/redirected"
"""The target of the fault `redirect`: it returns an apparent success to GET."""

RECEIVED_HEADERS = "emulator.headers"
"""The key in the WSGI environment for the headers of a request, names and values in the received order."""

_OLD_SIGNATURE = ("Action", "Signature", "SignatureMethod")
"""Query parameters of a GET call with an older signature method."""

Server = TypeVar("Server", bound="ApiServer")


class ApiServer(ThreadedWSGIServer):
    """An emulated account on ``host``:``port``, port 0 for any free one.

    ``rate`` is the maximum requests per second for each action, 0 for no limit. ``delay`` is the number of seconds
    between the processing of a call and its reply. ``on_call`` is called with each call before the reply.
    """

    daemon_threads = False
    request_queue_size = 256

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        rate: int = RATE,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.domain = Domain(now, rate=rate)
        self.faults = Faults()
        self.calls = Calls()
        self.keys = {DEMO_SECRET_ID: DEMO_SECRET_KEY}
        self.tokens: dict[str, str] = {}
        self.now = now
        self.delay = 0.0
        self.on_call: Callable[[Call], None] = lambda _call: None
        self.stopping = threading.Event()
        self.scheme = "https" if tls else "http"
        self._tls = tls
        self._connections: set[socket.socket] = set()
        application: WSGIApplication = NotFound()
        super().__init__(host, port, application, _Handler)

    @property
    def address(self) -> str:
        """The host and port to connect to from this machine."""
        return ports.address(self.host, self.port)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    def reset(self) -> None:
        """Delete the account's state, the armed faults and the recorded calls."""
        self.domain.reset()
        self.faults.clear()
        self.calls.clear()

    def __enter__(self: Server) -> Server:  # noqa: PYI019  Self came with Python 3.11
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.close_connections()
        self._thread.join()

    def close_connections(self) -> None:
        """Close all connections, including those in use."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        if self._tls:
            connection = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect."""


class _Handler(Handler):
    server: ApiServer

    def make_environ(self) -> WSGIEnvironment:
        """Read the body, because Werkzeug would wait for an unread one before it closes the connection."""
        environ = {**super().make_environ(), RECEIVED_HEADERS: self.headers.items()}
        length = environ.get("CONTENT_LENGTH", "")
        if _is_length(length) and int(length) <= BODY_LIMIT:
            environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(length)))
        return environ

    def run_wsgi(self) -> None:
        """Process a call of the API; pass other requests to the application."""
        if self._is_api_call():
            self._receive_call()
            return
        super().run_wsgi()

    def _is_api_call(self) -> bool:
        """Return whether the request is for the API, not for the page, which has the same path."""
        path, query = urlsplit(self.path).path, urlsplit(self.path).query
        if path != "/" or self.command == "HEAD":
            return False
        authorization = self.headers.get("Authorization", "")
        return (
            self.command == "POST"
            or "X-TC-Action" in self.headers
            or authorization.startswith("TC3-")
            or any(name in parse_qs(query) for name in _OLD_SIGNATURE)
        )

    def _receive_call(self) -> None:
        length = self.headers.get("Content-Length", "" if "Transfer-Encoding" in self.headers else "0")
        if not _is_length(length):
            self.reject(411, "Content-Length is required. Send a body of a known length, not chunked.")
        elif int(length) > BODY_LIMIT:
            left = min(int(length), DISCARD_LIMIT)
            while left and (part := self.rfile.read(min(left, 65_536))):
                left -= len(part)
            self.reject(413, f"The body has {length} bytes. The limit is {BODY_LIMIT}.")
        else:
            self._answer_call(self.rfile.read(int(length)))

    def do_GET(self) -> None:
        if urlsplit(self.path).path != REDIRECTED:
            self.run_wsgi()
            return
        request_id = str(uuid.uuid4())
        self.server.calls.append(Call(self.server.now(), "redirected", None, "OK", request_id))
        self.send(200, "application/json", json.dumps({"Response": {"RequestId": request_id}}).encode())

    def _answer_call(self, body: bytes) -> None:
        started = time.monotonic()
        headers = {name.lower(): value for name, value in self.headers.items()}
        dispatched = dispatch(self.server, tc3.SignedRequest(self.command, urlsplit(self.path).query, headers, body))
        call, wire_fault = dispatched.call, dispatched.wire_fault
        reply: HttpReply | None = HttpReply(200, "application/json", dispatched.reply)
        if wire_fault is not None:
            reply = faulty_reply(wire_fault, call.request_id, self.server.url + REDIRECTED)
        sent = reply.body if reply else partial_reply(wire_fault or "", dispatched.reply)
        call.reply = None if sent is None else sent.decode()
        self.server.calls.append(call)
        self.server.on_call(call)
        if dispatched.delay:
            self.server.stopping.wait(dispatched.delay)
        call.duration_ms = _milliseconds_since(started)
        if reply:
            self.send(*reply)
        else:
            self.close_connection = True
            self._break_connection(wire_fault or "", dispatched.reply)
            call.duration_ms = _milliseconds_since(started)

    def _break_connection(self, fault: str, reply: bytes) -> None:
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(reply)
        part = partial_reply(fault, reply)
        with contextlib.suppress(OSError):
            if part is not None and fault != "drip":
                self.write(head + part)
            if fault in ("hang", "stall-body"):
                self._wait_for_disconnect(HANG_LIMIT)
            if fault == "drip":
                for byte in head + reply:
                    self.write(bytes((byte,)))
                    if self._wait_for_disconnect(0.2):
                        return
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    def _wait_for_disconnect(self, seconds: float) -> bool:
        """Wait; return True as soon as the client disconnects or the emulator stops, otherwise False."""
        end = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self.connection, select.POLLIN)
        while (left := end - time.monotonic()) > 0 and not self.server.stopping.is_set():
            if poll.poll(min(left, 0.1) * 1000):
                return True
        return self.server.stopping.is_set()


def _is_length(length: str) -> bool:
    return length.isascii() and length.isdecimal() and len(length) < 19


def _milliseconds_since(started: float) -> float:
    return round((time.monotonic() - started) * 1000, 3)
