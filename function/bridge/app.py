"""The routes: an HTTP request in, an HTTP answer out. Flask lives here and in `frame`, nowhere else."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import RequestEntityTooLarge

from . import (
    __version__,
    answers,
    cloudevents,
    credentials,
    delivery_ids,
    frame,
    openapi,
    outcomes,
    payload,
    settings,
    signatures,
)
from .calling import Caller
from .clock import Clock, Deadline, SystemClock
from .domain_api import DomainApi
from .environ import AGE, BUDGET, DELIVERY_KEY, ORIGIN
from .judge import Verdict
from .ledger import Ledger, LedgerUnavailable, open_ledger
from .logs import log
from .outcomes import Refusal
from .pacing import Pause, interval
from .payload import Contact, ContactType
from .places import Places
from .settings import Settings
from .verification import Verification
from .watching import Watch

if TYPE_CHECKING:
    from .metrics import Metrics

IN_LINE = 0.75
"""The part of its budget that a request may spend in the server's line."""

ASKING, ASKING_TIME = 2, 1.0
"""How many may ask the ledger at once without a delivery, and the seconds that its answer may take: whatever it does,
there are threads left for /health."""

COME_BACK = 2
"""How many times faster than calls leave those are called again who found no place: there is always one in time, and
most need not come twice."""


def create_app(configured: Settings | None = None, *, clock: Clock | None = None) -> Flask:
    """The WSGI application; its settings are the environment's when none are given. Raises SettingsError."""
    configured = configured or settings.load(os.environ)
    clock = clock or SystemClock()
    _warn(configured)
    verify_signature = signatures.verifier(configured, clock)
    metrics, ledger = _metrics(configured), open_ledger(configured, clock)
    if metrics:
        ledger = metrics.watched(ledger)
    watch = metrics or Watch()
    _look_at(ledger, clock)
    verification = _verification(configured, ledger, clock, watch)
    asking = threading.Semaphore(ASKING)
    app = Flask(__name__, static_folder=None)
    app.extensions["ledger"] = ledger
    app.config.update(MAX_CONTENT_LENGTH=payload.BODY_LIMIT + 1, PROVIDE_AUTOMATIC_OPTIONS=False)
    app.url_map.merge_slashes = False
    frame.put_around(app, configured.profile, clock, watch)

    @app.post("/webhooks/signup")
    @app.post("/", endpoint="function_url")  # a Function URL has no path of its own
    def signup() -> Response:
        deadline = _deadline(configured, clock)
        body = _body()
        origin = request.environ.get(ORIGIN, "request")
        key = request.environ.get(DELIVERY_KEY)
        if origin == "request":
            key = delivery_ids.of_request(request.headers, verify_signature(request.headers, body), configured)
        content_type = request.headers.get("Content-Type")
        payload.check_media_type(content_type)
        reading = cloudevents.reading(
            origin,
            configured.mapping,
            content_type=content_type,
            binary="ce-id" in request.headers,
            trusted=origin == "message" or (key is None and delivery_ids.are_trusted(configured)),
        )
        delivery = payload.parse(body, key, reading)
        with _credentials_of_request(configured):
            verdict = verification.verify(delivery, deadline)
        frame.note(verdict, type=delivery.contact.type.word, contact=delivery.contact.masked)
        return _told(verdict, delivery.contact.type, delivery.contact, configured)

    @app.get("/deliveries/<path:delivery_id>")
    def delivered(delivery_id: str) -> Response:
        deadline = _deadline(configured, clock).within(ASKING_TIME)
        verify_signature(request.headers, b"")
        with _one_of_few(asking):
            keys = delivery_ids.possible(delivery_id, request.headers, configured)
            found = verification.look(keys, deadline)
        if found is None:
            raise Refusal(outcomes.NOT_FOUND, "No delivery of this id is remembered.")
        verdict, contact_type = found
        return _told(verdict, contact_type, None, configured)

    _tell_of_the_bridge(app, configured, ledger, metrics, clock, asking)
    return app


def _tell_of_the_bridge(
    app: Flask,
    configured: Settings,
    ledger: Ledger,
    metrics: Metrics | None,
    clock: Clock,
    asking: threading.Semaphore,
) -> None:
    """The routes that no sender asks."""

    @app.get("/health")
    def health() -> Response:
        return frame.response_of(answers.of_document(200, {"status": "ok", "version": __version__}))

    @app.get("/ready")
    def ready() -> Response:
        told = {"engine": ledger.engine, "reach": ledger.reach}
        try:
            with _one_of_few(asking):
                ledger.check(deadline=_deadline(configured, clock).within(ASKING_TIME))
        except LedgerUnavailable as error:
            raise Refusal(outcomes.LEDGER_UNAVAILABLE, f"The {ledger.reach} ledger does not work. {error}") from None
        return frame.response_of(answers.of_document(200, {"status": "ok", "version": __version__, "ledger": told}))

    @app.get("/openapi.json")
    def description() -> Response:
        return frame.response_of(answers.of_document(200, openapi.document(configured)))

    if metrics:

        @app.get("/metrics")
        def scrape() -> Response:
            unknown = None
            with suppress(LedgerUnavailable, Refusal), _one_of_few(asking):  # the rest is worth telling all the same
                unknown = ledger.count_unknown(deadline=_deadline(configured, clock).within(ASKING_TIME))
            return frame.response_of(metrics.answer(unknown))


