"""gunicorn's threaded worker, but what it refuses by itself is answered as everything else is.

In comes a request that is no HTTP, or too much of it; out goes a problem document that repeats nothing of the request,
where gunicorn's own page would quote it, and never with 431, a status that SCF keeps for itself.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gunicorn.http.errors import ParseException
from gunicorn.workers.gthread import ThreadWorker

from . import answers
from .logs import log
from .outcomes import BODY_MALFORMED, INTERNAL_ERROR, Refusal

if TYPE_CHECKING:
    import socket


class Worker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    def handle_error(self, req: Any, client: socket.socket, addr: Any, exc: BaseException) -> None:  # noqa: ARG002
        """Answer a request that did not reach the application."""
        request_id = uuid.uuid4().hex
        if isinstance(exc, ParseException):
            refusal = Refusal(BODY_MALFORMED, "The request is not HTTP as it is understood here.")
        else:
            refusal = Refusal(INTERNAL_ERROR)
            log.error("internal error", exc_info=exc, extra={"fields": {"request_id": request_id}})
        answer = answers.of_refusal(refusal)
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
