"""Test `make run-scf`: the built zip and the emulator, started and stopped from a terminal."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_toolkit import ports
from tests.support import ROOT, log_audit
from tests.support.bridge.targets import Scf
from tests.support.emulator.command import COMMAND, IMPORTS, call

PROGRAM = """
import sys
from pathlib import Path
from signup_toolkit import python310
from signup_bridge.cli import main
from signup_emulator.scf import scf_bridge
scf_bridge.ARCHIVE = Path(sys.argv[1])
if sys.argv[2] == "without":
    python310.find = lambda: None
sys.exit(main(sys.argv[3:]))
"""


def start(
    archive: Path, log: Path, *arguments: str, python310: str = "with", **environ: str
) -> subprocess.Popen[bytes]:
    defaults = {"PORT": str(ports.free()), "EMULATOR_PORT": str(ports.free()), "LOG_LEVEL": "DEBUG"}
    log_audit.watch_log(log, DEMO_SECRET_ID, DEMO_SECRET_KEY)
    command = [
        sys.executable,
        "-c",
        PROGRAM,
        str(archive),
        python310,
        "run",
        "--state",
        str(log.with_name("state")),
        *arguments,
    ]
    with log.open("wb") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env=os.environ | IMPORTS | defaults | environ, stdout=output, stderr=output
        )


@pytest.mark.parametrize("shape", ["web", "event"])
def test_run_scf_processes_printed_command(scf: Scf, tmp_path: Path, shape: str) -> None:
    log = tmp_path / "log"
    process = start(scf.archive, log, "--scf", shape)
    try:
        end = time.monotonic() + 120
        while "Ctrl-C stops both" not in log.read_text():
            assert time.monotonic() < end, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        (line,) = [line.strip() for line in log.read_text().splitlines() if " -m signup_bridge send" in line]
        done = call(*shlex.split(line)[len(COMMAND) :])
        assert (done.returncode, "\n200 verified\n" in done.stdout) == (0, True)
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    assert re.search(f"as SCF runs an? {shape} function", log.read_text())
    assert '"outcome": "verified"' in log.read_text()


@pytest.mark.parametrize(
    ("archive", "python310", "says"),
    [
        (False, "with", "{archive} is missing; build it with `"),
        (True, "without", "CPython 3.10, which SCF runs, was not found; install it"),
    ],
)
def test_run_scf_reports_missing_zip_or_python(
    scf: Scf, tmp_path: Path, archive: bool, python310: str, says: str
) -> None:
    there = scf.archive if archive else tmp_path / "none.zip"
    process = start(there, tmp_path / "log", "--scf", "web", python310=python310)
    assert process.wait(timeout=60) == 1
    assert (tmp_path / "log").read_text().startswith(f"signup-bridge run: {says.format(archive=there)}")


def test_run_scf_reports_invalid_setting_before_start(scf: Scf, tmp_path: Path) -> None:
    process = start(scf.archive, tmp_path / "log", "--scf", "web", WEBHOOK_TOLERANCE="soon")
    assert process.wait(timeout=60) == 1
    printed = (tmp_path / "log").read_text()
    assert re.fullmatch(
        r"signup-bridge run: startup failed:\n  [^\n]*WEBHOOK_TOLERANCE[^\n]* must be a number [^\n]*\n", printed
    ), printed
