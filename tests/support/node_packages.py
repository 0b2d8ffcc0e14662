"""What the tests need of npm, installed from its lock into `build/node`: once for all workers, until it changes."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.builders import ROOT

HERE = ROOT / "tests" / "node"
FILES = (".npmrc", "package.json", "package-lock.json")
INSTALL_LIMIT = 240.0


def environ(packages: Path) -> dict[str, str]:
    """The environment in which a script finds them; no proxy stands before what runs on this machine."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"NODE_PATH": str(packages)}


def install() -> Path:
    """The folder `node_modules`, as NODE_PATH wants it. Skips the test where there is no node.

    Raises subprocess.SubprocessError when `npm ci` fails.
    """
    if not are_there():
        pytest.skip("no node or no npm on this machine (Debian: apt-get install nodejs npm)")
    return installed(HERE, ROOT / "build" / "node")


def are_there() -> bool:
    return shutil.which("node") is not None and shutil.which("npm") is not None


def installed(here: Path, folder: Path) -> Path:
    """The folder `node_modules` of what the lock in `here` names. Raises subprocess.SubprocessError."""
    folder.mkdir(parents=True, exist_ok=True)
    wanted = b"".join((here / name).read_bytes() for name in FILES)
    done, modules = folder / "done", folder / "node_modules"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not modules.exists() or not done.exists() or done.read_bytes() != wanted:
            done.unlink(missing_ok=True)
            for name in FILES:
                shutil.copy(here / name, folder)
            subprocess.run(["npm", "ci"], cwd=folder, check=True, timeout=INSTALL_LIMIT, stdout=subprocess.DEVNULL)
            done.write_bytes(wanted)
    return modules
