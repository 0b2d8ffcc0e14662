"""Find the function's files, in a checkout or in an installation."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from signup_bridge.cli.installation import CARRIED, PACKAGE, data_file

ROOT_FILES = ("gunicorn.conf.py", "index.py", "scf_bootstrap")
"""The function's files outside the package ``signup_bridge``."""


@contextmanager
def function_folder() -> Iterator[Path]:
    """Yield the folder whose content goes into the zip: a checkout's ``function/``, or a copy from an installation."""
    if not CARRIED.exists():
        yield PACKAGE.parent
        return
    with tempfile.TemporaryDirectory(prefix="signup-bridge-") as temporary:
        folder = Path(temporary)
        ignored = shutil.ignore_patterns("__pycache__", CARRIED.name)
        shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=ignored)
        for name in ROOT_FILES:
            shutil.copyfile(data_file(name), folder / name)
        yield folder
