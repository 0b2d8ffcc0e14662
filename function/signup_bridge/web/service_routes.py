"""The routes for operators and machines: health, readiness, the OpenAPI description, metrics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import MethodNotAllowed

from signup_bridge import __version__
from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.service.admission import LEDGER_QUERY_TIMEOUT, LedgerQueryLimiter

from .middleware import SERVICE_BLUEPRINT, to_flask_response
from .responses import HttpResponse, json_response

if TYPE_CHECKING:
    from signup_bridge.metrics import Metrics


HOME_PAGE = b"""<!doctype html>
<html lang="en">
<title>signup-bridge</title>
<h1>signup-bridge</h1>
<p>This service verifies phone numbers and email addresses for signup systems, which send signed webhooks to
<code>/webhooks/signup</code>.</p>
<p><a href="openapi.json">API description</a> (OpenAPI 3.1)</p>
</html>
"""
"""The page at the root. Its link is relative: a gateway may add a prefix."""


class ServiceViews(NamedTuple):
    """The views. ``describe`` returns the OpenAPI description. Without ``metrics``, `/metrics` does not exist."""

    ledger: Ledger
    queries: LedgerQueryLimiter
    clock: Clock
    describe: Callable[[], dict[str, Any]]
    metrics: Metrics | None

    def register(self, app: Flask) -> None:
        """Add the routes, as a blueprint."""
        blueprint = Blueprint(SERVICE_BLUEPRINT, __name__)
        blueprint.get("/")(self.home)
        blueprint.get("/health")(self.health)
        blueprint.get("/ready")(self.ready)
        blueprint.get("/openapi.json")(self.openapi)
        if self.metrics:
            blueprint.get("/metrics", endpoint="metrics")(partial(self.scrape, self.metrics))
        app.register_blueprint(blueprint)

    def home(self) -> Response:
        """Return a page for browsers only: a sender that uses the wrong method must not receive a 200."""
        if not any(media_type == "text/html" for media_type, _ in request.accept_mimetypes):
            raise MethodNotAllowed(["POST"])
        headers = (("Content-Type", "text/html; charset=utf-8"), ("Content-Security-Policy", "default-src 'none'"))
        return to_flask_response(HttpResponse(200, headers, HOME_PAGE))

    def health(self) -> Response:
        return to_flask_response(json_response(200, {"status": "ok", "version": __version__}))

    def ready(self) -> Response:
        try:
            with self._query() as deadline:
                self.ledger.ping(deadline=deadline)
        except LedgerUnavailable as error:
            raise RequestRejected(
                outcomes.LEDGER_UNAVAILABLE, f"The {self.ledger.reach} ledger is unavailable. {error}"
            ) from None
        members = {"engine": self.ledger.engine, "reach": self.ledger.reach}
        return to_flask_response(json_response(200, {"status": "ok", "version": __version__, "ledger": members}))

    def openapi(self) -> Response:
        return to_flask_response(json_response(200, self.describe()))

    def scrape(self, metrics: Metrics) -> Response:
        unknown = None
        # Without the ledger, the other metrics are still useful.
        with suppress(LedgerUnavailable, RequestRejected), self._query() as deadline:
            unknown = self.ledger.count_unknown(deadline=deadline)
        headers = (("Content-Type", metrics.content_type),)
        return to_flask_response(HttpResponse(200, headers, metrics.render(unknown)))

    def _query(self) -> AbstractContextManager[Deadline]:
        return self.queries.acquire(Deadline(self.clock, LEDGER_QUERY_TIMEOUT))
