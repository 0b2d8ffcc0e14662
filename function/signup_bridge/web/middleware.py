"""What is around every answer: the request's id and trace, its times, its log line, and the answer to what went wrong.

In comes an application with its routes, whose requests note here what the log and the headers tell of them. It must
leave nothing unanswered, never show a traceback, and write one log line for each delivery.
"""

from __future__ import annotations

import logging
import random
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Stopwatch
from signup_bridge.core.outcomes import EncodingUnsupported, Outcome, RequestRejected, Result
from signup_bridge.inbound.signatures import SignatureInvalid
from signup_bridge.telemetry import logs, tracing
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.observer import Observer
from signup_bridge.upstream import error_codes

from . import responses
from .profiles import STATUS, Profile
from .responses import HttpResponse
from .wsgi_environ import CLOSE, OUTCOME_CALLBACK, REJECTION

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment

# The platform's are UUIDs. What has no letter and is none could be a phone number, sent to be logged.
_REQUEST_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[0-9-]*[A-Za-z])[0-9A-Za-z-]{1,64}")

_SERVICE_ENDPOINTS = ("health", "ready", "description", "scrape")
"""The routes that no sender asks, and so no profile changes."""


def init_app(app: Flask, profile: Profile, clock: Clock, watch: Observer) -> None:
    """Put it around every request of the application, whose sender is answered as ``profile`` says."""
    _register_hooks(app, clock, watch)
    _register_error_handlers(app, profile)


class RequestContext:
    """What is kept of a request until its answer: for the log line and for the headers."""

    def __init__(self, clock: Clock, request_id: str, trace_id: str | None) -> None:
        self.elapsed = Stopwatch(clock)
        self.fields: dict[str, Any] = {}
        self.level = logging.INFO
        self.wait = self.upstream = 0.0
        self.timed = True
        self.request_id = request_id
        self.tokens = (logs.request_id.set(request_id), tracing.trace_id.set(trace_id))

    def reset(self) -> None:
        request_id, trace_id = self.tokens
        logs.request_id.reset(request_id)
        tracing.trace_id.reset(trace_id)


def record_result(verdict: Result, wanted: str, **fields: str) -> None:
    """Keep for the log line and the headers what the work told; ``wanted`` is the API's action."""
    noted: RequestContext = g.noted
    noted.wait, noted.upstream = verdict.queue_seconds, verdict.upstream_seconds
    told = {
        "api_request_id": verdict.request_id,
        "api_code": verdict.api_code,
        "upstream_error": verdict.error,
        "guard": verdict.limit,
        "replayed": verdict.replayed,
        "resolved": verdict.resolved,
    }
    noted.fields = {"outcome": verdict.outcome.code, **fields, **{key: value for key, value in told.items() if value}}
    if verdict.outcome is outcomes.BRIDGE_MISCONFIGURED:
        noted.fields["look_at"] = error_codes.remedy_for(verdict.api_code, wanted)
        noted.level = logging.ERROR


def omit_timing() -> None:
    """Tell no times in this answer: they could tell what it hides."""
    g.noted.timed = False


def notify_outcome(told: Outcome, outcome: Outcome) -> None:
    """Let who hands over the request hear the outcome that is told, and the one that it ends in."""
    if hearer := request.environ.get(OUTCOME_CALLBACK):
        hearer(told, outcome)


class _Response(Response):
    def get_wsgi_headers(self, _environ: WSGIEnvironment) -> Headers:
        """They are whole as they are made: none depends on the request, and the body is one piece of known length."""
        return self.headers


def to_flask_response(answer: HttpResponse) -> Response:
    """Flask's response of an answer, with what is told of the request."""
    noted: RequestContext = g.noted
    common = responses.common_headers(noted.request_id, wait=noted.wait, upstream=noted.upstream, timed=noted.timed)
    return _Response(answer.body, answer.status, headers=(*answer.headers, *common.items()))


