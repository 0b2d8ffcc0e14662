"""A CPython 3.10 on this machine: SCF's newest Python, whose bytecode no other version can write."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def find() -> str | None:
    """The path of a Python 3.10 that runs, of no virtual environment; None when there is none."""
    return next(filter(None, map(_if_3_10, _candidates())), None)


def _candidates() -> Iterator[str]:
    yield sys.executable
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    on_path = shutil.which("python3.10")
    if on_path:
        yield on_path
        if Path(on_path).parent.name == "shims":
            pyenv = Path(on_path).parent.parent
    yield from sorted(map(str, pyenv.glob("versions/3.10*/bin/python3.10")), reverse=True)


def _if_3_10(path: str) -> str | None:
    """Its own path, if it is one; pyenv's stand-in for a version that is not switched on fails."""
    program = "import os, sys; print(*sys.version_info[:2], sys.implementation.name, os.path.realpath(sys.executable))"
    try:
        done = subprocess.run([path, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = done.stdout.rstrip("\n")
    return told.removeprefix("3 10 cpython ") if told.startswith("3 10 cpython ") else None
