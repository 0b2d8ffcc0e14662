"""Builds what SCF runs, and deploys it; never deployed itself."""

import sys
from pathlib import Path

# The function's own check of its settings judges what is going to be deployed.
sys.path.append(str(Path(__file__).resolve().parent.parent / "function"))
