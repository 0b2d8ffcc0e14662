"""Find the command and the files of this installation."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
CARRIED = PACKAGE / "files"
"""The folder of the package ``signup_bridge``, and the folder of an installed wheel for files outside the packages."""

COMMAND = "signup-bridge"


def data_file(name: str) -> Path:
    """Return the path of a file outside the packages, such as ``gunicorn.conf.py``. Raises FileNotFoundError.

    In the zip and in a checkout, the file is next to the package, or in the root of the checkout.
    """
    for folder in (CARRIED, PACKAGE.parent, PACKAGE.parent.parent):
        if (folder / name).exists():
            return folder / name
    raise FileNotFoundError(f"{name} is missing from the installation of signup-bridge; install it again")


def command_words() -> list[str]:
    """Return the command that started this process, as it is typed in the current folder."""
    program = Path(sys.argv[0])
    if program.stem != COMMAND:
        return [_shorten(sys.executable), "-m", "signup_bridge"]
    return [COMMAND if shutil.which(COMMAND) == str(program) else _shorten(str(program))]


def command_line(*arguments: str) -> str:
    """Return this command with arguments, ready to copy into a shell in the current folder."""
    return shlex.join([*command_words(), *arguments])


def _shorten(path: str) -> str:
    """Return a path below the current folder relative to it."""
    relative = os.path.relpath(path)
    return path if relative.startswith(os.pardir) else relative
