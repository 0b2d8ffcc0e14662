"""Assemble the application from the settings. Only this module and the command line read the settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from flask import Flask

from . import settings as settings_module
from .core.clock import Clock, Deadline, SystemClock
from .core.rate_limit import interval
from .events.service_caller import ServiceCaller
from .inbound import signatures
from .inbound.idempotency_key import KeyPolicy
from .ledger import Ledger, LedgerUnavailable, Policy
from .ledger.factory import open_ledger
from .service.admission import LEDGER_QUERY_TIMEOUT, ConcurrencyLimiter, LedgerQueryLimiter
from .service.code_sending import CodeSender
from .service.idempotency import IdempotentProcessor
from .service.send_limits import SendLimits
from .service.signup_service import RequestRules, SignupService
from .service.verification import Verification
from .settings import Settings
from .telemetry.logs import log
from .telemetry.observer import Observer
from .upstream import credentials
from .upstream.calls import RateLimitedApi
from .upstream.client import DomainApi
from .upstream.credentials import Credentials
from .web import middleware
from .web.responses import Responder
from .web.routes import WebhookViews
from .web.service_routes import ServiceViews

if TYPE_CHECKING:
    from .events.handler import Handler

RETRY_SPREAD_FACTOR = 2
"""The rate of retries after a rejection, as a multiple of the API call rate: no slot stays free, and most senders retry
once."""


class _App(Flask):
    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function: all views are synchronous, and Flask's check takes longer than some views."""
        return func


