"""The command `signup-bridge` of this checkout, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests.support import ROOT

COMMAND = (sys.executable, "-m", "signup_bridge")

IMPORTS = {"PYTHONPATH": f"{ROOT / 'function'}:{ROOT}"}
"""What the environment of such a process must contain; `.venv/bin/signup-bridge` does it by itself."""


def run_command(command: Sequence[str], **environ: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, with variables added to this process's environment."""
    environment = os.environ | IMPORTS | environ
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=150, check=False)
