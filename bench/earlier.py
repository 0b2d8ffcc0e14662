"""The bridge as it was at an earlier commit, so that one run measures it beside today's."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path

from bench.servers import ROOT

COMMIT = "6d831f2"
"""The last commit with the bridge's own HTTP client, worker and batched commits."""

ABSENT = f"{COMMIT} is not in this clone; fetch it: git fetch --unshallow"
"""Why a figure beside it was not measured."""

_BUILD = "import sys; from pathlib import Path; from deploy import package; package.build(Path(sys.argv[1]))"


def checkout(folder: Path) -> Path | None:
    """Return the folder with the commit's files; None if this clone does not have the commit."""
    archive = subprocess.run(["git", "archive", COMMIT], cwd=ROOT, capture_output=True, check=False)
    if archive.returncode:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return folder


def build(root: Path, target: Path) -> Path:
    """Build the commit's zip with its own code; return the folder that the zip contains."""
    subprocess.run([sys.executable, "-c", _BUILD, str(target)], cwd=root, check=True, stdout=subprocess.DEVNULL)
    return target / "function"