def create_app(settings: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """Return the WSGI application. The settings default to the environment's. Raises SettingsError."""
    settings = settings or settings_module.load(os.environ)
    clock = clock or SystemClock()
    warn_weak_settings(settings)
    ledger, metrics = build_ledger(settings, clock), None
    if settings.metrics:
        from .metrics import Metrics  # noqa: PLC0415  importing its library adds 30 ms to a cold start

        metrics = Metrics(settings.sender_profile, reveal=settings.reveal_already_verified)
        ledger = metrics.instrument(ledger)
    check_ledger(ledger, clock)
    observer = metrics or Observer()
    service = build_service(settings, ledger, clock, observer)
    responder = Responder(settings.profile, settings.send_interval, timed=settings.reveal_already_verified)
    queries = LedgerQueryLimiter()
    app = _App(__name__, static_folder=None)
    app.extensions["ledger"] = ledger
    app.extensions["service_caller"] = ServiceCaller(service, responder, observer, clock, settings.request_budget)
    app.config.update(MAX_CONTENT_LENGTH=settings.body_limit + 1, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    views = WebhookViews(service, responder, queries, clock, settings.request_budget, settings.body_limit)
    views.register(app, send_codes=settings.send_codes)
    describe_api = partial(describe, settings)
    ServiceViews(ledger, queries, clock, describe_api, metrics).register(app)
    middleware.init_app(app, settings.profile, observer, clock)
    return app


def create_event_handler(app: Flask) -> Handler:
    """Return the event function's handler, which shares the application's parts."""
    from .events.handler import Handler  # noqa: PLC0415  a web function does not need it

    return Handler(app, app.extensions["service_caller"], app.extensions["ledger"])


def build_ledger(settings: Settings, clock: Clock) -> Ledger:
    """Open the ledger at ``LEDGER_URL``."""
    policy = Policy(
        ttl=settings.ledger_ttl,
        wrong_codes=settings.max_wrong_codes,
        wrong_code_window=settings.wrong_code_window,
        interval=interval(settings.domain_api_rate),
        conceal=not settings.reveal_already_verified,
    )
    return open_ledger(
        settings.ledger_url, policy, clock, key=settings.ledger_key, make_folder=settings.ledger_is_default
    )


def build_domain_api(settings: Settings, clock: Clock) -> DomainApi:
    """Create the API's client. Raises OSError if the CA bundle cannot be read."""
    return DomainApi(
        settings.domain_api_url,
        connections=settings.concurrency,
        clock=clock,
        ca_bundle=settings.domain_api_ca_bundle,
    )


def static_credentials(settings: Settings) -> Credentials | None:
    """Return the API key in the settings; None if the execution role provides the credentials."""
    if settings.tencent_secret_id and settings.tencent_secret_key:
        return Credentials(settings.tencent_secret_id, settings.tencent_secret_key, settings.tencent_session_token)
    return None


def build_service(settings: Settings, ledger: Ledger, clock: Clock, observer: Observer) -> SignupService:
    """Create the service. Verification and sending share the API's client, the ledger and the permits."""
    provider = credentials.provider(static_credentials(settings), from_environment=settings.event_function)
    api = RateLimitedApi(build_domain_api(settings, clock), provider, ledger, clock, observer)
    permits = ConcurrencyLimiter(
        settings.concurrency,
        interval(settings.domain_api_rate) / RETRY_SPREAD_FACTOR,
        clock,
        max_queued=settings_module.MAX_QUEUED,
    )
    processor = IdempotentProcessor(ledger, api, clock, permits)
    verification = Verification(
        processor,
        ledger,
        api,
        clock,
        describe=settings.resolve_unknown == "describe",
        release=settings.after_verified == "release",
        reveal=settings.reveal_already_verified,
    )
    limits = SendLimits(
        interval=settings.send_interval,
        per_contact=settings.send_per_contact,
        per_prefix=settings.send_per_prefix,
        per_hour=settings.send_per_hour,
        allowed=settings.send_allowed_prefixes,
    )
    sender = CodeSender(processor, ledger, api, limits, settings.reveal_already_verified)
    return SignupService(_request_rules(settings, clock), verification, sender)


def _request_rules(settings: Settings, clock: Clock) -> RequestRules:
    return RequestRules(
        verify_signature=signatures.verifier(
            settings.webhook_auth, settings.webhook_keys, tolerance=settings.webhook_tolerance, clock=clock
        ),
        keys=_key_policy(settings),
        mapping=settings.mapping,
        body_limit=settings.body_limit,
        send_codes=settings.send_codes,
        role_credentials=settings.role_credentials_from_headers and not settings.tencent_secret_id,
    )


def describe(settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI description of a bridge with these settings, as JSON values."""
    from .web.openapi import document  # noqa: PLC0415  few instances serve it
    from .web.openapi.request_schemas import Features  # noqa: PLC0415  as above

    return document.build(
        Features(
            _key_policy(settings),
            settings.profile,
            settings.mapping,
            send_codes=settings.send_codes,
            metrics=settings.metrics,
            reveal=settings.reveal_already_verified,
        )
    )


def _key_policy(settings: Settings) -> KeyPolicy:
    mapping = settings.mapping
    return KeyPolicy(settings.webhook_auth, settings.profile.content_key, bool(mapping and mapping.event))


def warn_weak_settings(settings: Settings) -> None:
    """Log a warning for each setting that is allowed but weak or without effect."""
    if settings.webhook_auth == "none":
        log.warning("WEBHOOK_AUTH=none: requests are not authenticated")
    elif weak := settings.weak_secrets:
        log.warning("WEBHOOK_SECRETS: secret %s can be guessed; use 24 random bytes", ", ".join(map(str, weak)))
    for name in settings.quoted_secrets:
        log.warning("%s: the quotes around the value are part of it; remove them", name)
    if " #" in (settings.ledger_key or ""):
        log.warning("LEDGER_KEY: the # and the text after it are part of the key; remove them if they are a comment")
    if not settings.verifies_ledger:
        log.warning(
            "LEDGER_URL: the certificate of the Redis server is not verified; set ssl_ca_certs to its CA, and remove "
            "ssl_cert_reqs=none and ssl_check_hostname=false"
        )
    if settings.role_credentials_from_headers and settings.tencent_secret_id:
        log.warning("ROLE_CREDENTIALS_FROM_HEADERS: no effect because TENCENT_SECRET_ID is set; remove one of them")
    if (settings.payload_preset, settings.sender_profile) == ("supabase", "ack"):
        log.warning("SENDER_PROFILE=ack: Supabase treats rejections as success; set SENDER_PROFILE=supabase")


def check_ledger(ledger: Ledger, clock: Clock) -> None:
    """Log an error if the ledger is unavailable at startup; it may become available later."""
    try:
        ledger.ping(deadline=Deadline(clock, LEDGER_QUERY_TIMEOUT))
    except LedgerUnavailable as error:
        log.error("ledger unavailable", extra={"fields": {"reason": str(error)}})
