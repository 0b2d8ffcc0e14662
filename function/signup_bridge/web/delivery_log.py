"""Write the log line of a delivery and count it, for web requests and events alike."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from signup_bridge.core.actions import SEND
from signup_bridge.core.clock import Stopwatch
from signup_bridge.core.delivery import DeliveryResult
from signup_bridge.core.outcomes import BRIDGE_MISCONFIGURED, INTERNAL_ERROR, NO_TIME, RequestRejected, Timing
from signup_bridge.inbound.signatures import SignatureInvalid
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.observer import Observer
from signup_bridge.upstream import error_codes


class LogEntry(NamedTuple):
    """The log line of a request: its ``fields``, the times before and in the API call, and its level."""

    fields: dict[str, Any]
    timing: Timing = NO_TIME
    level: int = logging.INFO


def from_result(delivery: DeliveryResult) -> LogEntry:
    """Return the entry of a delivery that was processed."""
    result = delivery.result
    details = {
        "action": "send" if delivery.action == SEND else None,
        "type": delivery.contact_type.label if delivery.contact_type else None,
        "contact": delivery.contact.masked if delivery.contact else None,
        "api_request_id": result.api_request_id,
        "api_code": result.api_code,
        "upstream_error": result.error,
        "limit": result.limit,
        "replayed": result.replayed,
        "resolved": result.resolved,
    }
    fields = {"outcome": result.outcome.code, **{name: value for name, value in details.items() if value}}
    if result.outcome is not BRIDGE_MISCONFIGURED:
        return LogEntry(fields, result.timing)
    remedy = error_codes.remedy_for(result.api_code, delivery.action)
    return LogEntry(fields | {"remedy": remedy}, result.timing, logging.ERROR)


def from_rejection(rejection: RequestRejected) -> LogEntry:
    """Return the entry of a request that was not processed."""
    fields: dict[str, Any] = {"outcome": rejection.outcome.code}
    if isinstance(rejection, SignatureInvalid):
        fields["reason"] = rejection.reason
    if rejection.errors:
        fields["invalid_members"] = [pointer for pointer, _ in rejection.errors]
    return LogEntry(fields, level=logging.ERROR if rejection.outcome is INTERNAL_ERROR else logging.INFO)


def write(entry: LogEntry, observer: Observer, status: int, elapsed: Stopwatch, message: str = "delivery") -> None:
    """Write a log line and count the outcome. ``status`` is the HTTP status of the response."""
    observer.on_response(entry.fields["outcome"], replayed="replayed" in entry.fields)
    fields = {
        **entry.fields,
        "status": status,
        "duration_ms": _ms(elapsed.seconds()),
        "wait_ms": _ms(entry.timing.queue_seconds),
        "upstream_ms": _ms(entry.timing.upstream_seconds),
    }
    log.log(entry.level, message, extra={"fields": fields})


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
