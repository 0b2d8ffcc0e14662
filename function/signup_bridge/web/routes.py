"""The routes for senders: convert an HTTP request to a `Request`, and its result to the HTTP response."""

from __future__ import annotations

from typing import Literal, NamedTuple

from flask import Flask, Response, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.delivery import DeliveryResult
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.service.admission import LedgerQueryLimiter
from signup_bridge.service.signup_service import Request, SignupService, body_too_large
from signup_bridge.telemetry import logs

from . import delivery_log
from .middleware import to_flask_response
from .responses import Responder
from .wsgi_environ import BUDGET, queue_time, request_read

MAX_QUEUE_FRACTION = 0.75
"""Maximum fraction of its budget that a request may spend in the server's queue."""


class WebhookViews(NamedTuple):
    """The views of the routes for senders. ``budget``: seconds for one request."""

    service: SignupService
    responder: Responder
    queries: LedgerQueryLimiter
    clock: Clock
    budget: float
    body_limit: int

    def register(self, app: Flask, *, send_codes: bool) -> None:
        """Add the routes."""
        app.post("/webhooks/signup", strict_slashes=False)(self.signup)
        # A Function URL has no path; a request target in absolute form may have none either.
        app.post("/", strict_slashes=False, endpoint="function_url")(self.signup)
        if send_codes:
            app.post("/webhooks/code", strict_slashes=False)(self.send_code)
        app.get("/deliveries/<path:delivery_id>")(self.get_delivery)

    def signup(self) -> Response:
        return self._handle("auto")

    def send_code(self) -> Response:
        return self._handle("send")

    def get_delivery(self, delivery_id: str) -> Response:
        self.service.authenticate(request.headers)
        with self.queries.acquire(self._deadline()) as deadline:
            return self._respond(self.service.lookup(delivery_id, request.headers, deadline))

    def _handle(self, action: Literal["auto", "send"]) -> Response:
        deadline = self._deadline()
        body = self._body()
        return self._respond(self.service.handle(Request(body, deadline, headers=request.headers, action=action)))

    def _respond(self, delivery: DeliveryResult) -> Response:
        return to_flask_response(
            self.responder.from_result(delivery, logs.current_request_id()), delivery_log.from_result(delivery)
        )

    def _deadline(self) -> Deadline:
        """Return the deadline of this request, whose budget starts when the server accepts the request.

        A request that spent most of its budget in the server's queue has no time left, because a call that does not
        start cannot have an unknown outcome.
        """
        environ = request.environ
        budget = min(self.budget, environ.get(BUDGET, self.budget))
        age = queue_time(environ)
        return Deadline(self.clock, budget - age if age < budget * MAX_QUEUE_FRACTION else 0.0, total=budget)

    def _body(self) -> bytes:
        """Read the whole body. Raises RequestRejected, without reading if ``Content-Length`` exceeds the limit."""
        try:
            body = request.get_data(cache=False)
        except RequestEntityTooLarge:
            raise body_too_large(self.body_limit) from None
        except (ClientDisconnected, OSError):
            raise RequestRejected(outcomes.BODY_INCOMPLETE) from None
        except Exception as error:  # noqa: BLE001  the server's own classes for an invalid chunk
            # gunicorn reports a connection that ends inside a chunk's terminator as a wrong terminator.
            broken_off = getattr(error, "term", None) in (b"", b"\r")
            outcome = outcomes.BODY_INCOMPLETE if broken_off else outcomes.BODY_MALFORMED
            raise RequestRejected(outcome) from None
        # Werkzeug truncates a chunked body at its limit, and does not report a body that ends early.
        if len(body) != (request.content_length or len(body)):
            raise RequestRejected(outcomes.BODY_INCOMPLETE)
        request_read.get()()
        return body
