"""Check out and build the bridge of an earlier commit, to measure it in the same run as the current one."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.servers import ROOT

COMMIT = "6d831f2"
"""The last commit that had its own HTTP client, its own gunicorn worker and batched database commits."""

ABSENT = f"{COMMIT} is not in this clone; fetch it: git fetch --unshallow"
"""The reason why a comparison with it was not measured."""

_BUILD = "import sys; from pathlib import Path; from deploy import package; package.build(Path(sys.argv[1]))"


def checkout(folder: Path) -> Path | None:
    """Write the commit's files to the folder and return it, or None if this clone does not have the commit."""
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def build(root: Path, target: Path) -> Path:
    """Build the commit's zip with its own code; return the zip's folder."""
    subprocess.run([sys.executable, "-c", _BUILD, str(target)], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return target / "function"
