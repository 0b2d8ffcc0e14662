"""Find a CPython 3.10 on this machine. It is SCF's newest Python, and only 3.10 can compile bytecode for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path


def find() -> str | None:
    """Return the path of a CPython 3.10 outside virtual environments, None if there is none."""
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
    """Return the resolved path if it is a CPython 3.10. A pyenv shim of an inactive version fails."""
    program = "import os, sys; print(*sys.version_info[:2], sys.implementation.name, os.path.realpath(sys.executable))"
    try:
        done = subprocess.run([path, "-I", "-c", program], capture_output=True, text=True, timeout=30, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return None
    output = done.stdout.rstrip("\n")
    return output.removeprefix("3 10 cpython ") if output.startswith("3 10 cpython ") else None
