"""The routes that operators and machines request: health, readiness, the OpenAPI description, metrics."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

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


def create_blueprint(
    ledger: Ledger,
    queries: LedgerQueryLimiter,
    clock: Clock,
    describe: Callable[[], dict[str, Any]],
    metrics: Metrics | None,
) -> Blueprint:
    """Return the routes. ``describe`` returns the OpenAPI description; without ``metrics`` they have no route."""
    blueprint = Blueprint(SERVICE_BLUEPRINT, __name__)

    @blueprint.get("/health")
    def health() -> Response:
        return to_flask_response(json_response(200, {"status": "ok", "version": __version__}))

    @blueprint.get("/ready")
    def ready() -> Response:
        try:
            with queries.acquire(Deadline(clock, LEDGER_QUERY_TIMEOUT)) as deadline:
                ledger.ping(deadline=deadline)
        except LedgerUnavailable as error:
            raise RequestRejected(
                outcomes.LEDGER_UNAVAILABLE, f"The {ledger.reach} ledger does not work. {error}"
            ) from None
        members = {"engine": ledger.engine, "reach": ledger.reach}
        return to_flask_response(json_response(200, {"status": "ok", "version": __version__, "ledger": members}))

    @blueprint.get("/openapi.json")
    def description() -> Response:
        return to_flask_response(json_response(200, describe()))

    if metrics:

        @blueprint.get("/metrics")
        def scrape() -> Response:
            unknown = None
            with (
                suppress(LedgerUnavailable, RequestRejected),  # without the ledger, the other metrics are still useful
                queries.acquire(Deadline(clock, LEDGER_QUERY_TIMEOUT)) as deadline,
            ):
                unknown = ledger.count_unknown(deadline=deadline)
            headers = (("Content-Type", metrics.content_type),)
            return to_flask_response(HttpResponse(200, headers, metrics.render(unknown)))

    return blueprint
