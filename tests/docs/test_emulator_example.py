"""Run the example test of a signup system in docs/reference/emulator.md."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT, log_audit
from tests.support.emulator.make_run import running_pair

GUIDE = (ROOT / "docs" / "reference" / "emulator.md").read_text()


def test_documented_example_passes(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(import requests\n.*?)```", GUIDE, re.DOTALL)
    assert example.count("http://127.0.0.1:9010") == 2
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "test_signup.py"]
    with running_pair(tmp_path) as pair:
        (tmp_path / "test_signup.py").write_text(example.replace("http://127.0.0.1:9010", pair.url))
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=150, check=False)
        log_audit.carry_document(pair.get("codes"))
    assert "2 passed" in done.stdout, done.stdout + done.stderr
