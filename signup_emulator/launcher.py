"""`signup-bridge run`: run the emulator and a bridge that calls it, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import requests
from signup_bridge.cli.listening import listen_problem
from signup_bridge.cli.serve import gunicorn_command, start_problems
from signup_bridge.telemetry.logs import writes_text
from signup_bridge.telemetry.text_lines import format_line

from signup_toolkit import ports, senders

from . import banner
from .api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from .console.deliveries import Deliveries
from .console.proxy import BridgeTarget
from .scf.function import Shape
from .server import Emulator
from .state import State

STATE = Path(".run")
"""The default folder for the state of the emulator and the bridge, in the current folder."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, `kill`, and a closed terminal."""

_SET_BY_THE_EMULATOR = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN", "DOMAIN_API_URL")

_LOG_MEMBERS = ("time", "level", "message")

START_TIMEOUT = 30.0
"""Seconds within which the bridge must respond at /health."""


class Options(NamedTuple):
    """The options of `run`.

    ``scf`` runs the built zip as a function of that type. ``keep`` starts with the state of the last run.
    ``allow_host`` lists further host names of the console.
    """

    port: int
    emulator_port: int
    host: str = "127.0.0.1"
    state: Path = STATE
    keep: bool = False
    scf: Shape | None = None
    allow_host: Sequence[str] = ()


def run(options: Options) -> int:
    """Run the emulator and the bridge, and return the bridge's exit status, 0 after Ctrl-C.

    Raises OSError if a port or the state folder is in use, a setting is not valid, or a requirement of `--scf` is
    missing. The state of the last run is deleted only after all these checks.
    """
    _check_addresses(options)
    state = State(options.state, keep=options.keep)
    environ = _bridge_environ(options, state)
    bridge = _create_bridge(environ, options)
    for number in STOP_SIGNALS:  # a shell starts background processes with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with Emulator(options.host, options.emulator_port, allowed=options.allow_host) as emulator, state:
        state.restore(emulator)
        if environ.get("LEDGER_URL") == state.ledger_url:
            emulator.console.clear_ledger = state.clear_ledger
        return _run(emulator, bridge, environ, options, state)


def _check_addresses(options: Options) -> None:
    """Check both ports, so that one error names both. Raises OSError."""
    if options.port == options.emulator_port:
        raise OSError(f"PORT and EMULATOR_PORT are both {options.port}; set one of them to another port")
    named = {"EMULATOR_PORT": options.emulator_port, "PORT": options.port}
    problems = [
        listen_problem(options.host, port, host_setting="--host", port_setting=name) for name, port in named.items()
    ]
    found = dict.fromkeys(filter(None, problems))  # an address of another machine is wrong for both
    if found:
        raise OSError("\n  ".join(found))


def _bridge_environ(options: Options, state: State) -> dict[str, str]:
    """Return the bridge's settings: those of the environment, replaced by those that `run` sets."""
    environ = {key: value for key, value in os.environ.items() if key not in _SET_BY_THE_EMULATOR}
    environ["SEND_CODES"] = environ.get("SEND_CODES") or "true"
    environ["WEBHOOK_SECRETS"] = environ.get("WEBHOOK_SECRETS", "").strip() or senders.generate_secret()
    environ |= {
        "TENCENT_SECRET_ID": DEMO_SECRET_ID,
        "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
        "DOMAIN_API_URL": f"http://{ports.address(options.host, options.emulator_port)}",
    }
    if options.scf is None and not environ.get("LEDGER_URL"):
        environ["LEDGER_URL"] = state.ledger_url
    return environ


def _run(emulator: Emulator, bridge: BridgeHandle, environ: Mapping[str, str], options: Options, state: State) -> int:
    as_text = writes_text(environ.get("LOG_FORMAT", "").strip() or "auto")
    with BridgeLog(emulator.console.deliveries, as_text=as_text) as log:
        bridge.start(log.write_fd)
        try:
            target = emulator.console.bridge = _target(environ, options)
            if wait_until_ready(f"{target.url}/health", bridge):
                print(banner.render(emulator.url, target, options.host, bridge.note), flush=True)
                if warning := banner.warning(options.host):
                    print(warning, file=sys.stderr, flush=True)
            elif bridge.runs():
                raise OSError("the bridge does not respond; see its log above")
            return bridge.wait()
        except KeyboardInterrupt:
            return 0
        finally:
            for number in STOP_SIGNALS:  # a second Ctrl-C must not leave the bridge running
                signal.signal(number, signal.SIG_IGN)
            bridge.stop()
            state.save(emulator)


