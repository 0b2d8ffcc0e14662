"""Create bridges with settings, in this process or under gunicorn, that call an emulator."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import requests
from flask import Flask
from flask.testing import FlaskClient
from signup_bridge import settings
from signup_bridge.app import create_app, create_event_handler
from signup_bridge.core.clock import Clock
from signup_bridge.events.handler import Handler
from signup_bridge.ledger import Ledger
from signup_bridge.settings import Settings
from werkzeug.test import TestResponse

from signup_emulator.api.calls import Call
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import ROOT, log_audit
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.responses import HttpResponse, parse_response
from tests.support.bridge.signed_requests import SECRET, body, signed
from tests.support.log_lines import lines_of


@cache
def _ledgers() -> tempfile.TemporaryDirectory[str]:
    """Create the folder on demand: a spawned process imports this module, and would leave its folder behind."""
    return tempfile.TemporaryDirectory(prefix="ledgers-")


def environment(url: str, **changed: str) -> dict[str, str]:
    """Return a complete environment for a bridge whose API is at ``url``, with a new ledger."""
    environ = {
        "LEDGER_URL": f"sqlite:///{_ledgers().name}/{uuid.uuid4().hex}.db",
        "TENCENT_SECRET_ID": DEMO_SECRET_ID,
        "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
        "DOMAIN_API_URL": url,
        "DOMAIN_API_RATE": "10000",
        "WEBHOOK_SECRETS": SECRET,
        "LOG_LEVEL": "DEBUG",
        **changed,
    }
    log_audit.carry_settings(environ)
    return environ


class _Client(FlaskClient):
    """A client that reports to the log audit what it sends."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        log_audit.carry_body(kwargs.get("data") or b"")
        log_audit.carry_headers(dict(kwargs.get("headers") or {}))
        return super().open(*args, **kwargs)


class _Events:
    """An event handler that does the same."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle(self, event: object, context: object) -> dict[str, Any]:
        log_audit.carry_document(event)
        return self._handler.handle(event, context)


LEDGERS: WeakSet[Ledger] = WeakSet()
"""The ledgers of all applications. Each is closed after the test that opened it."""


def application(bridge_settings: Settings | None = None, clock: Clock | None = None) -> Flask:
    """Create the application with settings, by default the environment's. Its ledger is closed after the test."""
    app = create_app(bridge_settings, clock=clock)
    LEDGERS.add(app.extensions["ledger"])
    return app


class Bridge:
    """A bridge in this process. Its socket to the API is real, and its caller is Flask's test client."""

    def __init__(self, bridge_settings: Settings, clock: Clock | None = None) -> None:
        self.app = application(bridge_settings, clock)
        self.app.test_client_class = _Client
        self.client: FlaskClient = self.app.test_client()
        self.timed = bridge_settings.reveal_already_verified
        self.events = _Events(create_event_handler(self.app))

    def post(self, data: bytes, headers: dict[str, str] | None = None, path: str = "/webhooks/signup") -> HttpResponse:
        response = self.client.post(path, data=data, headers=signed(data) if headers is None else headers)
        return parse_response(response.status_code, list(response.headers), response.data, timed=self.timed)

    def deliver(self, **members: Any) -> HttpResponse:
        """Post a signed delivery of the reference example, with members changed."""
        return self.post(body(**members))


def bridge(url: str, clock: Clock | None = None, **changed: Any) -> Bridge:
    """Return a bridge whose API is at ``url``, with settings by their names in the environment."""
    return Bridge(settings.load(environment(url, **{name: str(value) for name, value in changed.items()})), clock)


@contextmanager
def gunicorn(url: str, log: Path, **changed: Any) -> Iterator[str]:
    """Start a bridge under gunicorn on a free port, as documented; yield its URL. Its output goes to ``log``."""
    port = ports.free()
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COV")}
    values = {name: str(value) for name, value in changed.items()}
    environ = kept | environment(url, **{"HOST": "127.0.0.1", "PORT": str(port)} | values)
    log_audit.watch_log(log)
    command = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
    lines_of(log.read_text())


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 120
    while True:
        with suppress(requests.ConnectionError):
            assert requests.get(url, timeout=60).ok
            return
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def post(url: str, data: bytes, headers: dict[str, str] | None = None) -> HttpResponse:
    """Post a request over a real socket."""
    headers = signed(data) if headers is None else headers
    log_audit.carry_body(data)
    log_audit.carry_headers(headers)
    response = requests.post(url, data=data, headers=headers, timeout=60)
    return parse_response(response.status_code, list(response.headers.items()), response.content)


@contextmanager
def replies_held(emulator: Emulator) -> Iterator[None]:
    """Hold back every reply of the API until the end of the block. Its calls are recorded immediately."""
    released, on_call = threading.Event(), emulator.on_call

    def hold(call: Call) -> None:
        on_call(call)
        released.wait()

    emulator.on_call = hold
    try:
        yield
    finally:
        emulator.on_call = on_call
        released.set()


def wait_for_calls(emulator: Emulator, count: int = 1) -> None:
    """Wait until the API has recorded ``count`` calls."""
    while len(emulator.calls) < count:
        time.sleep(0.005)


def patient(emulator: Emulator, fault: str | None) -> Bridge:
    """Return a bridge with a still clock, so that load on the machine does not use up its budget.

    It waits half a second for a reply that never ends. Its budget ends when a slow reply begins.
    """
    clock, on_call = StillClock(), emulator.on_call

    def advance_on_drip(call: Call) -> None:
        on_call(call)
        if call.fault == "drip":
            clock.advance(8)

    emulator.on_call = advance_on_drip
    budget = 0.5 if fault in ("hang", "stall-body") else 8
    return bridge(emulator.url, clock, REQUEST_BUDGET=budget, DOMAIN_API_RATE=10)


def calls(emulator: Emulator) -> list[tuple[str, str]]:
    """Return action and result of each call that the API received, oldest first."""
    return [(call.action, call.result) for call in emulator.calls]
