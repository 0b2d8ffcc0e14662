"""What is around every answer: the request's id and trace, its times, its log line, and the answer to what went wrong.

In comes an application with its routes, whose requests note here what the log and the headers tell of them. It must
leave nothing unanswered, never show a traceback, and write one log line for each delivery.
"""

from __future__ import annotations

import logging
import re
import uuid

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from . import answers, logs, outcomes, tracing
from .answers import Answer
from .clock import Clock, Stopwatch
from .environ import HEARER, REFUSAL
from .judge import Verdict
from .logs import log
from .outcomes import Outcome, Refusal
from .profiles import STATUS, Profile
from .signatures import SignatureInvalid
from .watching import Watch

# The platform's are UUIDs. What has no letter and is none could be a phone number, sent to be logged.
_REQUEST_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[0-9-]*[A-Za-z])[0-9A-Za-z-]{1,64}")

_ABOUT_THE_BRIDGE = ("health", "ready", "description", "scrape")
"""The routes that no sender asks, and so no profile changes."""

_OF_STATUS = {outcome.status: outcome for outcome in (outcomes.NOT_FOUND, outcomes.BODY_TOO_LARGE)}


def put_around(app: Flask, profile: Profile, clock: Clock, watch: Watch) -> None:
    """Put it around every request of the application, whose sender is answered as ``profile`` says."""
    _begin_and_end(app, clock, watch)
    _answer_errors(app, profile)


def note(verdict: Verdict, wanted: str, **fields: str) -> None:
    """Keep for the log line and the headers what the work told; ``wanted`` is the API's action."""
    g.wait, g.upstream = verdict.wait, verdict.upstream
    told = {"api_request_id": verdict.request_id, "api_code": verdict.api_code, "upstream_error": verdict.error}
    told["guard"] = verdict.guard
    g.fields = {"outcome": verdict.outcome.code, **fields, **{key: value for key, value in told.items() if value}}
    g.fields |= {name: True for name in ("replayed", "resolved") if getattr(verdict, name)}
    if verdict.outcome is outcomes.BRIDGE_MISCONFIGURED:
        g.fields["look_at"] = outcomes.remedy_of(verdict.api_code, wanted)
        g.level = logging.ERROR


def leave_times_out() -> None:
    """Tell no times in this answer: they could tell what it hides."""
    g.timed = False


def hear(told: Outcome, outcome: Outcome) -> None:
    """Let who hands over the request hear the outcome that is told, and the one that it ends in."""
    if hearer := request.environ.get(HEARER):
        hearer(told, outcome)


def response_of(answer: Answer) -> Response:
    """Flask's response of an answer."""
    return Response(answer.body, answer.status, headers=answer.headers)


def _begin_and_end(app: Flask, clock: Clock, watch: Watch) -> None:
    @app.before_request
    def begin() -> None:
        given = request.headers.get("X-Scf-Request-Id", "")
        g.elapsed = Stopwatch(clock)
        g.fields = {}
        g.level = logging.INFO
        g.wait = g.upstream = 0.0
        g.timed = True
        g.token = logs.request_id.set(given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex)
        g.trace = tracing.trace_id.set(tracing.of_header(request.headers.get("traceparent", "")))
        if REFUSAL in request.environ:
            raise request.environ[REFUSAL]

    @app.after_request
    def end(response: Response) -> Response:
        request_id = logs.request_id.get() or ""
        common = answers.common_headers(request_id, wait=g.wait, upstream=g.upstream, timed=g.timed)
        response.headers.update(common)
        if request.method == "POST":
            watch.delivered(g.fields["outcome"], replayed="replayed" in g.fields)
            times = {"duration_ms": _ms(g.elapsed.seconds()), "wait_ms": _ms(g.wait), "upstream_ms": _ms(g.upstream)}
            message = "delivery" if request.url_rule else "request refused"
            log.log(g.level, message, extra={"fields": {**g.fields, "status": response.status_code, **times}})
        return response

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        logs.request_id.reset(g.pop("token"))
        tracing.trace_id.reset(g.pop("trace"))


def _answer_errors(app: Flask, profile: Profile) -> None:
    @app.errorhandler(Refusal)
    def refused(error: Refusal) -> Response:
        hear(error.outcome, error.outcome)
        g.fields = {"outcome": error.outcome.code}
        if isinstance(error, SignatureInvalid):
            g.fields["reason"] = error.reason
        if error.errors:
            g.fields["faulty"] = [pointer for pointer, _ in error.errors]
        return response_of(answers.of_refusal(error, STATUS if request.endpoint in _ABOUT_THE_BRIDGE else profile))

    @app.errorhandler(HTTPException)
    def not_routed(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):
            response = refused(Refusal(outcomes.METHOD_NOT_ALLOWED))
            response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
            return response
        outcome = _OF_STATUS.get(error.code or 0)
        return refused(Refusal(outcome) if outcome else Refusal(outcomes.BODY_MALFORMED, "The request is malformed."))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("internal error", exc_info=error)
        g.level = logging.ERROR
        return refused(Refusal(outcomes.INTERNAL_ERROR))


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
