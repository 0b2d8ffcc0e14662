"""Dispatch SCF's events by their trigger.

The result of an HTTP event or a direct invocation is ``{"isBase64Encoded", "statusCode", "headers", "body"}``. The
result of a CKafka batch counts its records by outcome; the result of an event of the bus contains its outcome. An
incomplete HTTP event is never treated as a direct invocation, which needs no signature.

Source of the formats: Tencent Cloud SCF's documentation of Function URL, API Gateway, timer triggers and direct
invocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from signup_bridge.core import strict_json
from signup_bridge.core.clock import Deadline
from signup_bridge.core.outcomes import BODY_MALFORMED, RequestRejected
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.telemetry import logs
from signup_bridge.telemetry.logs import log

from . import ckafka, event_bus, http_event
from .invocation import Invocation
from .service_caller import ServiceCaller

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PRUNE_TIMEOUT = 2.0
"""Maximum seconds for the pruning of a timer event."""

TRIGGER_KEYS = ("httpMethod", "headers", "requestContext", "path", "payload", "Records")
"""The keys that identify a trigger's event. A direct invocation contains none of them."""


class Handler(NamedTuple):
    """Passes HTTP events to the application, timer events to the ledger, and all others to the service."""

    app: WSGIApplication
    service: ServiceCaller
    ledger: Ledger

    def handle(self, event: object, context: object) -> dict[str, Any]:
        """Return the result of one event as a dict of JSON values.

        Raises `ckafka.BatchRetry` to request a retry of a batch or of an event of the bus. ``context`` is that of
        `Invocation.from_context`.
        """
        invocation = Invocation.from_context(context)
        request_id = logs.accept_request_id(invocation.request_id)
        token = logs.request_id.set(request_id)
        try:
            if not invocation.budget:
                log.warning("function timeout too short for an API call; raise it in serverless.yml or in the console")
            return self._dispatch(event, invocation, request_id)
        finally:
            logs.request_id.reset(token)

    def _dispatch(self, event: object, invocation: Invocation, request_id: str) -> dict[str, Any]:
        keys = _trigger_keys(event)
        try:
            if not isinstance(event, dict) or not (keys or event_bus.looks_like_event(event)):
                result = self.service.call(_to_body(event), "invocation", invocation.budget)
                return http_event.to_result(result.response, request_id)
            if keys == {"Timer"}:
                return self._prune(invocation)
            if keys == {"Records"} and (batch := ckafka.parse_records(event["Records"])) is not None:
                return ckafka.process_batch(batch, self.service, Deadline(self.service.clock, invocation.budget))
            if not keys and (bus_event := event_bus.parse(event)):
                return event_bus.process(bus_event, self.service, invocation.budget)
            if http_event.is_http_event(event):
                return http_event.respond(self.app, event, invocation)
            raise _unsupported(event, keys)
        except RequestRejected as rejection:
            return http_event.to_result(self.service.reject(rejection).response, request_id)

    def _prune(self, invocation: Invocation) -> dict[str, Any]:
        deadline = Deadline(self.service.clock, min(PRUNE_TIMEOUT, invocation.budget))
        try:
            pruned = self.ledger.prune(deadline=deadline)
        except LedgerUnavailable as error:
            log.error("ledger unavailable", extra={"fields": {"reason": str(error)}})
            return {"status": "ledger-unavailable"}
        log.info("ledger pruned", extra={"fields": {"records": pruned}})
        return {"status": "pruned", "records": pruned}


def _trigger_keys(event: object) -> set[str]:
    """Return the keys that identify the event's trigger; ``Timer`` for the timer."""
    if not isinstance(event, dict):
        return set()
    return {key for key in TRIGGER_KEYS if key in event} | ({"Timer"} if event.get("Type") == "Timer" else set())


def _to_body(event: object) -> bytes:
    try:
        return strict_json.dumps(event)
    except ValueError:
        raise RequestRejected(BODY_MALFORMED) from None


def _unsupported(event: dict[Any, Any], keys: set[str]) -> RequestRejected:
    """Log an event of an unknown kind, and return its rejection.

    The log contains only known keys, because others may be personal data.
    """
    present = sorted(keys) if keys else event_bus.members(event)
    log.error("unsupported event", extra={"fields": {"event_keys": present}})
    if keys:
        return RequestRejected(
            BODY_MALFORMED, "The event is not supported, or it is an HTTP event without httpMethod or headers."
        )
    return RequestRejected(
        BODY_MALFORMED,
        "The event has an invalid member: specversion, id, source and type must be strings; data must be an object.",
    )
