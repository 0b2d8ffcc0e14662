"""SCF's events: each becomes a request to the application that the web function serves, its answer a dict.

The result of an HTTP event or a direct invocation is ``{"isBase64Encoded", "statusCode", "headers", "body"}``. That of
a CKafka batch counts its records by outcome, that of a bus's event names its outcome. A handler raises only to have a
batch or a bus's event sent again, and never takes half an HTTP event for a direct invocation, which needs no signature.

Source of the shapes: Tencent Cloud SCF's documents on Function URL, API Gateway, timer triggers and direct invocation.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_to_bytes

from werkzeug.wrappers import Response

from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import BODY_MALFORMED, INTERNAL_ERROR, RequestRejected
from signup_bridge.inbound import idempotency_key
from signup_bridge.inbound.cloudevents import Source
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.telemetry import logs
from signup_bridge.telemetry.logs import log
from signup_bridge.web.wsgi_environ import BUDGET, DELIVERY_KEY, OUTCOME_CALLBACK, REJECTION, SOURCE

from . import ckafka, event_bus

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

RESPONSE_RESERVE = 0.5
"""Seconds of the platform's time-out that are kept for the answer itself."""

MAX_TIMEOUT_MS = 900_000
"""Milliseconds of SCF's longest time-out."""

PRUNE_TIMEOUT = 2.0
"""Seconds that a timer's pruning may take."""

