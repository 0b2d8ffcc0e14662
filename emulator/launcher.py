"""`make run`: the emulator, and the bridge under gunicorn wired to it, until Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

import requests

from . import ports
from .api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY, Emulator
from .scf.instances import Shape
from .sender import DEMO_SECRET

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".run" / "emulator.json"
LEDGER = ROOT / ".run" / "ledger.db"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a plain kill, and the terminal that is closed."""

_ALWAYS_THE_EMULATORS = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN", "DOMAIN_API_URL")

START_LIMIT = 30.0
"""Seconds for the bridge to answer /health."""


def run(emulator_port: int, port: int, *, scf: Shape | None = None) -> int:
    """Run both; the exit status of the bridge, 0 after Ctrl-C. ``scf``: the built zip, as SCF runs that shape.

    Raises OSError when a port is taken, or what is needed is missing.
    """
    if port == emulator_port:
        raise OSError(f"PORT and EMULATOR_PORT are both {port}; set one of them to another port")
    ports.check(emulator_port, "EMULATOR_PORT")
    ports.check(port, "PORT")
    for number in STOPS:  # a shell starts what runs in its background with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with Emulator(port=emulator_port) as emulator, _kept(emulator):
        environ = {key: value for key, value in os.environ.items() if key not in _ALWAYS_THE_EMULATORS}
        environ["WEBHOOK_SECRETS"] = environ.get("WEBHOOK_SECRETS") or DEMO_SECRET
        environ |= {
            "TENCENT_SECRET_ID": DEMO_SECRET_ID,
            "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
            "DOMAIN_API_URL": emulator.url,
        }
        bridge: Bridge = Tree(environ, port) if scf is None else _on_scf(environ, port, scf)
        try:
            if _answers(f"http://127.0.0.1:{port}/health", bridge):
                _greet(emulator.url, port, bridge.note)
            elif bridge.runs():
                raise OSError("the bridge does not answer; what it wrote stands above")
            return bridge.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            for number in STOPS:  # a second Ctrl-C must not leave the bridge behind
                signal.signal(number, signal.SIG_IGN)
            bridge.stop()


class Bridge(Protocol):
    """A bridge that runs; ``note`` is what is told of it."""

    note: str

    def runs(self) -> bool: ...

    def wait(self) -> int:
        """Wait until it ends by itself; its exit status."""

    def stop(self) -> None:
        """End it, in order."""


class Tree:
    """The bridge under gunicorn, from this checkout."""

    note = ""

    def __init__(self, environ: Mapping[str, str], port: int) -> None:
        ledger = environ.get("LEDGER_URL") or _fresh_ledger()
        own = {"HOST": "127.0.0.1", "PORT": str(port), "LEDGER_URL": ledger}
        command = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py"]
        # A session of its own: Ctrl-C reaches the launcher alone, which stops the bridge in order.
        self._process = subprocess.Popen(command, cwd=ROOT, env={**environ, **own}, start_new_session=True)  # noqa: S603

    def runs(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> int:
        return self._process.wait()

    def stop(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()


def _on_scf(environ: Mapping[str, str], port: int, shape: Shape) -> Bridge:
    from .scf.launcher import Scf  # noqa: PLC0415  it needs what only `make run-scf` installs

    return Scf(environ, port, shape)


def _fresh_ledger() -> str:
    """Where the bridge remembers; nothing of the last time, unless it is kept."""
    LEDGER.parent.mkdir(exist_ok=True)
    if os.environ.get("KEEP") != "1":
        for file in LEDGER.parent.glob(f"{LEDGER.name}*"):
            file.unlink()
    return f"sqlite:///{quote(str(LEDGER))}"


@contextmanager
def _kept(emulator: Emulator) -> Iterator[None]:
    """With `KEEP=1`: what the account knew at the last stop is known again, and is kept at this one."""
    if os.environ.get("KEEP") != "1":
        yield
        return
    if STATE.exists():
        try:
            emulator.domain.restore(json.loads(STATE.read_text()))
        except (KeyError, TypeError, ValueError) as error:
            raise OSError(f"{STATE} is not the emulator's; remove it, or start without KEEP=1") from error
    yield
    STATE.parent.mkdir(exist_ok=True)
    STATE.touch(mode=0o600)
    STATE.write_text(json.dumps(emulator.domain.snapshot()))


def _answers(url: str, bridge: Bridge) -> bool:
    """Whether the bridge answers before it exits."""
    end = time.monotonic() + START_LIMIT
    with requests.Session() as session:
        session.trust_env = False
        while bridge.runs() and time.monotonic() < end:
            try:
                return session.get(url, timeout=1).ok
            except requests.RequestException:
                time.sleep(0.05)
    return False


def _greet(emulator_url: str, port: int, note: str) -> None:
    interpreter = os.path.relpath(sys.executable, ROOT) if sys.prefix != sys.base_prefix else sys.executable
    command = [interpreter, "-m", "emulator", "send"]
    if port != 9000:
        command += ["--url", f"http://127.0.0.1:{port}/webhooks/signup"]
    if os.environ.get("WEBHOOK_AUTH"):
        command += ["--auth", os.environ["WEBHOOK_AUTH"]]
    hint = "with the same WEBHOOK_SECRETS set there, " if os.environ.get("WEBHOOK_SECRETS") else ""
    text = f"""
bridge    http://127.0.0.1:{port}   POST /webhooks/signup, GET /deliveries/<id>, /ready, /health, /openapi.json{note}
emulator  {emulator_url}   GET /emulator/codes, GET /emulator/calls, POST /emulator/faults
          demo credentials {DEMO_SECRET_ID} / {DEMO_SECRET_KEY}

Send a signed delivery, {hint}from another terminal in this folder:

  {shlex.join(command)}

Ctrl-C stops both.
"""
    print(text, flush=True)
