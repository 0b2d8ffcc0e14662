"""What the tests build: deliveries as a foreign sender signs them, bridges, and upstreams that misbehave."""

from __future__ import annotations

import base64
import hmac
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cache
from pathlib import Path
from typing import Any
from weakref import WeakSet

import requests
from flask import Flask
from flask.testing import FlaskClient
from signup_bridge import settings
from signup_bridge.app import create_app, create_event_handler
from signup_bridge.core.clock import Clock, SystemClock
from signup_bridge.events.handler import Handler
from signup_bridge.ledger import Ledger
from signup_bridge.settings import Settings
from standardwebhooks import Webhook
from werkzeug.test import TestResponse

from signup_emulator.api.calls import Call
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import log_audit
from tests.support.log_lines import lines_of

ROOT = Path(__file__).resolve().parents[2]
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PHONE, CODE = "18766554433", "123456"
"""The reference example: the emulator accepts it once without a send."""


class SetClock(SystemClock):
    """The machine's clocks, moved on by the test: each by itself."""

    def __init__(self) -> None:
        self.wall = self.run = 0.0

    def time(self) -> float:
        return super().time() + self.wall

    def monotonic(self) -> float:
        return super().monotonic() + self.run


class StillClock(SetClock):
    """Clocks that stand still however slow the machine is: only the test and the bridge's own sleeps move them.

    A wait on a socket still takes real time, up to what is left of the budget.
    """

    def __init__(self) -> None:
        super().__init__()
        self._start = SystemClock().time(), SystemClock().monotonic()
        self._lock = threading.Lock()

    def time(self) -> float:
        return self._start[0] + self.wall

    def monotonic(self) -> float:
        return self._start[1] + self.run

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        with self._lock:
            self.wall += seconds
            self.run += seconds


def body(**members: Any) -> bytes:
    """A request body: the reference example, with members changed, added, or (None) left out."""
    document = {"type": "phone", "contact": PHONE, "verify_code": CODE} | members
    data = json.dumps({name: value for name, value in document.items() if value is not None}).encode()
    log_audit.carry_body(data)
    return data


def signed(
    data: bytes, *, secret: str = SECRET, delivery_id: str | None = None, at: float | None = None
) -> dict[str, str]:
    """The headers of a delivery, signed by the package of the Standard Webhooks project; by hand what is no text."""
    moment = datetime.fromtimestamp(int(time.time() if at is None else at), timezone.utc)
    delivery_id = delivery_id or f"msg_{uuid.uuid4().hex}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": _signature(secret, delivery_id, moment, data),
    }
    log_audit.carry_body(data)
    log_audit.carry_headers(headers)
    return headers


def _signature(secret: str, delivery_id: str, moment: datetime, data: bytes) -> str:
    try:
        return Webhook(secret).sign(delivery_id, moment, data.decode())
    except UnicodeDecodeError:  # the package takes text only
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{delivery_id}.{int(moment.timestamp())}.".encode() + data
        return "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()


@cache
def _ledgers() -> tempfile.TemporaryDirectory[str]:
    """Made when it is asked for: a process that is spawned, and so imports this, ends without removing it."""
    return tempfile.TemporaryDirectory(prefix="ledgers-")


def environment(url: str, **changed: str) -> dict[str, str]:
    """A whole environment for a bridge whose API is at ``url``, with a ledger of its own."""
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


@dataclass
class Answer:
    """What came back, without the headers that differ at each request or belong to the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


VARYING = {"x-request-id", "server-timing", "date", "server", "connection", "content-length"}


def answer(status: int, headers: Any, data: bytes, *, timed: bool = True) -> Answer:
    assert "x-request-id" in {name.lower() for name, _ in headers}
    assert not timed or "server-timing" in {name.lower() for name, _ in headers}
    kept = {name.lower(): value for name, value in headers if name.lower() not in VARYING}
    return Answer(status, kept, data)


class _Client(FlaskClient):
    """It says what it sends."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        log_audit.carry_body(kwargs.get("data") or b"")
        log_audit.carry_headers(dict(kwargs.get("headers") or {}))
        return super().open(*args, **kwargs)


class _Events:
    """The same for events."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle(self, event: object, context: object) -> dict[str, Any]:
        log_audit.carry_document(event)
        return self._handler.handle(event, context)


LEDGERS: WeakSet[Ledger] = WeakSet()
"""Those of all applications that exist; each is closed after the test that opened it."""


def application(configured: Settings | None = None, clock: Clock | None = None) -> Flask:
    """Create the application, whose ledger is closed after the test. Without settings they are the environment's."""
    app = create_app(configured, clock=clock)
    LEDGERS.add(app.extensions["ledger"])
    return app


class Bridge:
    """A bridge in this process: its socket to the API is real, its caller is Flask's test client."""

    def __init__(self, configured: Settings, clock: Clock | None = None) -> None:
        self.app = application(configured, clock)
        self.app.test_client_class = _Client
        self.client: FlaskClient = self.app.test_client()
        self.timed = configured.reveal_already_verified
        self.events = _Events(create_event_handler(self.app))

    def post(self, data: bytes, headers: dict[str, str] | None = None, path: str = "/webhooks/signup") -> Answer:
        response = self.client.post(path, data=data, headers=signed(data) if headers is None else headers)
        return answer(response.status_code, list(response.headers), response.data, timed=self.timed)

    def deliver(self, **members: Any) -> Answer:
        """Post one signed delivery of the reference example, with members changed."""
        return self.post(body(**members))


