"""Install the linters and generators for /openapi.json from their lock files, once for all workers."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import ROOT
from tests.support.tools import node_packages

HERE = ROOT / "tests" / "openapi_clients"
LOCK = HERE / "requirements.txt"


def python_packages() -> Path:
    """Return the `bin` of an environment with the generator of Python clients, which needs Python 3.11 or later."""
    folder = ROOT / "build" / "openapi-python"
    folder.mkdir(parents=True, exist_ok=True)
    venv, done, wanted = folder / "venv", folder / "done", LOCK.read_text()
    uv = [sys.executable, "-m", "uv", "--quiet"]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists() or done.read_text() != wanted:
            done.unlink(missing_ok=True)
            run([*uv, "venv", "--clear", "--no-python-downloads", "--python", ">=3.11", str(venv)])
            options = ["--python", str(venv / "bin" / "python"), "--require-hashes", "--no-deps", "-r", str(LOCK)]
            run([*uv, "pip", "install", *options])
            done.write_text(wanted)
    return venv / "bin"


def node_modules() -> Path:
    """Return the folder `node_modules`. Skip the test if Node is missing."""
    if not node_packages.are_there():
        pytest.skip("no node or no npm on this machine (Debian: apt-get install nodejs npm)")
    return node_packages.installed(HERE, ROOT / "build" / "openapi-node")


def run(command: list[str], **options: object) -> str:
    """Return the output of a command. If it fails, fail the test with the whole output."""
    limit = node_packages.INSTALL_LIMIT
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return str(done.stdout)
