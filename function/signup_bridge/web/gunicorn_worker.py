"""gunicorn's threaded worker, with a time limit for callers and with problem documents as error pages.

gunicorn has no timeout for reading a request, and its own error pages quote the request. The worker overrides only
public methods.
"""

from __future__ import annotations

import math
import re
import select
import socket
import sys
import time
import uuid
from contextlib import nullcontext, suppress
from functools import partial
from http import HTTPStatus
from typing import Any

from gunicorn.http.errors import ParseException
from gunicorn.util import close_graceful
from gunicorn.workers.gthread import ThreadWorker

from signup_bridge.core.clock import cpu_lock
from signup_bridge.telemetry.logs import log

from .wsgi_environ import request_read

PEEK_SIZE = 32_768
"""Maximum size of a request that is processed under the `CpuLock`, in bytes: headers, and twice the default body."""

KEEPALIVE_LINGER = 0.05
"""Seconds for which a thread waits for the next request of its connection. After that, the event loop waits."""


_BODY = re.compile(rb"\r\n(?:content-length:[ \t]*([0-9]{1,9})|transfer-encoding)", re.IGNORECASE)


def has_whole_request(sock: socket.socket) -> bool:
    """Return whether the next request seems to have arrived completely, so that reading it does not wait.

    gunicorn parses it afterwards. After a wrong guess, a thread holds the `CpuLock` while it waits for the caller.
    """
    try:
        data = sock.recv(PEEK_SIZE, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except OSError:
        return False
    head, end, body = data.partition(b"\r\n\r\n")
    length = _BODY.search(head)
    return bool(end) and (length is None or len(body) >= int(length[1] or sys.maxsize))


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    budget = math.inf
    """Seconds within which a thread must have read a request."""

    profile = "status"
    """``SENDER_PROFILE``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.read_deadlines: dict[Any, float] = {}
        """The connections that threads are reading, and the deadline of each on the monotonic clock."""

    def is_parent_alive(self) -> Any:
        """Return whether this process should continue; always True for gunicorn's first process."""
        return self.ppid == self.pid or super().is_parent_alive()

    def handle(self, conn: Any) -> Any:
        """Serve the requests of a connection in this thread, as long as they follow each other without a pause.

        If the connection must be closed, wait here until the caller has closed it. gunicorn would wait in its event
        loop, for up to 2 s in which it serves no other caller.
        """
        keep = self.handle_once(conn)
        while keep and self.has_next_request(conn):
            keep = self.handle_once(conn)
        if not keep:
            with suppress(OSError):  # the caller has disconnected
                close_graceful(conn.sock.dup())
                conn.sock.shutdown(socket.SHUT_RD)
        return keep

    def handle_once(self, conn: Any) -> Any:
        """Serve one request, with a deadline for reading it."""
        self.read_deadlines[conn] = time.monotonic() + self.budget
        request_read.set(partial(self.read_deadlines.pop, conn, None))
        try:
            with cpu_lock.held() if has_whole_request(conn.sock) else nullcontext():
                return super().handle(conn)
        finally:
            self.read_deadlines.pop(conn, None)

    def has_next_request(self, conn: Any) -> bool:
        """Return whether the next request arrives immediately, and each other connection has a free thread.

        Going through the event loop costs a sixth of a request's processor time. If there are as many connections as
        threads, the event loop alternates between them; otherwise, busy connections would keep their threads.
        """
        if not self.alive or self.nr_conns >= self.cfg.threads:
            return False
        poll = select.poll()
        poll.register(conn.sock, select.POLLIN)
        return bool(poll.poll(KEEPALIVE_LINGER * 1000))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Wait for events, and stop reading requests whose deadline has passed.

        After this, gunicorn closes idle connections that have expired. Python does not poll again after a signal if the
        timeout has passed, so a worker that was frozen for longer than ``KEEP_ALIVE`` would miss the requests that
        arrived during the freeze.
        """
        now = time.monotonic()
        until = min(now + timeout, *self.read_deadlines.copy().values(), math.inf)
        super().wait_for_and_dispatch_events(max(0.0, until - now))
        now = time.monotonic()
        if now >= until:
            super().wait_for_and_dispatch_events(0)
        self.end_expired_reads(now)

    def end_expired_reads(self, now: float) -> None:
        """End each read whose deadline has passed. Its thread then reads the end of the connection."""
        for conn, deadline in self.read_deadlines.copy().items():
            if now >= deadline and self.read_deadlines.pop(conn, None) is not None:
                with suppress(OSError):  # already closed
                    conn.sock.shutdown(socket.SHUT_RD)

    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Respond to a request that did not reach the application."""
        # gunicorn's master also loads this module, for the worker's class only. Its imports would use memory twice.
        from signup_bridge.core.outcomes import BODY_MALFORMED, INTERNAL_ERROR, RequestRejected  # noqa: PLC0415

        from . import responses  # noqa: PLC0415
        from .profiles import PROFILES  # noqa: PLC0415

        request_id = uuid.uuid4().hex
        if isinstance(exc, ParseException):
            rejection = RequestRejected(BODY_MALFORMED, "The request is not valid HTTP/1.1.")
        else:
            rejection = RequestRejected(INTERNAL_ERROR)
            log.error("internal error", exc_info=exc, extra={"fields": {"request_id": request_id}})
        response = responses.from_rejection(rejection, PROFILES[self.profile], request_id)
        fields = {"request_id": request_id, "outcome": rejection.outcome.code, "status": response.status}
        log.info("request rejected", extra={"fields": fields | {"reason": type(exc).__name__}})
        headers = {
            "Connection": "close",
            "Content-Length": str(len(response.body)),
            **dict(response.headers),
            **responses.common_headers(request_id),
        }
        lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        with suppress(OSError):  # the caller may have disconnected
            client.sendall("\r\n".join([*lines, "", ""]).encode() + response.body)
