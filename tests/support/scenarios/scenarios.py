"""A scenario for each outcome in any profile, over a socket to the emulated API."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery, IdempotencyKey

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.event_builders import CONTEXT, handle, url_event
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.responses import HttpResponse, parse_response
from tests.support.bridge.signed_requests import PHONE, body, signed
from tests.support.network.queued_connection import QueuedConnection

WRONG = body(verify_code="000000")


@dataclass
class Way:
    """The way of a request: over HTTP, or as the event of a Function URL."""

    name: str

    def ask(self, of: Bridge, request: Request) -> HttpResponse:
        headers = request.headers(request.data)
        if self.name == "http":
            environ: dict[str, Any] = {"gunicorn.socket": QueuedConnection(100.0)} if request.late else {}
            if request.short:
                environ |= {"CONTENT_LENGTH": str(len(request.data) + 5), "wsgi.input_terminated": True}
            response = of.client.open(
                request.path, method=request.method, data=request.data, headers=headers, environ_overrides=environ
            )
            return parse_response(response.status_code, list(response.headers), response.data)
        context = CONTEXT | ({"time_limit_in_ms": 1} if request.late else {})
        event = url_event(request.data, httpMethod=request.method, path=request.path, headers=headers)
        return handle(of, event, context)


@dataclass
class Request:
    """A request. ``headers`` builds its headers when it is sent, because a signature is valid for five minutes."""

    data: bytes = field(default_factory=body)
    headers: Callable[[bytes], dict[str, str]] = signed
    method: str = "POST"
    path: str = "/webhooks/signup"
    late: bool = False
    short: bool = False
    """Whether the body ends early. An event always has a complete body."""


Before = Callable[[Way, Bridge, Emulator], object]


@dataclass
class Scene:
    """The settings, the preceding steps, and the request that receives the outcome."""

    request: Request = field(default_factory=Request)
    before: Before | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def play(
        self, way: Way, emulator: Emulator, monkeypatch: pytest.MonkeyPatch, **settings: Any
    ) -> tuple[Bridge, HttpResponse]:
        changed = {"REQUEST_BUDGET": 4} | self.settings | settings
        played = bridge(changed.pop("url", emulator.url), StillClock(), **changed)
        if self.before:
            self.before(way, played, emulator)
        with monkeypatch.context() as patch:
            if self.settings.get("LOG_LEVEL") == "ERROR":
                patch.setattr("signup_bridge.upstream.calls.RateLimitedApi.create", fail)
            return played, way.ask(played, self.request)


def fail(*_: Any, **__: Any) -> None:
    raise RuntimeError


def fault(name: str) -> Before:
    return lambda _way, _bridge, emulator: emulator.faults.arm(Fault(name))


def asked(data: bytes) -> Before:
    return lambda way, of, _emulator: way.ask(of, Request(data))


def lost(way: Way, of: Bridge, emulator: Emulator) -> None:
    """Send a wrong code and lose the API's reply."""
    emulator.faults.arm(Fault("close"))
    way.ask(of, Request(WRONG))


def lock(_way: Way, of: Bridge, _emulator: Emulator) -> None:
    """Lock the contact by another delivery that is in progress."""
    ledger = of.app.extensions["ledger"]
    other = Delivery(Contact(ContactType.PHONE, PHONE), "999999", IdempotencyKey("direct", "other"))
    keys = ledger.hasher().keys(other)
    ledger.claim(keys, "token", lease=60, max_wait=1, deadline=Deadline(SystemClock(), 5))


def reused(data: bytes) -> dict[str, str]:
    return signed(data, delivery_id="msg_reused")


WANTED = Request(body(verify_code=None), path="/webhooks/code")
SENDING = {"SEND_CODES": "true"}

SCENES = {
    "verified": Scene(),
    "sent": Scene(WANTED, settings=SENDING),
    "code-incorrect": Scene(Request(WRONG)),
    "contact-invalid": Scene(before=fault("InvalidParameterValue.InvalidParameterFormat")),
    "already-verified": Scene(Request(WRONG), asked(body())),
    "attempts-exhausted": Scene(before=asked(WRONG), settings={"MAX_WRONG_CODES": 1}),
    "outcome-unresolved": Scene(Request(WRONG), lost, {"RESOLVE_UNKNOWN": "never"}),
    "idempotency-key-reused": Scene(
        Request(WRONG, reused),
        lambda way, of, _: way.ask(of, Request(headers=reused)),
    ),
    "body-malformed": Scene(Request(b"{")),
    "body-invalid": Scene(Request(body(contact=None, type="fax"))),
    "in-progress": Scene(before=lock),
    "upstream-throttled": Scene(before=fault("LimitExceeded.RequestLimit")),
    "upstream-unreachable": Scene(settings={"url": f"http://127.0.0.1:{ports.free()}"}),
    "outcome-unknown": Scene(before=fault("close")),
    "upstream-failed": Scene(before=fault("InternalError.AddPhoneEmailErr")),
    "send-limited": Scene(WANTED, lambda way, of, _: way.ask(of, WANTED), SENDING),
    "send-failed": Scene(WANTED, fault("InternalError.SendVerifyCodeErr"), SENDING),
    "bridge-misconfigured": Scene(before=fault("NoSuchVersion")),
    "ledger-unavailable": Scene(settings={"LEDGER_URL": "sqlite:////no/such/folder/x.db"}),
    "overloaded": Scene(Request(late=True)),
    "body-incomplete": Scene(Request(short=True)),
    "internal-error": Scene(settings={"LOG_LEVEL": "ERROR"}),
    "signature-invalid": Scene(Request(headers=lambda _: {})),
    "not-found": Scene(Request(path="/nowhere")),
    "delivery-not-found": Scene(Request(b"", method="GET", path="/deliveries/nobody")),
    "method-not-allowed": Scene(Request(method="PUT")),
    "body-too-large": Scene(Request(b" " * 17_000)),
    "media-type-unsupported": Scene(Request(headers=lambda data: signed(data) | {"Content-Type": "text/plain"})),
}
