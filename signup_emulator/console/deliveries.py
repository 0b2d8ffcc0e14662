"""Record deliveries: the request, the bridge's log line, the API calls and the response.

A delivery has two sources: its request, if the console sent or relayed it, and its line in the bridge's log. A
delivery that was posted directly to the bridge has the line only.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from signup_emulator.api.calls import Call

from .masking import masked
from .user_messages import message_for

MAX_DELIVERIES = 500
"""The number of deliveries that are stored, the newest ones."""

LOG_LINE_TIMEOUT = 1.0
"""Seconds to wait for the bridge's log line after its response."""

LOG_MESSAGES = ("delivery", "request rejected")
"""Messages of the bridge's log lines about one request."""

Via = Literal["console", "proxy", "bridge"]
RepeatKind = Literal["fresh", "stale", "tampered"]
Headers = list[tuple[str, str]]

_BEFORE_SIGNATURE = ("not-found", "method-not-allowed", "body-too-large", "overloaded")
"""Outcomes that the bridge may return before it checks the signature."""


@dataclass
class HttpRequest:
    """A request. Lone surrogates represent bytes of its body that are not UTF-8."""

    method: str
    path: str
    headers: Headers
    body: str


@dataclass
class HttpResponse:
    status: int
    reason: str
    headers: Headers
    body: str


def _without_token(request: HttpRequest) -> dict[str, Any]:
    """Return the request without its bearer token, which other machines may not read from the console."""
    headers = [(name, "Bearer …" if name.lower() == "authorization" else value) for name, value in request.headers]
    return asdict(request) | {"headers": headers}


@dataclass
class Delivery:
    """One delivery. ``at`` is a Unix time, ``trace`` the trace id in the bridge's log and the API calls."""

    number: int
    at: float
    via: Via
    sender: str | None = None
    delivery_id: str | None = None
    repeats: int | None = None
    repeated_as: RepeatKind | None = None
    request: HttpRequest | None = None
    trace: str | None = None
    done: bool = False
    response: HttpResponse | None = None
    error: str | None = None
    duration_ms: float | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    log: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """Return the delivery as JSON values, with its derived members."""
        line, body = self.log or {}, self._response_body()
        outcome = line.get("outcome") or body.get("code")
        status = self.response.status if self.response else line.get("status")
        retryable = body.get("retryable", status >= 500 or outcome == "in-progress" if status else None)
        checked = None if outcome is None or outcome in _BEFORE_SIGNATURE else outcome != "signature-invalid"
        return {
            "number": self.number,
            "at": self.at,
            "via": self.via,
            "sender": self.sender,
            "delivery_id": self.delivery_id,
            "repeats": self.repeats,
            "as": self.repeated_as,
            "state": "done" if self.done else "working",
            "request": _without_token(self.request) if self.request else None,
            "signature": {"valid": checked, "reason": line.get("reason")},
            "type": line.get("type"),
            "contact": line.get("contact"),
            "outcome": outcome,
            "status": status,
            "replayed": bool(line.get("replayed")) or "idempotent-replayed" in self._response_headers(),
            "resolved": bool(line.get("resolved")) or body.get("resolved") is True,
            "retryable": retryable,
            "message": message_for(outcome, retryable=retryable) if self.done else None,
            "duration_ms": self.duration_ms if self.duration_ms is not None else line.get("duration_ms"),
            "wait_ms": line.get("wait_ms"),
            "upstream_ms": line.get("upstream_ms"),
            "calls": self.calls,
            "response": asdict(self.response) if self.response else None,
            "error": self.error,
            "log": self.log,
        }

    def is_for(self, contact: str) -> bool:
        """Return whether it is for the contact. Without a request, compare the masked contact of the log line."""
        if self.request is None:
            return bool(self.log) and (self.log or {}).get("contact") == masked(contact)
        return contact in self.request.body or json.dumps(contact)[1:-1] in self.request.body

    def _response_body(self) -> dict[str, Any]:
        try:
            body = json.loads(self.response.body) if self.response else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}

    def _response_headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in (self.response.headers if self.response else [])}