def bridge(url: str, clock: Clock | None = None, **changed: Any) -> Bridge:
    """A bridge with these settings (under their names in the environment) whose API is at ``url``."""
    return Bridge(settings.load(environment(url, **{name: str(value) for name, value in changed.items()})), clock)


@contextmanager
def gunicorn(url: str, log: Path, **changed: Any) -> Iterator[str]:
    """A bridge under gunicorn on a free port, started as the contract says; its own URL. ``log`` takes its output."""
    port = ports.free()
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COV")}
    given = {name: str(value) for name, value in changed.items()}
    environ = kept | environment(url, **{"HOST": "127.0.0.1", "PORT": str(port)} | given)
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


def post(url: str, data: bytes, headers: dict[str, str] | None = None) -> Answer:
    """Post over a real socket."""
    headers = signed(data) if headers is None else headers
    log_audit.carry_body(data)
    log_audit.carry_headers(headers)
    response = requests.post(url, data=data, headers=headers, timeout=60)
    return answer(response.status_code, list(response.headers.items()), response.content)


Script = Callable[[socket.socket], None]


class Upstream:
    """A server whose connections are each given to a function. ``requests`` is what was received, whole."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self._script, self._tls = script, tls
        self._server = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self._server.getsockname()[1]}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                self.connections += 1
                thread = threading.Thread(target=self._talk, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _talk(self, plain: socket.socket) -> None:
        connection = plain
        with suppress(OSError, ValueError):
            if self._tls:
                connection = self._tls.wrap_socket(plain, server_side=True)
            self._open.append(connection)
            while request := read_request(connection):
                self.requests.append(request)
                log_audit.carry_request(request)
                self._script(connection)
        connection.close()

    def __enter__(self) -> Upstream:  # noqa: PYI034  Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for connection in self._open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()


def read_request(connection: socket.socket) -> bytes:
    """One whole request, nothing when the caller has gone."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65_536)
        if not chunk:
            return b""
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
    )
    while len(rest) < length:
        rest += connection.recv(65_536)
    return head + b"\r\n\r\n" + rest


def reply(document: object, *, status: str = "200 OK", headers: str = "Content-Type: application/json\r\n") -> bytes:
    """An HTTP reply; ``document`` is JSON, or bytes as they are."""
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(data)}\r\n\r\n".encode() + data


def send(data: bytes) -> Script:
    """Answer every request with these bytes."""
    return lambda connection: connection.sendall(data)


SUCCESS = {"Response": {"RequestId": "eac6b301-a322-493a-8e36-83b295459397"}}


def cut(connection: socket.socket) -> None:
    """Reset the connection under whatever TLS there is."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(connection.detach())


def problem(code: str, status: int, *, retryable: bool, request_id: Any = None, errors: Any = None) -> dict[str, Any]:
    """A problem document's members less its texts."""
    members: dict[str, Any] = {
        "type": f"urn:signup-bridge:problem:{code}",
        "status": status,
        "code": code,
        "retryable": retryable,
    }
    if request_id is not None:
        members["request_id"] = request_id
    if errors is not None:
        members["errors"] = errors
    return members


ABORT = {"content-type": "application/problem+json", "webhook-delivery": "abort-message"}
PROBLEM = {"content-type": "application/problem+json"}


def check_problem(given: Answer, expected: dict[str, Any], headers: dict[str, str]) -> None:
    """The whole answer: status, headers, every member; the texts are there and say something."""
    members = given.json
    assert members.pop("title")
    assert members.pop("detail")
    assert replace(given, body=b"") == Answer(expected["status"], headers, b"")
    assert members == expected


@contextmanager
def replies_held(emulator: Emulator) -> Iterator[None]:
    """Hold back every reply of the API until the end of the block; its calls can be seen at once."""
    released, told = threading.Event(), emulator.on_call

    def hold(call: Call) -> None:
        told(call)
        released.wait()

    emulator.on_call = hold
    try:
        yield
    finally:
        emulator.on_call = told
        released.set()


def wait_for_calls(emulator: Emulator, count: int = 1) -> None:
    """Wait until the API has so many calls."""
    while len(emulator.calls) < count:
        time.sleep(0.005)


def patient(emulator: Emulator, fault: str | None) -> Bridge:
    """A bridge whose budget load cannot use up: its clock stands still.

    It waits half a second for a reply that never ends. Its budget is over as soon as a reply begins to drip.
    """
    clock, told = StillClock(), emulator.on_call

    def hear(call: Call) -> None:
        told(call)
        if call.fault == "drip":
            clock.advance(8)

    emulator.on_call = hear
    budget = 0.5 if fault in ("hang", "stall-body") else 8
    return bridge(emulator.url, clock, REQUEST_BUDGET=budget, DOMAIN_API_RATE=10)


def calls(emulator: Emulator) -> list[tuple[str, str]]:
    """The calls that the API saw, oldest first: action and result."""
    return [(call.action, call.result) for call in emulator.calls]
