"""The application and its routes. Flask lives here, in `webhooks` and in `frame`, nowhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from flask import Flask, Response

from signup_bridge.ledger.factory import open_ledger

from . import __version__, settings
from .core import outcomes
from .core.clock import Clock, Deadline, SystemClock
from .core.outcomes import RequestRejected
from .core.rate_limit import interval
from .ledger import Ledger, LedgerUnavailable
from .service.admission import ConcurrencyLimiter
from .service.code_sending import CodeSender
from .service.send_limits import SendLimits
from .service.verification import Verification
from .settings import Settings
from .telemetry.logs import log
from .telemetry.observer import Observer
from .upstream import credentials
from .upstream.calls import RateLimitedApi
from .upstream.client import DomainApi
from .web import middleware, responses
from .web.openapi import document
from .web.routes import LEDGER_QUERY_TIMEOUT, WebhookViews

if TYPE_CHECKING:
    from .metrics import Metrics

RETRY_SPREAD_FACTOR = 2
"""How many times faster than calls leave those are called again who found no place: there is always one in time, and
most need not come twice."""


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """All that it calls is synchronous; to find that out takes longer than some of it."""
        return func


def create_app(configured: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """The WSGI application; its settings are the environment's when none are given. Raises SettingsError."""
    configured = configured or settings.load(os.environ)
    clock = clock or SystemClock()
    warn_weak_settings(configured)
    metrics, ledger = _metrics(configured), open_ledger(configured, clock)
    if metrics:
        ledger = metrics.instrument(ledger)
    watch = metrics or Observer()
    check_ledger(ledger, clock)
    webhooks = WebhookViews(configured, *build_services(configured, ledger, clock, watch), clock)
    app = _App(__name__, static_folder=None)
    app.extensions["ledger"] = ledger
    app.config.update(MAX_CONTENT_LENGTH=configured.body_limit + 1, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    middleware.init_app(app, configured.profile, clock, watch)

    app.post("/webhooks/signup", strict_slashes=False)(webhooks.signup)
    # A Function URL has no path of its own; a target in the absolute form may have none at all.
    app.post("/", strict_slashes=False, endpoint="function_url")(webhooks.signup)
    if configured.send_codes:
        app.post("/webhooks/code", strict_slashes=False)(webhooks.send_code)
    app.get("/deliveries/<path:delivery_id>")(webhooks.get_delivery)

    register_service_routes(app, configured, ledger, metrics, webhooks)
    return app


def register_service_routes(
    app: Flask, configured: Settings, ledger: Ledger, metrics: Metrics | None, webhooks: WebhookViews
) -> None:
    """The routes that no sender asks."""

    @app.get("/health")
    def health() -> Response:
        return middleware.to_flask_response(responses.json_response(200, {"status": "ok", "version": __version__}))

    @app.get("/ready")
    def ready() -> Response:
        told = {"engine": ledger.engine, "reach": ledger.reach}
        try:
            with webhooks.ledger_query() as deadline:
                ledger.ping(deadline=deadline)
        except LedgerUnavailable as error:
            raise RequestRejected(
                outcomes.LEDGER_UNAVAILABLE, f"The {ledger.reach} ledger does not work. {error}"
            ) from None
        return middleware.to_flask_response(
            responses.json_response(200, {"status": "ok", "version": __version__, "ledger": told})
        )

    @app.get("/openapi.json")
    def description() -> Response:
        return middleware.to_flask_response(responses.json_response(200, document.document(configured)))

    if metrics:

        @app.get("/metrics")
        def scrape() -> Response:
            unknown = None
            with (
                suppress(LedgerUnavailable, RequestRejected),
                webhooks.ledger_query() as deadline,
            ):  # the rest is worth telling, too
                unknown = ledger.count_unknown(deadline=deadline)
            return middleware.to_flask_response(metrics.render(unknown))


def _metrics(configured: Settings) -> Metrics | None:
    if not configured.metrics:
        return None
    from .metrics import Metrics  # noqa: PLC0415  its library is 30 ms of a cold start

    return Metrics(configured.sender_profile, reveal=configured.reveal_already_verified)


def build_services(
    configured: Settings, ledger: Ledger, clock: Clock, watch: Observer
) -> tuple[Verification, CodeSender]:
    """Both ways to the API, which share its client, the ledger and the places."""
    domain_api = DomainApi(
        configured.domain_api_url,
        credentials=credentials.provider(configured),
        connections=configured.concurrency,
        clock=clock,
        ca_bundle=configured.domain_api_ca_bundle,
    )
    caller = RateLimitedApi(domain_api, ledger, clock, watch)
    places = ConcurrencyLimiter(
        configured.concurrency, interval(configured.domain_api_rate) / RETRY_SPREAD_FACTOR, clock
    )
    reveal = configured.reveal_already_verified
    verification = Verification(
        ledger,
        caller,
        clock,
        places=places,
        describe=configured.resolve_unknown == "describe",
        release=configured.after_verified == "release",
        reveal=reveal,
    )
    limits = SendLimits(
        interval=configured.send_interval,
        per_contact=configured.send_per_contact,
        per_prefix=configured.send_per_prefix,
        per_hour=configured.send_per_hour,
        allowed=configured.send_allowed_prefixes,
    )
    return verification, CodeSender(ledger, caller, clock, places=places, limits=limits, reveal=reveal)


def warn_weak_settings(configured: Settings) -> None:
    """Say at the start what is allowed and yet weak."""
    if configured.webhook_auth == "none":
        log.warning("WEBHOOK_AUTH=none: any caller is trusted")
    elif weak := configured.weak_secrets:
        log.warning("WEBHOOK_SECRETS: number %s can be guessed; use 24 random bytes", ", ".join(map(str, weak)))
    for name in configured.quoted_secrets:
        log.warning("%s is wrapped in quotes, which are part of the value; remove them", name)
    if " #" in (configured.ledger_key or ""):
        log.warning(
            "LEDGER_KEY has a # after a space, which is part of the key; remove it and what follows if it is a comment"
        )
    if not configured.verifies_ledger:
        log.warning(
            "LEDGER_URL: the certificate of the Redis is not verified; name its CA by ssl_ca_certs, and remove "
            "ssl_cert_reqs=none and ssl_check_hostname=false"
        )
    if configured.role_credentials_from_headers and configured.tencent_secret_id:
        log.warning("ROLE_CREDENTIALS_FROM_HEADERS does nothing: TENCENT_SECRET_ID is set")
    if (configured.payload_preset, configured.sender_profile) == ("supabase", "ack"):
        log.warning("SENDER_PROFILE=ack: Supabase takes a refusal for a yes; set SENDER_PROFILE=supabase")


def check_ledger(ledger: Ledger, clock: Clock) -> None:
    """Say at the start that the ledger does not work, or may forget; it may work later."""
    try:
        ledger.ping(deadline=Deadline(clock, LEDGER_QUERY_TIMEOUT))
    except LedgerUnavailable as error:
        log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})
