"""Start `make run`: the emulator with its console, and the bridge that calls it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_toolkit import ports
from tests.support import ROOT, log_audit
from tests.support.emulator.command import COMMAND, IMPORTS
from tests.support.log_lines import lines_of


@dataclass(frozen=True)
class Pair:
    """The URLs of the console and the bridge, and the file ``log`` with their output."""

    url: str
    bridge: str
    log: Path

    @property
    def secret(self) -> str:
        """Return the secret that `run` generated."""
        secret: str = self.get("status")["secret"]
        return secret

    def reset(self) -> None:
        assert self.post("reset", {}) == {"reset": True}

    def post(self, path: str, document: dict[str, Any]) -> Any:
        response = requests.post(f"{self.url}/emulator/{path}", json=document, timeout=60)
        assert response.ok, response.text
        return response.json()

    def get(self, path: str) -> Any:
        return requests.get(f"{self.url}/emulator/{path}", timeout=60).json()


@contextmanager
def running_pair(folder: Path, *arguments: str, **environ: str) -> Iterator[Pair]:
    """Start `make run` on free ports, without creating .venv. The bridge's budget is three seconds."""
    port, own, log = ports.free(), ports.free(), folder / "log"
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME") or name.startswith("COV")}
    kept |= {"PORT": str(port), "EMULATOR_PORT": str(own), "REQUEST_BUDGET": "3", "LOG_LEVEL": "DEBUG"}
    log_audit.watch_log(log, DEMO_SECRET_ID, DEMO_SECRET_KEY)
    log_audit.watch_ledger(folder / "state" / "ledger.db")
    with log.open("wb") as output:
        command = [*COMMAND, "run", "--state", str(folder / "state"), *arguments]
        process = subprocess.Popen(command, cwd=ROOT, env=kept | IMPORTS | environ, stdout=output, stderr=output)
    try:
        end = time.monotonic() + 120
        while "Ctrl-C stops both" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield Pair(f"http://127.0.0.1:{own}", f"http://127.0.0.1:{port}", log)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
        lines_of(log.read_text())
    finally:
        process.kill()
        process.wait()
