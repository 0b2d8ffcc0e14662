"""The command `signup-bridge` of this checkout, in a process of its own."""

from __future__ import annotations

import sys

from tests.support import ROOT

COMMAND = (sys.executable, "-m", "signup_bridge")

IMPORTS = {"PYTHONPATH": f"{ROOT / 'function'}:{ROOT}"}
"""What the environment of such a process must contain; `.venv/bin/signup-bridge` does it by itself."""