class Deliveries:
    """The newest deliveries. ``publish`` is called when one starts and when it changes. Thread-safe."""

    def __init__(self, publish: Callable[[dict[str, Any]], None], calls: Callable[[], Iterable[Call]]) -> None:
        self._publish = publish
        self._calls = calls
        self._changed = threading.Condition()
        self.logged = False
        self._kept: deque[Delivery] = deque(maxlen=MAX_DELIVERIES)
        self._last = 0
        self._cleared: deque[str | None] = deque(maxlen=MAX_DELIVERIES)

    def clear(self) -> None:
        """Delete all deliveries. Those in progress are no longer published."""
        with self._changed:
            self._cleared.extend(one.trace for one in self._kept if one.log is None and one.trace)
            self._kept.clear()
            self._last = 0

    def begin(self, via: Via, **known: Any) -> Delivery:
        """Record a delivery that is sent to the bridge or found in its log."""
        with self._changed:
            self._last += 1
            delivery = Delivery(self._last, time.time(), via, **known)
            self._kept.append(delivery)
        self._publish(delivery.document())
        return delivery

    def end(self, delivery: Delivery, response: HttpResponse | None, error: str | None = None) -> None:
        """Record the bridge's response, and wait for the log line if the log is read."""
        with self._changed:
            delivery.duration_ms = round((time.time() - delivery.at) * 1000, 1)
            delivery.response, delivery.error, delivery.done = response, error, True
            delivery.calls = self._calls_where(
                lambda call: call.trace_id == delivery.trace and call.at >= delivery.at - 1
            )
            if response is not None and self.logged:
                self._changed.wait_for(lambda: delivery.log is not None, LOG_LINE_TIMEOUT)
            cleared = delivery not in self._kept
        if not cleared:
            self._publish(delivery.document())

    def on_log_line(self, line: Mapping[str, Any]) -> None:
        """Record a line of the bridge's log."""
        if line.get("message") not in LOG_MESSAGES:
            return
        with self._changed:
            if line.get("trace_id") in self._cleared:
                return
        known = self._find_by_trace(line.get("trace_id"))
        if known is not None:
            with self._changed:
                known.log = dict(line)
                self._changed.notify_all()
            if known.done:
                self._publish(known.document())
            return
        api_request_id = line.get("api_request_id")
        calls = self._calls_where(lambda call: call.request_id == api_request_id) if api_request_id else []
        self.begin("bridge", log=dict(line), done=True, calls=calls)

    def newest(
        self, *, contact: str | None = None, outcome: str | None = None, limit: int = MAX_DELIVERIES
    ) -> list[dict[str, Any]]:
        """Return the deliveries of a contact and with an outcome, newest first."""
        with self._changed:
            kept = [one for one in reversed(self._kept) if contact is None or one.is_for(contact)]
        documents = [one.document() for one in kept]
        return [one for one in documents if outcome is None or one["outcome"] == outcome][:limit]

    def get(self, number: int) -> Delivery | None:
        with self._changed:
            return next((one for one in self._kept if one.number == number), None)

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the completed deliveries as JSON values."""
        with self._changed:
            return [asdict(one) for one in self._kept if one.done]

    def restore(self, snapshot: Iterable[Mapping[str, Any]]) -> None:
        """Restore a `snapshot`. Raises KeyError, TypeError or ValueError if it is not one."""
        restored = [_from_snapshot(dict(one)) for one in snapshot]
        with self._changed:
            self._kept = deque(restored, maxlen=MAX_DELIVERIES)
            self._last = max((one.number for one in restored), default=0)

    def _find_by_trace(self, trace: str | None) -> Delivery | None:
        """Return the delivery of this trace that has no log line yet."""
        with self._changed:
            waiting = (one for one in self._kept if one.trace == trace and one.log is None)
            return next(waiting, None) if trace else None

    def _calls_where(self, matches: Callable[[Call], bool]) -> list[dict[str, Any]]:
        return [asdict(call) for call in list(self._calls()) if matches(call)]


def _from_snapshot(kept: dict[str, Any]) -> Delivery:
    for name, kind in (("request", HttpRequest), ("response", HttpResponse)):
        if kept[name] is not None:
            kept[name] = kind(**{**kept[name], "headers": [(one, value) for one, value in kept[name]["headers"]]})
    return Delivery(**kept)
