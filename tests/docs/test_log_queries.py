"""Compare the log sample of docs/reference/logs.md with real lines, and run the queries of docs/guides/operate.md."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.telemetry.logs import JsonFormatter, log

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.deliveries import WRONG, deliver
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import body, signed
from tests.support.log_lines import lines_of

GUIDE = (ROOT / "docs" / "guides" / "operate.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "logs.md").read_text()
(SHELL,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
QUESTIONS = dict(re.findall(r"^# (.*)\n(.*)$", SHELL, re.MULTILINE))

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture
def written(emulator: Emulator, tmp_path: Path) -> Path:
    """Write a log of deliveries with several outcomes; return its folder."""
    handler = logging.FileHandler(tmp_path / "log")
    handler.setFormatter(JsonFormatter())
    log.addHandler(handler)
    try:
        one = bridge(emulator.url)
        emulator.faults.arm(Fault("close"))
        for _ in range(3):  # unknown, found out, replayed
            deliver(one)
        traced = signed(body()) | {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "X-Scf-Request-Id": "r-1"}
        one.post(body(), traced)
        one.post(b"", {})
        deliver(one, "wrong", contact="10086", verify_code=WRONG)
        bridge(emulator.url, TENCENT_SECRET_KEY="wrong").deliver()
    finally:
        log.removeHandler(handler)
        handler.close()
    return tmp_path


def ask(question: str, of: Path, **environ: str) -> str:
    if not shutil.which("jq"):
        pytest.skip("no jq on PATH")
    command = ["bash", "-euo", "pipefail", "-c", QUESTIONS[question]]
    variables = {"PATH": os.environ["PATH"]} | environ
    return subprocess.run(command, cwd=of, env=variables, capture_output=True, text=True, check=True).stdout


def test_documented_sample_equals_log_line(written: Path) -> None:
    sample, *more = lines_of("\n".join(re.findall(r"```json\n(.*?)\n```", REFERENCE, re.DOTALL)))
    assert not more
    (real,) = [line for line in lines_of((written / "log").read_text()) if "trace_id" in line]
    assert list(real) == list(sample)
    same = ("level", "message", "trace_id", "outcome", "type", "contact", "api_code", "status")
    assert {name: real[name] for name in same} == {name: sample[name] for name in same}


def test_documented_queries_return_expected_results(written: Path) -> None:
    lines = lines_of((written / "log").read_text())
    deliveries = [line for line in lines if line["message"] == "delivery"]
    assert len(deliveries) == 7
    times = sorted(line["duration_ms"] for line in deliveries)
    expected_rows: dict[str, Any] = {
        "number of deliveries by outcome": Counter(line["outcome"] for line in deliveries),
        "number of deliveries by minute and outcome": Counter(
            f"{line['time'][:16]} {line['outcome']}" for line in deliveries
        ),
        "errors": [line for line in lines if line["level"] == "ERROR"],
        "all lines of one request, by the X-Request-Id of its response": [
            line for line in lines if line["request_id"] == "r-1"
        ],
        "median and 95th percentile of the response time, in milliseconds": [{"p50": times[3], "p95": times[6]}],
        "number of deliveries, replays and reconciled outcomes": [{"deliveries": 7, "replayed": 1, "resolved": 1}],
    }
    assert set(expected_rows) == set(QUESTIONS)
    for question, expected in expected_rows.items():
        output_lines = ask(question, written, ID="r-1").splitlines()
        if isinstance(expected, Counter):
            counted = (line.split(maxsplit=1) for line in output_lines)
            assert {what: int(count) for count, what in counted} == expected
        else:
            assert [json.loads(line) for line in output_lines] == expected
            assert output_lines
