"""Install the npm packages that the tests need into `build/node`."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_services.npm import INSTALL_LIMIT, are_there, environ, installed
from tests.support import ROOT

__all__ = ["HERE", "INSTALL_LIMIT", "are_there", "environ", "install", "installed"]

HERE = ROOT / "tests" / "node"


def install() -> Path:
    """Install the packages and return the folder `node_modules`. Skip the test if Node is missing.

    Raises subprocess.SubprocessError if `npm ci` fails.
    """
    if not are_there():
        pytest.skip("no node or no npm on this machine (Debian: apt-get install nodejs npm)")
    return installed(HERE, ROOT / "build" / "node")
