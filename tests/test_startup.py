"""Test a refused start: one JSON line in the log, readable text on a terminal, no traceback and no secret."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest

from tests.support import ROOT
from tests.support.bridge.instances import environment
from tests.support.log_lines import lines_of

GUNICORN = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py"]
EVENT_FUNCTION = [sys.executable, "-c", "import index"]
both_shapes = pytest.mark.parametrize("command", [GUNICORN, EVENT_FUNCTION], ids=["web", "event"])

SETTINGS = {
    "PORT": "http",
    "LEDGER_URL": "redis://default:Sup3r@S3cretTail#77@127.0.0.1:6379/0",
    "LEDGER_KEY": "k" * 31,
}
PORT = "PORT: must be a whole number from 1 to 65535"


def environ(**changed: str) -> Mapping[str, str]:
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COV")}
    return kept | environment("http://127.0.0.1:9", **SETTINGS, **changed) | {"PYTHONPATH": str(ROOT / "function")}


def start(command: list[str], env: Mapping[str, str] | None = None, **streams: Any) -> subprocess.CompletedProcess[str]:
    env = env or environ()
    return subprocess.run(command, cwd=ROOT, env=env, text=True, timeout=30, check=False, **streams)


def terminal_text(end: int) -> str:
    """Return the text that was written to a terminal, read from its other end."""
    text = b""
    try:
        while chunk := os.read(end, 65_536):
            text += chunk
    except OSError:  # on Linux, this means that the other side is closed
        pass
    os.close(end)
    return text.decode().replace("\r\n", "\n")


def check_line(text: str) -> None:
    assert len(text.splitlines()) == 1
    (line,) = lines_of(text)
    assert (line["level"], line["message"]) == ("ERROR", "startup failed")
    assert sorted(problem.partition(":")[0] for problem in line["problems"]) == ["LEDGER_KEY", "LEDGER_URL", "PORT"]
    assert PORT in line["problems"]
    assert set(line) == {"time", "level", "message", "problems"}


def check_text(text: str) -> None:
    first, *rest = text.splitlines()
    assert first == "startup failed:"
    assert sorted(line.split(":")[0] for line in rest) == ["  LEDGER_KEY", "  LEDGER_URL", "  PORT"]


def check_hidden(*texts: str) -> None:
    assert not any(part in text for text in texts for part in ("Sup3r", "S3cretTail", "kkk", "Traceback"))


@both_shapes
def test_refused_start_writes_one_log_line(command: list[str]) -> None:
    done = start(command, capture_output=True)
    assert done.returncode == 1
    check_line(done.stdout)
    assert done.stderr == ""
    check_hidden(done.stdout)


@both_shapes
def test_refused_start_on_terminal_writes_text(command: list[str]) -> None:
    end, terminal = pty.openpty()
    done = start(command, stdout=terminal, stderr=terminal)
    os.close(terminal)
    text = terminal_text(end)
    assert done.returncode == 1
    check_text(text)
    check_hidden(text)


@pytest.mark.parametrize("seen", ["stdout", "stderr"])
def test_refused_start_on_one_terminal_of_two_writes_text_there(seen: str) -> None:
    """The log follows stdout: a pipe receives the line, while a terminal at the other stream receives the text."""
    end, terminal = pty.openpty()
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, seen: terminal}
    done = start(GUNICORN, **streams)
    os.close(terminal)
    check_text(terminal_text(end))
    if seen == "stderr":
        check_line(done.stdout)
    else:
        assert done.stderr == ""


@pytest.mark.parametrize("command", [GUNICORN, [sys.executable, "-m", "signup_bridge", "serve"]], ids=["conf", "serve"])
def test_refused_start_with_log_format_text_writes_one_readable_line(command: list[str]) -> None:
    done = start(command, environ(LOG_FORMAT="text"), capture_output=True)
    assert done.returncode == 1
    assert re.fullmatch(r"[0-9:]{8}  ERROR  startup failed  problems=\[.*\]\n", done.stdout)
    assert PORT in done.stdout
    check_hidden(done.stdout)


def test_refused_start_on_scf_writes_json_in_every_log_format() -> None:
    check_line(start(GUNICORN, environ(LOG_FORMAT="text", TENCENTCLOUD_RUNENV="SCF"), capture_output=True).stdout)


def test_refused_start_output_lines_are_json() -> None:
    done = start(GUNICORN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert [json.loads(line)["message"] for line in done.stdout.splitlines()] == ["startup failed"]


def test_start_makes_no_costly_classes_and_imports_nothing_that_few_requests_need() -> None:
    """Creating a frozen dataclass takes 0.5 ms of a cold start."""
    program = """
import dataclasses, inspect, sys
import signup_bridge.app, signup_bridge.ledger.sqlite.ledger, signup_bridge.startup, signup_bridge.web.gunicorn_worker
modules = {name: module for name, module in sys.modules.items() if name.startswith("signup_bridge.")}
print(sorted({name for module in modules.values() for name, one in vars(module).items()
              if inspect.isclass(one) and dataclasses.is_dataclass(one)}))
print(*modules)
"""
    done = subprocess.run([sys.executable, "-c", program], env=environ(), capture_output=True, text=True, check=True)
    dataclasses, modules = done.stdout.splitlines()
    assert dataclasses == "['Settings']"
    rarely_needed = {"openapi.document", "openapi.request_schemas", "openapi.response_schemas"}
    assert {f"signup_bridge.web.{name}" for name in rarely_needed}.isdisjoint(modules.split())
