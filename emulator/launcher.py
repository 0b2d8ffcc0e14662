"""`make run`: the emulator, and the bridge under gunicorn wired to it, until Ctrl-C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import requests

from .sender import DEMO_SECRET
from .server import DEMO_SECRET_ID, DEMO_SECRET_KEY, Emulator

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".run" / "emulator.json"
LEDGER = ROOT / ".run" / "ledger.db"
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a plain kill, and the terminal that is closed."""

_ALWAYS_THE_EMULATORS = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN", "DOMAIN_API_URL")

START_LIMIT = 30.0
"""Seconds for the bridge to answer /health."""


def run(emulator_port: int, port: int) -> int:
    """Run both; the exit status of the bridge, 0 after Ctrl-C. Raises OSError when a port is taken."""
    if port == emulator_port:
        raise OSError(f"PORT and EMULATOR_PORT are both {port}; set one of them to another port")
    check_free(emulator_port, "EMULATOR_PORT")
    check_free(port, "PORT")
    for number in STOPS:  # a shell starts what runs in its background with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with Emulator(port=emulator_port) as emulator, _kept(emulator):
        environ = {key: value for key, value in os.environ.items() if key not in _ALWAYS_THE_EMULATORS}
        environ |= {
            "TENCENT_SECRET_ID": DEMO_SECRET_ID,
            "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
            "DOMAIN_API_URL": emulator.url,
            "HOST": "127.0.0.1",
            "PORT": str(port),
        }
        environ["WEBHOOK_SECRETS"] = environ.get("WEBHOOK_SECRETS") or DEMO_SECRET
        environ["LEDGER_URL"] = environ.get("LEDGER_URL") or _fresh_ledger()
        # A session of its own: Ctrl-C reaches the launcher alone, which stops the bridge in order.
        command = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py"]
        bridge = subprocess.Popen(command, cwd=ROOT, env=environ, start_new_session=True)  # noqa: S603  our own
        try:
            if _answers(f"http://127.0.0.1:{port}/health", bridge):
                _greet(emulator.url, port)
            return bridge.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            _stop(bridge)


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


def check_free(port: int, setting: str) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise OSError(f"port {port} on 127.0.0.1 is taken; set {setting} to another one") from error


def _answers(url: str, bridge: subprocess.Popen[bytes]) -> bool:
    """Whether the bridge answers before it exits."""
    end = time.monotonic() + START_LIMIT
    with requests.Session() as session:
        session.trust_env = False
        while bridge.poll() is None and time.monotonic() < end:
            try:
                return session.get(url, timeout=1).ok
            except requests.RequestException:
                time.sleep(0.05)
    return False


def _greet(emulator_url: str, port: int) -> None:
    interpreter = os.path.relpath(sys.executable, ROOT) if sys.prefix != sys.base_prefix else sys.executable
    command = [interpreter, "-m", "emulator", "send"]
    if port != 9000:
        command += ["--url", f"http://127.0.0.1:{port}/webhooks/signup"]
    if os.environ.get("WEBHOOK_AUTH"):
        command += ["--auth", os.environ["WEBHOOK_AUTH"]]
    hint = "with the same WEBHOOK_SECRETS set there, " if os.environ.get("WEBHOOK_SECRETS") else ""
    text = f"""
bridge    http://127.0.0.1:{port}   POST /webhooks/signup, GET /deliveries/<id>, /ready, /health, /openapi.json
emulator  {emulator_url}   GET /emulator/codes, GET /emulator/calls, POST /emulator/faults
          demo credentials {DEMO_SECRET_ID} / {DEMO_SECRET_KEY}

Send a signed delivery, {hint}from another terminal in this folder:

  {shlex.join(command)}

Ctrl-C stops both.
"""
    print(text, flush=True)


def _stop(bridge: subprocess.Popen[bytes]) -> None:
    for number in STOPS:  # a second Ctrl-C must not leave the bridge behind
        signal.signal(number, signal.SIG_IGN)
    if bridge.poll() is None:
        bridge.terminate()
        try:
            bridge.wait(timeout=15)
        except subprocess.TimeoutExpired:
            bridge.kill()
            bridge.wait()
