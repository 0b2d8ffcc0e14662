"""The command `signup-bridge` of this checkout, in a process of its own or in this one."""

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
"""What the environment of such a process must contain; `.venv/bin/signup-bridge` needs none of it."""


def run_command(command: Sequence[str], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with variables added to this process's environment."""
    environment = os.environ | IMPORTS | environ
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False)


def call(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command that ends soon in this process, with variables added. An interpreter takes longer to start."""
    output, errors = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environ), redirect_stdout(output), redirect_stderr(errors):
        try:
            status = main(arguments)
        except SystemExit as end:  # of argparse
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, output.getvalue(), errors.getvalue())
