"""The deliveries that were seen, each with its whole way: what came, what the bridge said and did, what was answered.

A delivery is heard of twice: as a request, if it was made here or came through this port, and by the line that the
bridge's log has for it. Whichever comes first, it is one delivery; of one posted straight to the bridge there is only
the line.
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

KEPT = 500
"""Deliveries that are remembered, the newest."""

LINE_TIME = 1.0
"""Seconds that the bridge's log line for an answer may take to arrive."""

LINES = ("delivery", "request refused")
"""The messages of those lines of the bridge's log that are about one request."""

Via = Literal["console", "proxy", "bridge"]
As = Literal["fresh", "stale", "tampered"]
Headers = list[tuple[str, str]]

_UNJUDGED = ("not-found", "method-not-allowed", "body-too-large", "overloaded")
"""Codes of what is answered before the signature is looked at, or may be."""


@dataclass
class Request:
    """A request as it came; of its body what is no UTF-8 is kept as lone surrogates."""

    method: str
    path: str
    headers: Headers
    body: str


@dataclass
class Answer:
    status: int
    reason: str
    headers: Headers
    body: str


@dataclass
class Delivery:
    """One delivery. ``at`` is Unix time, ``trace`` the trace id by which the bridge and the API knew it."""

    number: int
    at: float
    via: Via
    sender: str | None = None
    delivery_id: str | None = None
    repeats: int | None = None
    repeated_as: As | None = None
    request: Request | None = None
    trace: str | None = None
    done: bool = False
    answer: Answer | None = None
    error: str | None = None
    duration_ms: float | None = None
    calls: list[dict[str, Any]] = field(default_factory=list)
    log: dict[str, Any] | None = None

    def document(self) -> dict[str, Any]:
        """As JSON, with what follows from what is known."""
        line, told = self.log or {}, self._told()
        outcome = line.get("outcome") or told.get("code") or told.get("status")
        status = self.answer.status if self.answer else line.get("status")
        retryable = told.get("retryable", status >= 500 or outcome == "in-progress" if status else None)
        checked = None if outcome is None or outcome in _UNJUDGED else outcome != "signature-invalid"
        return {
            "number": self.number,
            "at": self.at,
            "via": self.via,
            "sender": self.sender,
            "delivery_id": self.delivery_id,
            "repeats": self.repeats,
            "as": self.repeated_as,
            "state": "done" if self.done else "working",
            "request": asdict(self.request) if self.request else None,
            "signature": {"valid": checked, "reason": line.get("reason")},
            "type": line.get("type"),
            "contact": line.get("contact"),
            "outcome": outcome,
            "status": status,
            "replayed": bool(line.get("replayed")) or "idempotent-replayed" in self._answered(),
            "resolved": bool(line.get("resolved")) or told.get("resolved") is True,
            "retryable": retryable,
            "says": message_for(outcome, retryable=retryable) if self.done else None,
            "duration_ms": self.duration_ms if self.duration_ms is not None else line.get("duration_ms"),
            "wait_ms": line.get("wait_ms"),
            "upstream_ms": line.get("upstream_ms"),
            "calls": self.calls,
            "answer": asdict(self.answer) if self.answer else None,
            "error": self.error,
            "log": self.log,
        }

    def is_of(self, contact: str) -> bool:
        """Whether it is a contact's, as far as can be told of one whose request was not seen."""
        if self.request is None:
            return bool(self.log) and (self.log or {}).get("contact") == masked(contact)
        return contact in self.request.body or json.dumps(contact)[1:-1] in self.request.body

    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads(self.answer.body) if self.answer else {}
        except ValueError:
            return {}
        return told if isinstance(told, dict) else {}

    def _answered(self) -> dict[str, str]:
        return {name.lower(): value for name, value in (self.answer.headers if self.answer else [])}