def _metrics(configured: Settings) -> Metrics | None:
    if not configured.metrics:
        return None
    from .metrics import Metrics  # noqa: PLC0415  its library is 30 ms of a cold start

    return Metrics(configured.sender_profile, reveal=configured.reveal_already_verified)


def _verification(configured: Settings, ledger: Ledger, clock: Clock, watch: Watch) -> Verification:
    domain_api = DomainApi(
        configured.domain_api_url,
        credentials=credentials.source(configured),
        connections=configured.concurrency,
        clock=clock,
        ca_bundle=configured.domain_api_ca_bundle,
    )
    return Verification(
        ledger,
        Caller(domain_api, ledger, Pause(clock), clock, watch),
        clock,
        places=Places(configured.concurrency, interval(configured.domain_api_rate) / COME_BACK, clock),
        describe=configured.resolve_unknown == "describe",
        release=configured.after_verified == "release",
        reveal=configured.reveal_already_verified,
    )


def _deadline(configured: Settings, clock: Clock) -> Deadline:
    """When this request must be answered: the budget began when the server accepted it.

    One that stood in line for most of its budget has none left: what is not begun cannot become an unknown outcome.
    """
    budget = min(configured.request_budget, request.environ.get(BUDGET, configured.request_budget))
    age = request.environ.get(AGE, 0.0)
    return Deadline(clock, budget - age if age < budget * IN_LINE else 0.0)


@contextmanager
def _one_of_few(asking: threading.Semaphore) -> Iterator[None]:
    """Wait a moment to be one of those who may ask the ledger. Raises Refusal."""
    if not asking.acquire(timeout=0.2):
        raise Refusal(outcomes.OVERLOADED)
    try:
        yield
    finally:
        asking.release()


def _warn(configured: Settings) -> None:
    """Say at the start what is allowed and yet weak."""
    if configured.webhook_auth == "none":
        log.warning("WEBHOOK_AUTH=none: any caller is trusted")
    elif weak := configured.weak_secrets:
        log.warning("WEBHOOK_SECRETS: number %s can be guessed; use 24 random bytes", ", ".join(map(str, weak)))
    if configured.role_credentials_from_headers and configured.tencent_secret_id:
        log.warning("ROLE_CREDENTIALS_FROM_HEADERS does nothing: TENCENT_SECRET_ID is set")
    if (configured.payload_preset, configured.sender_profile) == ("supabase", "ack"):
        log.warning("SENDER_PROFILE=ack: Supabase takes a refusal for a yes; set SENDER_PROFILE=supabase")


def _look_at(ledger: Ledger, clock: Clock) -> None:
    """Say at the start that the ledger does not work, or may forget; it may work later."""
    try:
        ledger.check(deadline=Deadline(clock, ASKING_TIME))
    except LedgerUnavailable as error:
        log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})


def _credentials_of_request(configured: Settings) -> AbstractContextManager[None]:
    """While a request is answered whose signature has passed: its headers may say whose account is used."""
    return credentials.of_headers(request.headers) if configured.role_credentials_from_headers else nullcontext()


def _body() -> bytes:
    """The whole body of the request. Raises Refusal, or Werkzeug's RequestEntityTooLarge before anything is read."""
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise
    except Exception:  # noqa: BLE001  the server's own, whichever it is, for a chunk that is none or does not come
        raise Refusal(outcomes.BODY_MALFORMED, "The body did not arrive whole.") from None
    # Werkzeug ends a body in chunks at its limit, and one that breaks off where it breaks off, without a word.
    if len(body) > payload.BODY_LIMIT:
        raise Refusal(outcomes.BODY_TOO_LARGE)
    if len(body) != (request.content_length or len(body)):
        raise Refusal(outcomes.BODY_MALFORMED, "The body did not arrive whole.")
    return body


def _told(
    verdict: Verdict, contact_type: ContactType | None, contact: Contact | None, configured: Settings
) -> Response:
    """The answer to a delivery, or to the question about it."""
    told = verdict if configured.reveal_already_verified else answers.hidden(verdict)
    if not configured.reveal_already_verified:
        frame.leave_times_out()
    frame.hear(told.outcome, verdict.outcome)
    answer = answers.of_verdict(told, contact_type, contact, configured.profile)
    return frame.response_of(answers.replayed(answer) if told.replayed else answer)