TRIGGER_KEYS = ("httpMethod", "headers", "requestContext", "path", "payload", "Records")
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^`|~-]+")  # a token (RFC 9110) without _, which gunicorn drops too
TRANSPORT_HEADERS = (
    "CONTENT_LENGTH",
    "TRANSFER_ENCODING",
)  # how the body came to the trigger; the event holds it whole
_METHOD = re.compile(r"[A-Z]{3,20}")


class Handler:
    """What answers events, by the application, and by the ledger that a timer prunes.

    ``budget`` is a delivery's whole one, in seconds.
    """

    def __init__(self, app: WSGIApplication, ledger: Ledger, clock: Clock, *, budget: float) -> None:
        self._app = app
        self._ledger = ledger
        self._clock = clock
        self._budget = budget

    def handle(self, event: object, context: object) -> dict[str, Any]:
        """The answer to one event: a dict that JSON can hold. Raises `ckafka.Redeliver`.

        Of ``context``, ``request_id`` becomes the request's id and ``time_limit_in_ms`` (milliseconds) bounds its
        budget.
        """
        told = context_environ(context) if isinstance(context, Mapping) else {}
        of_log = logs.request_id.set(told.get("HTTP_X_SCF_REQUEST_ID"))
        try:
            if told.get(BUDGET) == 0:
                log.warning(
                    "the function's time-out leaves no time for a call: raise it in serverless.yml or the console"
                )
            return self._handle(event, told)
        finally:
            logs.request_id.reset(of_log)

    def _handle(self, event: object, told: dict[str, Any]) -> dict[str, Any]:
        marks = _trigger_keys(event)
        if marks == {"Timer"}:
            return self._handle_timer(told)
        batch = ckafka.parse_records(cast("dict[str, Any]", event)["Records"]) if marks == {"Records"} else None
        if batch is not None:
            return self._handle_ckafka(batch, told)
        if (
            not marks
            and event_bus.looks_like_event(event)
            and (bus_event := event_bus.parse(cast("dict[str, Any]", event)))
        ):
            return self._verify_event(bus_event, told)
        try:
            environ = _environ(event)
        except RequestRejected as refusal:
            environ = {**_request("POST", "/", b""), REJECTION: refusal}
        response = Response.from_app(self._app, {**environ, **told})
        return {
            "isBase64Encoded": False,
            "statusCode": response.status_code,
            "headers": dict(response.headers),
            "body": response.get_data(as_text=True),
        }

    def _handle_ckafka(self, batch: list[ckafka.Message], told: dict[str, Any]) -> dict[str, Any]:
        """Verify a batch's messages. The platform has authorised whoever writes to the topic's trigger."""
        limit = told.get(BUDGET, math.inf)
        deadline = Deadline(self._clock, limit)
        # With a time-out that is too short for one budget there must be progress all the same.
        whole = min(self._budget, limit / 2)

        def verify(message: ckafka.Message) -> ckafka.RecordResult:
            body = message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else b""
            key = IdempotencyKey("ckafka", message.id) if message.id is not None else None
            return self._verify_message("message", body, key, {**told, BUDGET: deadline.remaining()})

        ends = ckafka.process_batch(batch, verify, has_time=lambda: 0 < deadline.remaining() >= whole)
        return {"records": len(batch), "ends": dict(ends)}

    def _verify_event(self, event: event_bus.BusEvent, told: dict[str, Any]) -> dict[str, Any]:
        """Verify a bus's event. The platform has authorised its publisher."""
        ended = self._verify_message("bus", event.body, idempotency_key.from_bus_event(event.id, event.source), told)
        event_bus.check(ended)
        return {"outcome": ended.told.code}

    def _verify_message(
        self, origin: Source, body: bytes, key: IdempotencyKey | None, told: dict[str, Any]
    ) -> ckafka.RecordResult:
        heard = [ckafka.RecordResult(INTERNAL_ERROR, INTERNAL_ERROR)]
        environ = {**_request("POST", "/", body), **told, SOURCE: origin}
        environ[OUTCOME_CALLBACK] = lambda *ended: heard.append(ckafka.RecordResult(*ended))
        if key is not None:
            environ[DELIVERY_KEY] = key
        Response.from_app(self._app, environ)
        return heard[-1]

    def _handle_timer(self, told: dict[str, Any]) -> dict[str, Any]:
        """A timer has struck: forget what has expired."""
        try:
            pruned = self._ledger.prune(
                deadline=Deadline(self._clock, min(PRUNE_TIMEOUT, told.get(BUDGET, PRUNE_TIMEOUT)))
            )
        except LedgerUnavailable as error:
            log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})
            return {"status": "ledger-unavailable"}
        log.info("pruned", extra={"fields": {"records": pruned}})
        return {"status": "pruned", "records": pruned}


def _environ(event: object) -> dict[str, Any]:
    """The WSGI environment of the request that an event stands for. Raises Refusal."""
    marks = _trigger_keys(event)
    if isinstance(event, dict) and not marks and event_bus.looks_like_event(event):
        log.error("an event of a kind that is not handled", extra={"fields": {"has": event_bus.members(event)}})
        raise RequestRejected(
            BODY_MALFORMED,
            "The event has an invalid member: specversion, id, source and type must be strings, data an object.",
        )
    if not isinstance(event, dict) or not marks:
        return {**_request("POST", "/", _json(event)), SOURCE: "invocation"}
    method, headers = event.get("httpMethod"), event.get("headers")
    if not isinstance(method, str) or not _METHOD.fullmatch(method) or not isinstance(headers, dict):
        # Only what it is called by, of the names that are looked for: whatever else it holds may be somebody's.
        log.error("an event of a kind that is not handled", extra={"fields": {"has": sorted(marks)}})
        raise RequestRejected(
            BODY_MALFORMED, "The event is of a kind that is not handled here, or half of an HTTP event."
        )
    environ = _request(method, event.get("path"), _body(event))
    for name, value in headers.items():
        if isinstance(name, str) and _HEADER_NAME.fullmatch(name):
            _add_header(environ, name, value)
    return environ


def _json(event: object) -> bytes:
    try:
        return json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")
    except (TypeError, ValueError, RecursionError):
        raise RequestRejected(BODY_MALFORMED) from None


def _trigger_keys(event: object) -> set[str]:
    """By what an event is known to be a trigger's; nothing of it is in a direct invocation."""
    if not isinstance(event, dict):
        return set()
    return {key for key in TRIGGER_KEYS if key in event} | ({"Timer"} if event.get("Type") == "Timer" else set())


def _body(event: dict[Any, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise RequestRejected(BODY_MALFORMED, "The event's body is not a string.")
    if event.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise RequestRejected(BODY_MALFORMED, "The event's body is not Base64.") from None


def _request(method: str, path: object, body: bytes) -> dict[str, Any]:
    target = path.partition("?")[0] if isinstance(path, str) and path.startswith("/") else "/"
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(target.encode("utf-8", "surrogatepass")).decode("latin-1"),
        "RAW_URI": target,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _add_header(environ: dict[str, Any], name: str, value: object) -> None:
    """Add a header as a server would: several values joined, the bytes read as Latin-1 (PEP 3333)."""
    values = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    if not values:
        return
    text = ",".join(values).strip()
    key = name.upper().replace("-", "_")
    if key in TRANSPORT_HEADERS:
        return
    if key != "CONTENT_TYPE":
        key = f"HTTP_{key}"
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "surrogatepass").decode("latin-1")
    environ[key] = f"{environ[key]},{text}" if key in environ else text


def context_environ(context: Mapping[Any, Any]) -> dict[str, Any]:
    """What the platform says of this invocation: its id, and how long it lets it run."""
    told: dict[str, Any] = {}
    if isinstance(context.get("request_id"), str):
        told["HTTP_X_SCF_REQUEST_ID"] = context["request_id"]
    limit = context.get("time_limit_in_ms")
    if isinstance(limit, (int, float)) and limit is not True and limit > 0:
        told[BUDGET] = max(0.0, min(limit, MAX_TIMEOUT_MS) / 1000 - RESPONSE_RESERVE)
    return told
