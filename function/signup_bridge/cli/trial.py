"""Send a real code, and verify the code that the person types: a complete signup without a webhook."""

from __future__ import annotations

import json
import secrets

from signup_bridge.app import build_ledger, build_service
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.core.outcomes import RequestRejected, Result
from signup_bridge.service.signup_service import Request, SignupService
from signup_bridge.settings import Settings
from signup_bridge.telemetry.observer import Observer
from signup_bridge.upstream.error_codes import remedy_for

BUDGET = 20.0
"""Seconds for each of the two calls."""


def send_and_verify(settings: Settings, contact: str) -> int:
    """Send a code to the contact, ask for it, and verify it. Return 0 if the contact is verified."""
    clock = SystemClock()
    ledger = build_ledger(settings, clock)
    try:
        service = build_service(settings, ledger, clock, Observer())
        result = _handle(service, SEND, contact)
        if result is None or result.outcome.kind != "success":
            return 1
        print("Type the code that you received, or an empty line to stop.")  # noqa: T201  a command prints to a terminal
        while code := input("Code: ").strip():
            result = _handle(service, CREATE, contact, verify_code=code)
            if result is not None and result.outcome.code != "code-incorrect":
                return int(result.outcome.kind != "success")
        return 1
    except (EOFError, RuntimeError):  # the latter without a standard input
        print("\nstopped: no code was typed")  # noqa: T201  as above
        return 1
    finally:
        ledger.close()


def _handle(service: SignupService, action: str, contact: str, **members: str) -> Result | None:
    """Handle a request as a direct invocation, print the outcome and return it; None if it was rejected."""
    kind = "email" if "@" in contact else "phone"
    body = {"id": f"check-{secrets.token_hex(8)}", "type": kind, "contact": contact, **members}
    deadline = Deadline(SystemClock(), BUDGET)
    request = Request(json.dumps(body).encode(), deadline, "invocation", action="send" if action == SEND else "auto")
    try:
        result = service.handle(request).result
    except RequestRejected as rejection:
        for pointer, detail in rejection.errors or (("request", rejection.detail),):
            print(f"{pointer.removeprefix('#/')}: {detail}")  # noqa: T201  as above
        return None
    print(f"{action}: {_describe(result, action)}")  # noqa: T201  as above
    return result


def _describe(result: Result, action: str) -> str:
    outcome = result.outcome
    parts = [
        outcome.code,
        *([result.api_code] if result.api_code else []),
        *([outcome.detail] if outcome.detail else []),
    ]
    if outcome.code == "bridge-misconfigured":
        parts[-1] = remedy_for(result.api_code, action)
    return "; ".join(parts)