def _target_check(app: Flask) -> Callable[[str], bool]:
    """A function that says whether a request target is written exactly as a route.

    ``//metrics`` and ``/%6Detrics`` must not reach a route that a proxy's rule about paths would have kept from them.
    """

    @cache
    def routes() -> tuple[set[str], tuple[str, ...]]:
        rules = list(app.url_map.iter_rules())
        whole = [rule for rule in rules if not rule.arguments]
        slashed = {f"{rule.rule.rstrip('/')}/" for rule in whole if rule.strict_slashes is False}
        beginnings = (rule.rule.partition("<")[0] for rule in rules if rule.arguments)
        return {rule.rule for rule in whole} | slashed, tuple(beginnings)

    def is_route(target: str) -> bool:
        path = target.partition("?")[0]
        if not path.startswith("/"):  # the absolute form (RFC 9112, section 3.2.2)
            path = "/" + path.partition("://")[2].partition("/")[2]
        whole, beginnings = routes()
        return path in whole or path.startswith(beginnings)

    return is_route


def _register_hooks(app: Flask, clock: Clock, watch: Observer) -> None:
    is_route = _target_check(app)

    @app.before_request
    def begin() -> None:
        environ = request.environ
        given, traceparent = environ.get("HTTP_X_SCF_REQUEST_ID", ""), environ.get("HTTP_TRACEPARENT", "")
        # It need not be secret, and to ask the kernel for it is a chance to lose the interpreter.
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        g.noted = RequestContext(clock, request_id, tracing.from_header(traceparent))
        if REJECTION in environ:
            raise environ[REJECTION]
        if not is_route(str(environ.get("RAW_URI", environ["PATH_INFO"]))):
            raise RequestRejected(outcomes.NOT_FOUND)

    @app.after_request
    def end(response: Response) -> Response:
        noted: RequestContext = g.noted
        if request.method == "POST":
            watch.on_response(noted.fields["outcome"], replayed="replayed" in noted.fields)
            message = (
                "delivery"
                if request.url_rule and noted.fields["outcome"] != outcomes.NOT_FOUND.code
                else "request refused"
            )
            fields = {
                **noted.fields,
                "status": response.status_code,
                "duration_ms": _ms(noted.elapsed.seconds()),
                "wait_ms": _ms(noted.wait),
                "upstream_ms": _ms(noted.upstream),
            }
            log.log(noted.level, message, extra={"fields": fields})
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        g.pop("noted").reset()


def _register_error_handlers(app: Flask, profile: Profile) -> None:
    @app.errorhandler(RequestRejected)
    def refused(error: RequestRejected) -> Response:
        notify_outcome(error.outcome, error.outcome)
        noted: RequestContext = g.noted
        noted.fields = {"outcome": error.outcome.code}
        if error.outcome is outcomes.BODY_INCOMPLETE and CLOSE in request.environ:
            request.environ[CLOSE]()
        if isinstance(error, SignatureInvalid):
            noted.fields["reason"] = error.reason
        if error.errors:
            noted.fields["faulty"] = [pointer for pointer, _ in error.errors]
        response = to_flask_response(
            responses.from_rejection(error, STATUS if request.endpoint in _SERVICE_ENDPOINTS else profile)
        )
        if isinstance(error, EncodingUnsupported):
            response.headers["Accept-Encoding"] = "identity"
        return response

    @app.errorhandler(HTTPException)
    def not_routed(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):
            response = refused(RequestRejected(outcomes.METHOD_NOT_ALLOWED))
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
            return response
        if error.code == outcomes.NOT_FOUND.status:
            return refused(RequestRejected(outcomes.NOT_FOUND))
        return refused(RequestRejected(outcomes.BODY_MALFORMED, "The request is malformed."))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("internal error", exc_info=error)
        g.noted.level = logging.ERROR
        return refused(RequestRejected(outcomes.INTERNAL_ERROR))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
