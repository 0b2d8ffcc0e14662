"""Run the command `signup-bridge` of this checkout, in a separate process or in this one."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from unittest import mock

from signup_bridge.cli import main

from tests.support import ROOT

COMMAND = (sys.executable, "-m", "signup_bridge")

IMPORTS = {"PYTHONPATH": f"{ROOT / 'function'}:{ROOT}"}
"""The variables that a separate process needs. `.venv/bin/signup-bridge` works without them."""


def run_command(command: Sequence[str], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits, with variables added to this process's environment."""
    environment = os.environ | IMPORTS | environ
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False)


def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a short command in this process, with variables added, because starting an interpreter takes longer."""
    output, errors = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environ), redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as end:  # raised by argparse
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())
