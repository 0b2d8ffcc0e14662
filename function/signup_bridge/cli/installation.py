"""Find the parts of this installation: the command itself, and the files beside the package ``signup_bridge``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
"""The folder of the package ``signup_bridge``."""

CARRIED = PACKAGE / "files"
"""The folder in which an installation carries the files that do not belong to a package."""

COMMAND = "signup-bridge"


def data_file(name: str) -> Path:
    """Return the path of a file outside the packages, such as ``gunicorn.conf.py`` or ``serverless.yml``.

    The zip has the function's files beside the package. So has a checkout, with the project's files one folder higher.
    Raises FileNotFoundError.
    """
    for folder in (CARRIED, PACKAGE.parent, PACKAGE.parent.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is missing from the installation of signup-bridge; install it again")


def command_words() -> list[str]:
    """Return the words that run ``signup-bridge`` from the current folder, as this process was started."""
    program = Path(sys.argv[0])
    if program.stem != COMMAND:
        return [_typed(sys.executable), "-m", "signup_bridge"]
    return [COMMAND if shutil.which(COMMAND) == str(program) else _typed(str(program))]


def _typed(path: str) -> str:
    """Return a path below the current folder without that folder."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
