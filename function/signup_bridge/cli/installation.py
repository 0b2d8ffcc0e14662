"""Find the command and the files of this installation."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "files"
"""The folder of the package ``signup_bridge``, and the one for files outside the packages in an installed wheel."""

COMMAND = "signup-bridge"


def data_file(name: str) -> Path:
    """Return the path of a file outside the packages, such as ``gunicorn.conf.py``. Raises FileNotFoundError.

    In the zip and in a checkout it is beside the package, or in the checkout's root.
    """
    for folder in (CARRIED, PACKAGE.parent, PACKAGE.parent.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is missing from the installation of signup-bridge; install it again")


def command_words() -> list[str]:
    """Return the command that started this process, as typed in the current folder."""
    program = Path(sys.argv[0])
    if program.stem != COMMAND:
        return [_shorten(sys.executable), "-m", "signup_bridge"]
    return [COMMAND if shutil.which(COMMAND) == str(program) else _shorten(str(program))]


def command_line(*arguments: str) -> str:
    """Return this command with arguments, for a shell in the current folder: hints are to be copied."""
    return shlex.join([*command_words(), *arguments])


def _shorten(path: str) -> str:
    """Return a path below the current folder relative to it."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
