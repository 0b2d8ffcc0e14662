"""Build folders and run them as SCF does, under this machine's CPython 3.10."""

from __future__ import annotations

import os
from pathlib import Path

from bench.servers import PEERS
from signup_deploy.packaging import package
from signup_emulator.scf.instances import INTERPRETER

NO_INTERPRETER = "no CPython 3.10 on this machine"
"""The reason why a built folder was not measured."""


def build(name: str, target: Path) -> Path:
    """Build the bridge or the peer ``baseline`` in ``target`` if it is missing; return the folder for the zip."""
    if not (target / "function").exists():
        package.build(target, function=None if name == "bridge" else PEERS / name, report=lambda _: None)
    return target / "function"


def command(folder: Path, interpreter: str) -> list[str]:
    """Return the command that runs ``scf_bootstrap`` with ``interpreter``, without the interpreter's own packages."""
    return ["/bin/bash", "-c", (folder / "scf_bootstrap").read_text().replace(INTERPRETER, f"{interpreter} -S")]


def environ(folder: Path) -> dict[str, str]:
    """Return the interpreter's environment as on SCF."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "TENCENTCLOUD_RUNENV": "SCF",
    }


def drop_from_cache(folder: Path) -> None:
    """Drop the folder's files from the page cache, so that the process that reads them is charged for the memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
