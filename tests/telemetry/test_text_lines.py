"""Test the text format of the log: one line of printable ASCII per entry, at a terminal or with LOG_FORMAT=text."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.telemetry import logs
from signup_bridge.telemetry.text_lines import format_line

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import ROOT, log_audit
from tests.support.bridge.instances import environment, gunicorn, post, wait_for
from tests.support.bridge.signed_requests import CODE, PHONE, body
from tests.support.log_lines import lines_of
from tests.support.terminals import in_terminal
from tests.telemetry.test_logs import CONTACT, HIDDEN, every_scenario

DELIVERY = {
    "time": "2026-11-23T12:59:49.360Z",
    "level": "INFO",
    "message": "delivery",
    "request_id": "c1ab2d3e-0000-4000-8000-000000000000",
    "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    "outcome": "verified",
    "type": "phone",
    "contact": "187****4433",
    "api_request_id": "16da2f6f-c8cc-438e-9330-3543358cb78a",
    "status": 200,
    "duration_ms": 3.7,
    "wait_ms": 0.1,
    "upstream_ms": 2.0,
}
OTHER = {"time": "2026-11-23T12:59:49.360Z", "level": "WARNING", "message": "WEBHOOK_AUTH=none: any caller is trusted"}
LINE = r"^[0-9]{2}:[0-9]{2}:[0-9]{2}  "


@pytest.fixture
def china_time(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (DELIVERY, "200 verified  187****4433  3.7 ms"),
        (DELIVERY | {"replayed": True}, "200 verified  187****4433  3.7 ms  replayed"),
        (
            DELIVERY | {"outcome": "code-incorrect", "status": 422, "api_code": "InternalError.VerifyCodeErr"},
            "422 code-incorrect  187****4433  3.7 ms  api_code=InternalError.VerifyCodeErr",
        ),
        (
            DELIVERY | {"level": "ERROR", "outcome": "bridge-misconfigured", "status": 500, "remedy": "the API key"},
            'ERROR  500 bridge-misconfigured  187****4433  3.7 ms  remedy="the API key"',
        ),
        (
            {**OTHER, "level": "INFO", "outcome": "signature-invalid", "status": 401, "duration_ms": 0.4},
            "401 signature-invalid  0.4 ms",
        ),
        ({**OTHER, "outcome": "overloaded", "status": 503}, "WARNING  503 overloaded"),
        (OTHER, "WARNING  WEBHOOK_AUTH=none: any caller is trusted"),
        (OTHER | {"message": "a", "problems": ["b c"], "reason": ""}, 'WARNING  a  problems=["b c"]  reason=""'),
        (OTHER | {"logger": "urllib3"}, f"WARNING  {OTHER['message']}  logger=urllib3"),
    ],
)  # fmt: skip
def test_format_line_shows_what_a_person_needs(china_time: None, line: dict[str, Any], text: str) -> None:
    assert format_line(line) == f"20:59:49  {text}"


@pytest.mark.parametrize("member", ["message", "contact", "outcome", "level", "api_code", "reason"])
@pytest.mark.parametrize("line", [DELIVERY, OTHER])
def test_format_line_escapes_line_breaks_and_control_characters(line: dict[str, Any], member: str) -> None:
    text = format_line(line | {member: "a\r\nb\x1b[2J\x7f\x9b\u2028\u202e\ud800é"})
    assert re.fullmatch(r"[ -~]+", text)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@given(st.dictionaries(st.text(), VALUES), st.fixed_dictionaries({"level": st.text(), "message": st.text()}))
def test_format_line_is_one_line_of_printable_ascii(fields: dict[str, Any], texts: dict[str, str]) -> None:
    for line in (DELIVERY | fields | texts, OTHER | fields | texts):
        assert re.fullmatch(r"[ -~]+", format_line(line | {"time": DELIVERY["time"]}))


def test_value_with_columns_in_it_is_quoted() -> None:
    forged = format_line(DELIVERY | {"api_code": "x  200 verified"})
    assert forged.endswith('3.7 ms  api_code="x  200 verified"')


def test_text_formatter_hides_what_the_json_formatter_hides() -> None:
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(logs.TextFormatter())
    with pytest.raises(ValueError, match=CONTACT) as raised:
        int(CONTACT + "x")
    details = (raised.type, raised.value, raised.tb)
    handler.handle(logging.LogRecord("gunicorn.error", logging.ERROR, "", 0, "request %s", (CONTACT,), details))
    handler.handle(logging.LogRecord("urllib3", logging.WARNING, "/lib/pool.py", 75, "sent %s", (CONTACT,), None))
    first, second = output.getvalue().splitlines()
    assert re.search(LINE + r"ERROR  request %s  logger=gunicorn\.error  error=ValueError  stack=\[", first)
    assert re.search(LINE + r"WARNING  pool\.py:75  logger=urllib3$", second)
    assert CONTACT not in output.getvalue()


@pytest.mark.parametrize(
    ("log_format", "terminal", "formatter"),
    [
        ("auto", True, logs.TextFormatter),
        ("auto", False, logs.JsonFormatter),
        ("json", True, logs.JsonFormatter),
        ("text", False, logs.TextFormatter),
    ],
)
def test_dict_config_follows_log_format(
    monkeypatch: pytest.MonkeyPatch, log_format: str, terminal: bool, formatter: type[logging.Formatter]
) -> None:
    monkeypatch.setattr("sys.stdout", io.StringIO())
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    assert logs.dict_config("INFO", log_format)["formatters"]["line"] == {"()": formatter}


def test_text_log_of_all_that_can_happen_hides_personal_data(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log, LOG_FORMAT="text", REQUEST_BUDGET=2) as url:
        every_scenario(emulator, url)
        emulator.faults.arm(Fault("AuthFailure.SecretIdNotFound"))
        post(url, body(contact=CONTACT))
    written = log.read_text()
    assert [line for line in written.splitlines() if not re.search(LINE + "[ -~]+$", line)] == []
    assert {"200 verified", "422 code-incorrect", "ERROR  500 bridge-misconfigured"} <= set(
        re.findall(LINE + "((?:ERROR  )?[0-9]{3} [a-z-]+)", written, re.MULTILINE)
    )
    assert re.search(LINE + "INFO  Listening at: http://", written, re.MULTILINE)
    assert [one for one in HIDDEN if one in written] == []


@pytest.mark.parametrize(("changed", "as_text"), [({}, True), ({"LOG_FORMAT": "json"}, False)], ids=["auto", "json"])
def test_bridge_at_terminal_writes_text_unless_json_is_set(
    emulator: Emulator, tmp_path: Path, changed: dict[str, str], as_text: bool
) -> None:
    port = ports.free()
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COV")}
    environ = kept | environment(emulator.url, HOST="127.0.0.1", PORT=str(port), **changed)
    command = [sys.executable, "-m", "signup_bridge", "serve"]
    with in_terminal(command, environ | {"PYTHONPATH": str(ROOT / "function")}) as terminal:
        terminal.wait_for("Booting worker with pid")
        (tmp_path / "log").write_text(terminal.text)
        wait_for(f"http://127.0.0.1:{port}/health", terminal.process, tmp_path / "log")
        assert post(f"http://127.0.0.1:{port}", body()).status == 200
        terminal.wait_for("verified.*\n")
        terminal.process.terminate()
        assert terminal.wait() == 0
    assert log_audit.leaks(terminal.text) == []
    if as_text:
        lines = terminal.text.splitlines()
        assert [line for line in lines if re.search(LINE + r"200 verified  187\*{4}4433  [0-9.]+ ms$", line)]
        assert [line for line in lines if not re.search(LINE, line)] == []
    else:
        assert [line["outcome"] for line in lines_of(terminal.text) if line["message"] == "delivery"] == ["verified"]
        assert len(lines_of(terminal.text)) == len(terminal.text.splitlines())
    assert (PHONE in terminal.text, CODE in terminal.text) == (False, False)