class Deliveries:
    """The newest deliveries. ``tell`` hears of each when it begins, and whenever more is known. Safe for threads."""

    def __init__(self, tell: Callable[[dict[str, Any]], None], calls: Callable[[], Iterable[Call]]) -> None:
        self._tell = tell
        self._calls = calls
        self._changed = threading.Condition()
        self.logged = False
        self._kept: deque[Delivery] = deque(maxlen=KEPT)
        self._last = 0
        self._forgotten: deque[str | None] = deque(maxlen=KEPT)

    def clear(self) -> None:
        """Forget all; what is still on its way is not heard of any more."""
        with self._changed:
            self._forgotten.extend(one.trace for one in self._kept if one.log is None and one.trace)
            self._kept.clear()
            self._last = 0

    def begin(self, via: Via, **known: Any) -> Delivery:
        """Note a delivery that is on its way to the bridge, or known from its log."""
        with self._changed:
            self._last += 1
            delivery = Delivery(self._last, time.time(), via, **known)
            self._kept.append(delivery)
        self._tell(delivery.document())
        return delivery

    def end(self, delivery: Delivery, answer: Answer | None, error: str | None = None) -> None:
        """Note what the bridge answered, and wait for its log line as long as one may be on its way."""
        with self._changed:
            delivery.duration_ms = round((time.time() - delivery.at) * 1000, 1)
            delivery.answer, delivery.error, delivery.done = answer, error, True
            delivery.calls = self._made(lambda call: call.trace_id == delivery.trace and call.at >= delivery.at - 1)
            if answer is not None and self.logged:
                self._changed.wait_for(lambda: delivery.log is not None, LINE_TIME)
            forgotten = delivery not in self._kept
        if not forgotten:
            self._tell(delivery.document())

    def on_log_line(self, line: Mapping[str, Any]) -> None:
        """Note a line of the bridge's log."""
        if line.get("message") not in LINES:
            return
        with self._changed:
            if line.get("trace_id") in self._forgotten:
                return
        known = self._of_trace(line.get("trace_id"))
        if known is not None:
            with self._changed:
                known.log = dict(line)
                self._changed.notify_all()
            if known.done:
                self._tell(known.document())
            return
        api_request_id = line.get("api_request_id")
        calls = self._made(lambda call: call.request_id == api_request_id) if api_request_id else []
        self.begin("bridge", log=dict(line), done=True, calls=calls)

    def newest(
        self, *, contact: str | None = None, outcome: str | None = None, limit: int = KEPT
    ) -> list[dict[str, Any]]:
        """Those of a contact, and with an outcome, the newest first."""
        with self._changed:
            kept = [one for one in reversed(self._kept) if contact is None or one.is_of(contact)]
        documents = [one.document() for one in kept]
        return [one for one in documents if outcome is None or one["outcome"] == outcome][:limit]

    def get(self, number: int) -> Delivery | None:
        with self._changed:
            return next((one for one in self._kept if one.number == number), None)

    def snapshot(self) -> list[dict[str, Any]]:
        """Those that have ended, as JSON values."""
        with self._changed:
            return [asdict(one) for one in self._kept if one.done]

    def restore(self, snapshot: Iterable[Mapping[str, Any]]) -> None:
        """Know again what a `snapshot` holds. Raises KeyError, TypeError or ValueError when it is none."""
        restored = [_restored(dict(one)) for one in snapshot]
        with self._changed:
            self._kept = deque(restored, maxlen=KEPT)
            self._last = max((one.number for one in restored), default=0)

    def _of_trace(self, trace: str | None) -> Delivery | None:
        """The delivery of this trace whose log line has not come yet."""
        with self._changed:
            waiting = (one for one in self._kept if one.trace == trace and one.log is None)
            return next(waiting, None) if trace else None

    def _made(self, of: Callable[[Call], bool]) -> list[dict[str, Any]]:
        return [asdict(call) for call in list(self._calls()) if of(call)]


def _restored(kept: dict[str, Any]) -> Delivery:
    for name, kind in (("request", Request), ("answer", Answer)):
        if kept[name] is not None:
            kept[name] = kind(**{**kept[name], "headers": [(one, value) for one, value in kept[name]["headers"]]})
    return Delivery(**kept)
