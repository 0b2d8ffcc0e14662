"""`signup-bridge run --scf`: run the built zip with the configuration of serverless.yml as the bridge."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

from signup_bridge.cli.installation import command_line

from signup_deploy.config import function_config
from signup_deploy.config.serverless_file import ConfigError
from signup_deploy.packaging.package import BUILD
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_toolkit import python310

from .function import Function, Shape
from .platform import Platform

ARCHIVE = BUILD / "function.zip"


class ScfBridge:
    """The built zip as a `BridgeHandle`, with the configuration of serverless.yml."""

    def __init__(self, environ: Mapping[str, str], port: int, shape: Shape) -> None:
        self.note = f"\n          the built zip, as SCF runs {'a web' if shape == 'web' else 'an event'} function"
        if not ARCHIVE.exists():
            raise OSError(f"{ARCHIVE} is missing; build it with `{command_line('package')}`")
        python = python310.find()
        if python is None:
            raise OSError("CPython 3.10, which SCF runs, was not found; install it")
        self._ledger = tempfile.TemporaryDirectory(prefix="signup-bridge-", dir="/tmp")
        variables = {**environ, "FUNCTION_SECRET_ID": DEMO_SECRET_ID, "FUNCTION_SECRET_KEY": DEMO_SECRET_KEY}
        variables["LEDGER_URL"] = environ.get("LEDGER_URL") or f"sqlite:///{self._ledger.name}/ledger.db"
        try:
            config = function_config.load(environ=variables)
        except ConfigError as error:
            raise OSError("\n  ".join(["startup failed:", *error.problems])) from None
        self._port = port
        self._function = Function(
            ARCHIVE, shape, config.variables, python, timeout=config.timeout, memory=config.memory
        )

    def start(self, log_fd: int) -> None:
        self._platform = Platform(self._function, Path(f"/dev/fd/{log_fd}"), port=self._port)
        self._platform.__enter__()

    def runs(self) -> bool:
        return True

    def wait(self) -> int:
        threading.Event().wait()
        return 0

    def stop(self) -> None:
        self._platform.__exit__()
        self._ledger.cleanup()
