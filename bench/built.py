"""Built folders as SCF runs them, under this machine's CPython 3.10."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from bench.servers import PEERS
from signup_deploy.packaging import package

NO_INTERPRETER = "no CPython 3.10 on this machine"
"""Why a built folder was not measured."""


def build(name: str, target: Path) -> Path:
    """Build the bridge, or the peer ``baseline``, in ``target``, unless it is there; return the zip's folder."""
    if not (target / "function").exists():
        package.build(target, function=None if name == "bridge" else PEERS / name, report=lambda _: None)
    return target / "function"


def command(folder: Path, interpreter: str) -> list[str]:
    """Return the command of the folder's ``scf_bootstrap``, with an interpreter that has no packages of its own."""
    script = (folder / "scf_bootstrap").read_text().splitlines()
    (line,) = (line for line in script if line.startswith("exec "))
    return [interpreter, "-S", *shlex.split(line)[2:]]


def environ(folder: Path) -> dict[str, str]:
    """Return the environment of the interpreter, as SCF's."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}


def drop_from_cache(folder: Path) -> None:
    """Have the kernel read the folder's files from the disk again, so that who reads them is charged for the memory."""
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)
