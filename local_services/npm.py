"""Install npm packages from a lock file into a folder, once for all processes until the lock file changes."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

FILES = (".npmrc", "package.json", "package-lock.json")
INSTALL_LIMIT = 240.0
"""Seconds that `npm ci` may take."""


def environ(packages: Path) -> dict[str, str]:
    """Return an environment in which a script finds these packages, without proxies."""
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return kept | {"NODE_PATH": str(packages)}


def are_there() -> bool:
    """Return whether Node and npm are on PATH."""
    return shutil.which("node") is not None and shutil.which("npm") is not None


def installed(here: Path, folder: Path) -> Path:
    """Install the packages of the lock file in `here` into a folder, and return its `node_modules`.

    Raises subprocess.SubprocessError if `npm ci` fails.
    """
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
