"""gunicorn's threaded worker, with three things more.

The budget begins when a request is accepted: its time in gunicorn's line counts, and it must be here, whole, before the
budget is over. And what gunicorn refuses by itself, because it is no HTTP, or too much of it, is answered as everything
else is: by a problem document that repeats nothing of the request, where gunicorn's own page would quote it, and never
with 431, a status that SCF keeps for itself. And an answer leaves in one piece, where gunicorn sends its head first.
"""

from __future__ import annotations

import math
import socket
import threading
import time
import uuid
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import _DEFER, ThreadWorker

from .environ import AGE
from .logs import log

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

PATIENCE = 0.05
"""Seconds for which a thread waits for a new connection's first byte; after that the event loop does."""


class _Socket(socket.socket):
    """A caller's connection, nothing of which is waited for beyond a moment, where gunicorn would wait for ever.

    Inside ``in_one_piece`` what is sent is held back until its end, and dropped if something goes wrong.
    """

    until = math.inf
    _held: list[bytes] | None = None

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.settimeout(max(0.001, self.until - time.monotonic()) if self.until < math.inf else None)
        try:
            return super().recv(size, flags)
        finally:
            self.settimeout(None)

    def sendall(self, data: Any, flags: int = 0) -> None:
        if self._held is None:
            super().sendall(data, flags)
        else:
            self._held.append(data)

    @contextmanager
    def in_one_piece(self) -> Iterator[None]:
        held = self._held = []
        try:
            yield
        finally:
            self._held = None
        self.sendall(b"".join(held))


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    wsgi: WSGIApplication
    budget = math.inf
    """Seconds from the moment a request was accepted to that by which it is here, whole."""

    profile = "status"
    """``SENDER_PROFILE``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._current = threading.local()

    def load_wsgi(self) -> None:
        """Load the application, and tell it of each request how old it is."""
        super().load_wsgi()
        application = self.wsgi

        def aged(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            environ[AGE] = time.monotonic() - self._current.accepted
            return application(environ, start_response)

        self.wsgi = aged

    def enqueue_req(self, conn: Any) -> None:
        """A connection that is new, or has something to read again, goes into the line for a thread."""
        if not isinstance(conn.sock, _Socket):
            given = conn.sock
            conn.sock = _Socket(given.family, given.type, given.proto, given.detach())
        conn.accepted = time.monotonic()
        conn.sock.until = conn.accepted + self.budget
        super().enqueue_req(conn)

    def handle(self, conn: Any) -> Any:
        """Serve a request of a connection, in a thread."""
        if not conn.initialized and not conn.wait_for_data(PATIENCE):
            return _DEFER
        self._current.accepted = conn.accepted
        return super().handle(conn)

    def handle_request(self, req: Any, conn: Any) -> Any:
        """Answer a request that was read."""
        with conn.sock.in_one_piece():
            return super().handle_request(req, conn)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a request that did not reach the application."""
        # gunicorn's master loads this module for the worker's class alone: what it imported would be there twice.
        from . import answers  # noqa: PLC0415
        from .outcomes import BODY_MALFORMED, INTERNAL_ERROR, Refusal  # noqa: PLC0415
        from .profiles import PROFILES  # noqa: PLC0415

        request_id = uuid.uuid4().hex
        if isinstance(exc, ParseException):
            refusal = Refusal(BODY_MALFORMED, "The request is not HTTP as it is understood here.")
        else:
            refusal = Refusal(INTERNAL_ERROR)
            log.error("internal error", exc_info=exc, extra={"fields": {"request_id": request_id}})
        answer = answers.of_refusal(refusal, PROFILES[self.profile])
        fields = {"request_id": request_id, "outcome": refusal.outcome.code, "status": answer.status}
        log.info("request refused", extra={"fields": fields | {"reason": type(exc).__name__}})
        headers = {
            "Connection": "close",
            "Content-Length": str(len(answer.body)),
            **dict(answer.headers),
            **answers.common_headers(request_id),
        }
        lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with suppress(OSError):  # the caller may have gone
            client.sendall("\r\n".join([*lines, "", ""]).encode() + answer.body)
