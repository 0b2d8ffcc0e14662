"""Test that the log audit finds each kind of output, and that its hook fails a test that leaks."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support import ROOT, log_audit
from tests.support.bridge.instances import environment
from tests.support.bridge.signed_requests import CODE, PHONE, SECRET, body, signed

MAIL = "jürgen.someone@example.com"
CARRIED = [PHONE, CODE, MAIL]


def base64_of(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize("value", CARRIED)
@pytest.mark.parametrize(
    "written",
    [
        lambda value: value,
        lambda value: json.dumps({"a": [value]}),
        lambda value: quote(value, safe=""),
        lambda value: "".join(f"%{byte:02x}" for byte in value.encode()),
        base64_of,
        lambda value: base64_of(f"{{{value}").rstrip("="),
        lambda value: base64_of(f'{{"contact":"{value}"}}').replace("+", "-").replace("/", "_"),
        lambda value: value.encode().hex(),
        lambda value: f'f{value.encode().hex().upper()}"',
        lambda value: "".join(f"\\u{ord(one):04x}" for one in value),
    ],
)
def test_leaks_finds_values_in_every_encoding(value: str, written: Callable[[str], str]) -> None:
    log_audit.carry(*CARRIED)
    assert log_audit.leaks(f"a line with {written(value)} in it") == [value]


def test_leaks_finds_signatures_and_secrets() -> None:
    signature = signed(body())["webhook-signature"]
    key = "a-key-of-the-ledger-0123456789abcdef"
    environment("http://127.0.0.1:1", LEDGER_KEY=key)
    for text in (signature, quote(signature), signature.encode().hex()):
        assert log_audit.leaks(text) == [signature.removeprefix("v1,")]
    assert log_audit.leaks(f"x {SECRET}") == [SECRET.removeprefix("whsec_")]
    assert log_audit.leaks(json.dumps({"key": key})) == [key]


@pytest.mark.parametrize(
    "text",
    [
        '{"contact": "187****4433", "duration_ms": 9123456.7}',
        '{"request_id": "c1ab2d3e-0000-4000-8000-123456000000"}',
        "Booting worker with pid: 123456",
        "0123456789abcdef0123456789abcdef",
    ],
)
def test_leaks_ignores_accidental_matches(text: str) -> None:
    assert log_audit.leaks(text) == []


LEAKING = """
import logging, os, sqlite3, subprocess, sys
from pathlib import Path
from tests.support import log_audit

log_audit.carry("18766554433", "c0dec0de")

def test_line():
    logging.getLogger("signup_bridge").debug("%s", "x 18766554433")

def test_field():
    logging.getLogger("signup_bridge").info("x", extra={"fields": {"contact": "18766554433"}})

def test_output():
    subprocess.run(["echo", "c0dec0de"], check=True)

def test_log(tmp_path):
    log_audit.watch_log(tmp_path / "log")
    (tmp_path / "log").write_text("one\\nMTg3NjY1NTQ0MzM=\\n")

def test_ledger(tmp_path):
    log_audit.watch_ledger(tmp_path / "ledger.db")
    db = sqlite3.connect(tmp_path / "ledger.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("CREATE TABLE deliveries (outcome TEXT, contact BLOB)")
    db.execute("INSERT INTO deliveries VALUES ('verified', ?)", (b"18766554433",))
    db.commit()
    globals()["open"] = db

def test_nothing():
    logging.getLogger("signup_bridge").info("187****4433")
"""


def test_log_audit_hook_fails_leaking_test(tmp_path: Path) -> None:
    (tmp_path / "test_leaking.py").write_text(LEAKING)
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("function", "."))}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "tests.support.log_audit",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        "-q",
    ]
    command += [option for unused in ("anyio", "schemathesis", "valkey") for option in ("-p", f"no:{unused}")]
    done = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", tmp_path, tmp_path],
        cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    failed = [line.split("::")[1].split()[0] for line in done.stdout.splitlines() if line.startswith("ERROR ")]
    assert failed == ["test_line", "test_field", "test_output", "test_log", "test_ledger"], done.stdout
