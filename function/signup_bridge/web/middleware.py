"""Register hooks and error handlers: request id and trace, the log line, and the responses to errors.

Every request receives a response without a traceback, and every POST writes one log line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from flask import Flask, Response, g, request
from werkzeug.datastructures import Headers
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Stopwatch
from signup_bridge.core.outcomes import RequestRejected, Timing
from signup_bridge.telemetry import logs, tracing
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.observer import Observer

from . import delivery_log, responses
from .delivery_log import LogEntry
from .profiles import STATUS, Profile
from .responses import HttpResponse
from .wsgi_environ import close_after_response

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import Token

    from _typeshed.wsgi import WSGIEnvironment

SERVICE_BLUEPRINT = "service"
"""The routes for operators and machines. Profiles do not change their responses."""


def init_app(app: Flask, profile: Profile, observer: Observer, clock: Clock) -> None:
    """Register the hooks and error handlers of an application that has all its routes."""
    _register_hooks(app, observer, clock)
    _register_error_handlers(app, profile)


class _RequestContext(NamedTuple):
    request_id: str
    elapsed: Stopwatch
    request_id_token: Token[str | None]
    trace_id_token: Token[str | None]


class _Response(Response):
    """A complete response. ``timing`` is for its headers, ``entry`` for the log."""

    default_mimetype = None  # a 204 has none
    timing: Timing | None
    entry: LogEntry | None = None

    def get_wsgi_headers(self, _environ: WSGIEnvironment) -> Headers:
        """Return the headers unchanged: none depends on the request, and the length of the body is known."""
        return self.headers


def to_flask_response(http_response: HttpResponse, entry: LogEntry | None = None) -> Response:
    """Return Flask's response, with the ``entry`` for the log line."""
    response = _Response(http_response.body, http_response.status, headers=http_response.headers)
    response.timing, response.entry = http_response.timing, entry
    return response


def _target_check(app: Flask) -> Callable[[str], bool]:
    """Return a function that checks whether a request target is spelled exactly like a route.

    ``//metrics`` and ``/%6Detrics`` must not bypass a proxy's rule for ``/metrics``.
    """
    rules = list(app.url_map.iter_rules())
    paths = {rule.rule for rule in rules if not rule.arguments}
    paths |= {f"{rule.rule.rstrip('/')}/" for rule in rules if not rule.arguments and rule.strict_slashes is False}
    prefixes = tuple(rule.rule.partition("<")[0] for rule in rules if rule.arguments)

    def is_route(target: str) -> bool:
        path = target.partition("?")[0]
        if not path.startswith("/"):  # the absolute form (RFC 9112, section 3.2.2)
            path = "/" + path.partition("://")[2].partition("/")[2]
        return path in paths or path.startswith(prefixes)

    return is_route


def _register_hooks(app: Flask, observer: Observer, clock: Clock) -> None:
    is_route = _target_check(app)

    @app.before_request
    def begin() -> None:
        environ = request.environ
        request_id = logs.accept_request_id(environ.get("HTTP_X_SCF_REQUEST_ID"))
        trace_id = tracing.from_header(environ.get("HTTP_TRACEPARENT", ""))
        g.context = _RequestContext(
            request_id, Stopwatch(clock), logs.request_id.set(request_id), tracing.trace_id.set(trace_id)
        )
        if not is_route(str(environ.get("RAW_URI", environ["PATH_INFO"]))):
            raise RequestRejected(outcomes.NOT_FOUND)

    @app.after_request
    def end(response: Response) -> Response:
        context: _RequestContext = g.context
        sent = cast("_Response", response)
        sent.headers.extend(responses.common_headers(context.request_id, sent.timing))
        if request.method == "POST" and sent.entry:
            is_routed = request.url_rule and sent.entry.fields["outcome"] != outcomes.NOT_FOUND.code
            message = "delivery" if is_routed else "request rejected"
            delivery_log.write(sent.entry, observer, sent.status_code, context.elapsed, message)
        return sent

    @app.teardown_request
    def leave(_error: BaseException | None) -> None:
        context: _RequestContext = g.pop("context")
        logs.request_id.reset(context.request_id_token)
        tracing.trace_id.reset(context.trace_id_token)


def _register_error_handlers(app: Flask, profile: Profile) -> None:
    @app.errorhandler(RequestRejected)
    def rejected(error: RequestRejected) -> Response:
        if error.outcome is outcomes.BODY_INCOMPLETE:
            close_after_response()
        used = STATUS if request.blueprint == SERVICE_BLUEPRINT else profile
        response = responses.from_rejection(error, used, logs.current_request_id())
        return to_flask_response(response, delivery_log.from_rejection(error))

    @app.errorhandler(HTTPException)
    def not_routed(error: HTTPException) -> Response:
        if isinstance(error, MethodNotAllowed):
            methods = {*(error.valid_methods or ()), "OPTIONS"}
            if request.path == "/":  # the page for browsers is not part of the API
                methods -= {"GET", "HEAD"}
            allow = ", ".join(sorted(methods))
            if request.method == "OPTIONS":
                response = to_flask_response(HttpResponse(204, (("Allow", allow),), b""))
                response.headers.remove("Content-Length")  # RFC 9110, section 8.6
                return response
            response = rejected(RequestRejected(outcomes.METHOD_NOT_ALLOWED))
            response.headers["Allow"] = allow
            return response
        if error.code == outcomes.NOT_FOUND.status:
            return rejected(RequestRejected(outcomes.NOT_FOUND))
        return rejected(RequestRejected(outcomes.BODY_MALFORMED, "The request is malformed."))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("internal error", exc_info=error)
        return rejected(RequestRejected(outcomes.INTERNAL_ERROR))