def _target(environ: Mapping[str, str], options: Options) -> BridgeTarget:
    """Return the bridge with these settings, for the console."""
    return BridgeTarget(
        f"http://{ports.address(options.host, options.port)}",
        auth=environ.get("WEBHOOK_AUTH", "").strip() or "standard-webhooks",
        secret=environ["WEBHOOK_SECRETS"].split()[0],
        preset=environ.get("PAYLOAD_PRESET", "").strip() or None,
        sends=environ["SEND_CODES"].strip() == "true",
        generated=not os.environ.get("WEBHOOK_SECRETS", "").strip(),
    )


class BridgeLog:
    """The bridge's log. Each JSON line that is written to ``write_fd`` is passed to the console and printed.

    ``as_text`` prints the lines in their text form.
    """

    def __init__(self, deliveries: Deliveries, *, as_text: bool = False) -> None:
        deliveries.logged = True
        begin, self.write_fd = os.pipe()
        self._deliveries = deliveries
        self._as_text = as_text
        self._thread = threading.Thread(target=self._read, args=(begin,), daemon=True)
        self._thread.start()

    def __enter__(self) -> BridgeLog:  # noqa: PYI034  Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        """Read the rest of the log, whose writer has exited."""
        os.close(self.write_fd)
        self._thread.join(timeout=5)

    def _read(self, begin: int) -> None:
        with open(begin, "rb") as lines:
            for line in lines:
                document = _parse_log_line(line)
                printed = _as_text(document, line) if document and self._as_text else line
                with suppress(OSError):  # standard output is closed
                    sys.stdout.buffer.write(printed)
                    sys.stdout.buffer.flush()
                if document:
                    self._deliveries.on_log_line(document)


def _parse_log_line(line: bytes) -> dict[str, Any] | None:
    """Return a line of the bridge's log, None for other output, such as that of a process that crashes."""
    with suppress(ValueError):
        document = json.loads(line)
        if isinstance(document, dict) and all(isinstance(document.get(name), str) for name in _LOG_MEMBERS):
            return document
    return None


def _as_text(document: Mapping[str, Any], line: bytes) -> bytes:
    """Return a log line as text; unchanged if another program wrote it, with another format of the time."""
    try:
        return format_line(document).encode() + b"\n"
    except ValueError:
        return line


class BridgeHandle(Protocol):
    """A bridge; ``note`` is printed with its URL."""

    note: str

    def start(self, log_fd: int) -> None:
        """Start it, with its log written to a file descriptor."""

    def runs(self) -> bool: ...

    def wait(self) -> int:
        """Wait until it exits, and return the exit status."""

    def stop(self) -> None:
        """Stop it gracefully."""


class BridgeProcess:
    """The bridge under gunicorn, as `signup-bridge serve` runs it."""

    note = ""

    def __init__(self, environ: Mapping[str, str]) -> None:
        problems = start_problems(environ)
        if problems:
            raise OSError("\n  ".join(("startup failed:", *problems)))
        self._environ = dict(environ)

    def start(self, log_fd: int) -> None:
        # In a separate session, Ctrl-C reaches the launcher only, which stops the bridge gracefully.
        self._process = subprocess.Popen(  # noqa: S603
            gunicorn_command(), env=self._environ | {"LOG_FORMAT": "json"}, stdout=log_fd, start_new_session=True
        )

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


def _create_bridge(environ: Mapping[str, str], options: Options) -> BridgeHandle:
    """Create the bridge without starting it. Raises OSError, also if a setting is not valid."""
    if options.scf is None:
        return BridgeProcess({**environ, "HOST": options.host, "PORT": str(options.port)})
    from .scf.scf_bridge import ScfBridge  # noqa: PLC0415  needs PyYAML, which only the deployer installs

    return ScfBridge(environ, options.port, options.scf)


def wait_until_ready(url: str, bridge: BridgeHandle) -> bool:
    """Return whether the bridge responds before it exits or START_TIMEOUT ends."""
    end = time.monotonic() + START_TIMEOUT
    with requests.Session() as session:
        session.trust_env = False
        while bridge.runs() and time.monotonic() < end:
            try:
                return session.get(url, timeout=1).ok
            except requests.RequestException:
                time.sleep(0.05)
    return False
