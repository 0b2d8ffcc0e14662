"""gunicorn's threaded worker, with more to keep callers apart and less to do.

The budget begins when a request is accepted: its time in gunicorn's line counts, and it must be here, whole, before the
budget is over. What gunicorn refuses by itself, because it is no HTTP, or too much of it, is answered as everything
else is: by a problem document that repeats nothing of the request, where gunicorn's own page would quote it, and never
with 431, a status that SCF keeps for itself. No caller may hold up the event loop. An answer leaves in one piece, where
gunicorn sends its head first, and a connection's thread stays with it while it goes on.
"""

from __future__ import annotations

import errno
import math
import select
import socket
import threading
import time
import uuid
from collections import deque
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gunicorn.glogging import Logger as _Logger
from gunicorn.http.errors import ParseException
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from signup_bridge.telemetry.logs import log

from .wsgi_environ import CLOSE, QUEUE_TIME

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATIENCE = 0.05
"""Seconds for which a thread waits for a connection's next request; after that the event loop does."""

TAKING_TIME = 5.0
"""Seconds that a caller has to take an answer."""

SPARE = 8
"""Places for connections that are kept free by closing idle ones."""


class _Socket(socket.socket):
    """A caller's connection. It never blocks: what is waited for is waited for here, and not beyond ``until``.

    What gunicorn asks for is kept to as well; it would wait for ever now and then. Inside ``in_one_piece`` what is sent
    is held back until its end, and dropped if something goes wrong.
    """

    until = math.inf
    _timeout: float | None = None
    _held: list[bytes] | None = None

    def __init__(self, given: socket.socket) -> None:
        super().__init__(given.family, given.type, given.proto, given.detach())
        super().settimeout(0)

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001  as in the standard library
        self._timeout = None if flag else 0.0

    def settimeout(self, value: float | None) -> None:
        self._timeout = value

    def gettimeout(self) -> float | None:
        return self._timeout

    def recv(self, size: int, flags: int = 0) -> bytes:
        while True:
            try:
                return super().recv(size, flags)
            except BlockingIOError:
                left = max(0.0, self.until - time.monotonic())
                if not self.ready(select.POLLIN, left if self._timeout is None else min(left, self._timeout)):
                    raise TimeoutError from None

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._held is None:
            self.send(data, flags)
        else:
            self._held.append(data)

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of it; `BrokenPipeError` if it is not taken: as good as gone is who does not read."""
        left, until = memoryview(data), time.monotonic() + TAKING_TIME
        while left:
            try:
                left = left[super().send(left, flags) :]
            except BlockingIOError:
                if not self.ready(select.POLLOUT, max(0.0, until - time.monotonic())):
                    raise OSError(errno.EPIPE, "the caller does not take its answer") from None
        return len(data)

    def ready(self, event: int, seconds: float) -> bool:
        """Wait until it can be read (``POLLIN``) or written (``POLLOUT``); whether it can."""
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(None if seconds == math.inf else math.ceil(seconds * 1000)))

    @contextmanager
    def in_one_piece(self) -> Iterator[None]:
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
        self.sendall(b"".join(held))


class Logger(_Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's, which would make a line of each access and then find that nobody writes it."""

    access_log_enabled = False


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    wsgi: WSGIApplication
    budget = math.inf
    """Seconds from the moment a request was accepted to that by which it is here, whole."""

    patient = threading.Semaphore(1)
    """How many threads may wait at once for the next request of a connection."""

    profile = "status"
    """``SENDER_PROFILE``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._current = threading.local()
        self.queued: deque[object] = deque()
        """As many entries as connections wait for a thread."""

    def load_wsgi(self) -> None:
        """Load the application, and tell it of each request how old it is."""
        super().load_wsgi()
        application = self.wsgi

        def aged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ[QUEUE_TIME] = time.monotonic() - self._current.accepted
            environ[CLOSE] = self._current.request.force_close
            return application(environ, start_response)

        self.wsgi = aged

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events. gunicorn closes expired connections after this; none that has a request may be among them.

        Python does not poll again after a signal if the time-out has passed: a worker that was frozen for longer than
        ``KEEP_ALIVE`` would not see the requests that arrived meanwhile. A worker that stops closes silent connections.
        """
        until = time.monotonic() + timeout
        super().wait_for_and_dispatch_events(timeout)
        excess = max(0, self.nr_conns - (self.worker_connections - SPARE))
        if excess or not self.alive or time.monotonic() >= until:
            super().wait_for_and_dispatch_events(0)
        # At `worker_connections` gunicorn would accept nobody until a silent connection expires. Kept ones are fewer:
        # gunicorn leaves as many places as there are threads.
        for conn in list(self.pending_conns)[: excess if self.alive else None]:
            conn.timeout = 0

    def enqueue_req(self, conn: Any) -> None:
        """A connection that is new, or has something to read again, goes into the line for a thread."""
        if not isinstance(conn.sock, _Socket):
            conn.sock = _Socket(conn.sock)
        self._begin(conn)
        self.queued.append(None)
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve a connection's requests, in a thread, for as long as one follows the other."""
        self.queued.popleft()
        if not conn.initialized and not conn.data_ready:
            if not conn.sock.ready(select.POLLIN, 0 if self.queued else PATIENCE):
                return _DEFER
            conn.data_ready = True
        while True:
            self._current.accepted = conn.accepted
            if not super().handle(conn):
                # gunicorn's event loop would wait for the caller to close, too, and everybody for the event loop.
                close_graceful(conn.sock)
                return False
            if not self._goes_on(conn):
                return True
            self._begin(conn)

    def _begin(self, conn: Any) -> None:
        conn.accepted = time.monotonic()
        conn.sock.until = conn.accepted + self.budget

    def _goes_on(self, conn: Any) -> bool:
        """Whether the next request is here in a moment: the way through the event loop costs more than to wait.

        Nobody waits while others wait for a thread.
        """
        if not self.alive or self.queued or not self.patient.acquire(blocking=False):
            return False
        try:
            return bool(conn.parser.unreader.buf.getvalue()) or conn.sock.ready(select.POLLIN, PATIENCE)
        finally:
            self.patient.release()

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request that was read."""
        self._current.request = req
        with conn.sock.in_one_piece():
            return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a request that did not reach the application."""
        # gunicorn's master loads this module for the worker's class alone: what it imported would be there twice.
        from signup_bridge.core.outcomes import BODY_MALFORMED, INTERNAL_ERROR, RequestRejected  # noqa: PLC0415

        from . import responses  # noqa: PLC0415
        from .profiles import PROFILES  # noqa: PLC0415

        request_id = uuid.uuid4().hex
        if isinstance(exc, ParseException):
            refusal = RequestRejected(BODY_MALFORMED, "The request is not HTTP as it is understood here.")
        else:
            refusal = RequestRejected(INTERNAL_ERROR)
            log.error("internal error", exc_info=exc, extra={"fields": {"request_id": request_id}})
        answer = responses.from_rejection(refusal, PROFILES[self.profile])
        fields = {"request_id": request_id, "outcome": refusal.outcome.code, "status": answer.status}
        log.info("request refused", extra={"fields": fields | {"reason": type(exc).__name__}})
        headers = {
            "Connection": "close",
            "Content-Length": str(len(answer.body)),
            **dict(answer.headers),
            **responses.common_headers(request_id),
        }
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with suppress(OSError):  # the caller may have gone
            client.sendall("\r\n".join([*lines, "", ""]).encode() + answer.body)
