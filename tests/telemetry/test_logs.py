"""Test that no log line of any level contains personal data or a secret."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import socket
import time
from dataclasses import asdict
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from signup_bridge.telemetry import logs

from signup_emulator.api.account.domain import SentCode
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.api.faults.wire_faults import WIRE_FAULTS
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports, senders
from tests.support.bridge.event_builders import CONTEXT, gateway_event, invoke, url_event
from tests.support.bridge.instances import environment, gunicorn, post
from tests.support.bridge.signed_requests import SECRET, body, signed

CONTACT, MAIL, GOOD, WRONG = "13912345678", "somebody.else@example.com", "Zq7xKw9b", "Yp6vJn8c"
HIDDEN = [
    CONTACT, CONTACT[-8:], MAIL, "somebody", GOOD, WRONG, SECRET.removeprefix("whsec_"), DEMO_SECRET_ID,
    DEMO_SECRET_KEY, "v1,", "TC3-HMAC-SHA256", "a-token-of-somebody",
]  # fmt: skip


def with_a_code(emulator: Emulator) -> None:
    known = emulator.domain.snapshot()
    known["codes"].append(asdict(SentCode((1, CONTACT), GOOD, time.time())))
    emulator.domain.restore(known)


def raw(url: str, data: bytes) -> bytes:
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while chunk := connection.recv(65_536):
            received += chunk
        return received


def every_scenario(emulator: Emulator, url: str) -> None:
    """Run every scenario of a delivery to a web function."""
    data = body(contact=CONTACT, verify_code=WRONG)
    assert post(url, data).json["code"] == "code-incorrect"
    with_a_code(emulator)
    assert post(url, body(contact=CONTACT, verify_code=GOOD)).json["code"] == "verified"
    assert post(url, body(contact=CONTACT, verify_code=GOOD)).json["code"] == "already-verified"
    post(url, body(type="email", contact=MAIL, verify_code=WRONG))
    for fault in (
        *WIRE_FAULTS,
        "RequestLimitExceeded",
        "AuthFailure.SignatureFailure",
        "InternalError.AddPhoneEmailErr",
    ):
        emulator.faults.arm(Fault(fault))
        post(url, data)
    assert post(url, data, {}).json["code"] == "signature-invalid"
    assert post(url, data, signed(data, at=1_000_000_000)).status == 401
    assert post(url, data, signed(data) | {"webhook-id": f"{CONTACT}.{MAIL}"}).status == 401
    assert post(url, data, {"Authorization": "Bearer a-token-of-somebody"}).status == 401
    assert post(url, data, signed(data) | {"X-Scf-Request-Id": MAIL}).status == 409
    assert post(url, data, signed(data) | {"Content-Type": f"text/{WRONG}"}).status == 415
    for faulty in (
        body(contact=CONTACT, verify_code=WRONG + "!"),
        body(type=MAIL),
        data[:-1],
        f'{{"{MAIL}": 1, "{MAIL}": 2}}'.encode(),
    ):
        assert post(url, faulty).status in (400, 422)
    assert post(url, body(contact=CONTACT, padding="x" * 20_000)).status == 413
    assert post(f"{url}/{CONTACT}?code={GOOD}", data).status == 404
    assert requests.delete(f"{url}/?contact={MAIL}", timeout=60).status_code == 405
    assert post(url, data, signed(data) | {"X-Scf-Request-Id": CONTACT}).status == 409
    for head in (
        f"POST /{MAIL} HTTP/9.9\r\n\r\n",
        f"{CONTACT} / HTTP/1.1\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\n{MAIL} {GOOD}\r\n\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nwebhook-signature: v1,\x00{GOOD}\r\n\r\n",
        f"POST /{CONTACT} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: {MAIL}\r\n\r\n",
        f"POST /?{MAIL} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{GOOD}\r\n{CONTACT}\r\n",
        f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{CONTACT}",
    ):
        assert not raw(url, head.encode("latin-1")).startswith(b"HTTP/1.1 2")


def test_web_function_log_hides_personal_data_and_secrets(tmp_path: Path) -> None:
    log = tmp_path / "log"
    dead = f"http://127.0.0.1:{ports.free()}"
    with Emulator(rate=0) as emulator:
        with gunicorn(emulator.url, log, LOG_LEVEL="DEBUG", REQUEST_BUDGET=2) as url:
            every_scenario(emulator, url)
        with gunicorn(dead, tmp_path / "unreachable", LOG_LEVEL="DEBUG") as url:
            assert post(url, body(contact=CONTACT, verify_code=GOOD)).json["code"] == "upstream-unreachable"
    written = log.read_text() + (tmp_path / "unreachable").read_text()
    lines = [json.loads(line) for line in written.splitlines()]
    outcomes = {line.get("outcome") for line in lines}
    assert {"verified", "code-incorrect", "outcome-unknown", "signature-invalid", "upstream-unreachable"} <= outcomes
    assert {"139****5678", "s***@example.com"} <= {line.get("contact") for line in lines}
    assert [one for one in HIDDEN if one in written] == []


@pytest.mark.parametrize("auth", ["github", "bearer"])
def test_scheme_secret_is_never_logged(tmp_path: Path, auth: str) -> None:
    secret, data = "a-token-of-somebody", body(contact=CONTACT, verify_code=WRONG)
    log = tmp_path / "log"
    with (
        Emulator(rate=0) as emulator,
        gunicorn(emulator.url, log, LOG_LEVEL="DEBUG", WEBHOOK_AUTH=auth, WEBHOOK_SECRETS=secret) as url,
    ):
        sender = senders.default_sender(auth)
        assert post(url, data, senders.sign_headers(data, sender=sender, secret=secret)).status == 422
        assert post(url, data, senders.sign_headers(data, sender=sender, secret=GOOD)).status == 401
    written = log.read_text()
    assert '"outcome": "signature-invalid"' in written
    assert [one for one in [*HIDDEN, "sha256="] if one in written] == []


def test_event_function_log_and_response_hide_personal_data() -> None:
    data = body(contact=CONTACT, verify_code=WRONG)
    with Emulator(rate=0) as emulator:
        with_a_code(emulator)
        responses, written = invoke(
            environment(emulator.url, LOG_LEVEL="DEBUG"),
            url_event(data),
            gateway_event(body(contact=CONTACT, verify_code=GOOD)),
            {"type": "email", "contact": MAIL, "verify_code": WRONG},
            {"type": "email", "contact": MAIL + " x", "verify_code": WRONG, "id": CONTACT},
            url_event(data, httpMethod=...),
            url_event(data, headers={"authorization": f"Bearer {GOOD}"}),
            [MAIL, CONTEXT],
        )
        for fault in ("http-502", "truncate", "redirect", "error-with-charset", "AuthFailure.TokenFailure"):
            emulator.faults.arm(Fault(fault))
        more, more_written = invoke(environment(emulator.url, LOG_LEVEL="DEBUG"), *[url_event(data)] * 5)
        dead = environment(f"http://127.0.0.1:{ports.free()}", LOG_LEVEL="DEBUG")
        last, end = invoke(dead, url_event(data))
        responses, written = responses + more + last, written + more_written + end
    assert len(responses) == 13
    assert [one for one in HIDDEN if one in written + json.dumps(responses)] == []


@pytest.fixture
def output() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log_handler(output: io.StringIO) -> logging.Handler:
    handler = logging.StreamHandler(output)
    handler.setFormatter(logs.JsonFormatter())
    return handler


@pytest.mark.parametrize(
    ("name", "message", "arguments", "shown"),
    [
        ("gunicorn.error", "Invalid request from ip=1.2.3.4: 'secret'", (), "Invalid request"),
        ("gunicorn.error", "Booting worker with pid: %s", (7,), "Booting worker with pid: 7"),
        ("urllib3.connection", "Failed to parse headers: %s", (CONTACT,), "connection.py:75"),
    ],
)
def test_lines_of_other_libraries_are_reduced(
    log_handler: logging.Handler,
    output: io.StringIO,
    name: str,
    message: str,
    arguments: tuple[object, ...],
    shown: str,
) -> None:
    log_handler.handle(logging.LogRecord(name, logging.WARNING, "/lib/connection.py", 75, message, arguments, None))
    line = json.loads(output.getvalue())
    assert (line["message"], line["logger"], line["level"]) == (shown, name, "WARNING")
    assert "request_id" not in line


def test_exception_is_logged_by_class_and_place_only(log_handler: logging.Handler, output: io.StringIO) -> None:
    with pytest.raises(ValueError, match=CONTACT) as raised:
        int(CONTACT + "x")
    details = (raised.type, raised.value, raised.tb)
    record = logging.LogRecord("gunicorn.error", logging.ERROR, "", 0, "Error handling request %s", (MAIL,), details)
    log_handler.handle(record)
    line = json.loads(output.getvalue())
    assert (line["message"], line["error"]) == ("Error handling request %s", "ValueError")
    assert "telemetry/test_logs.py" in line["stack"][0]
    assert CONTACT not in output.getvalue()


def test_log_level_does_not_apply_to_other_libraries() -> None:
    levels = logs.dict_config("DEBUG")["loggers"]
    assert levels["signup_bridge"] == {"level": "DEBUG"}
    assert logs.dict_config("DEBUG")["root"]["level"] == "WARNING"


def test_gunicorn_at_debug_level_logs_no_request(emulator: Emulator, tmp_path: Path) -> None:
    """At DEBUG, gunicorn would print the head of an incomplete request."""
    log = tmp_path / "log"
    with gunicorn(emulator.url, log, GUNICORN_CMD_ARGS="--log-level debug") as url:
        raw(url, b"POST / HTTP/1.1\r\nAuthorization: Bearer a-token-of-somebody\r\n")
        assert post(url, body()).status == 200
    assert "a-token-of-somebody" not in log.read_text()
