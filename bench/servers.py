"""Start the measured servers: the bridge and its peers, each as one process tree on a free port."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import certifi

from bench.load import SECRET, Target
from local_services import npm
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_toolkit import ports

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / "bench" / "peers"
START_LIMIT = 30.0


class NotStartedError(RuntimeError):
    """A server ended before its first response, or did not respond in time."""


class Server(NamedTuple):
    """A running server, and the id of its first process."""

    target: Target
    pid: int


def trusted(own: Path, folder: Path) -> Path:
    """Write and return the CA bundle of every API client: certifi's bundle and the substitute API's certificate."""
    bundle = folder / "trusted.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + own.read_bytes())
    return bundle


@contextmanager
def bridge(api: str, bundle: Path, folder: Path, root: Path = ROOT, /, **settings: str) -> Iterator[Server]:
    """Run the bridge of the tree at ``root``. Its ledger is in the folder, unless ``settings`` name another."""
    folder.mkdir(exist_ok=True)
    environ = {**_settings(bundle, folder), **settings}
    command = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py"]
    with _started(command, root, api, environ, folder / "bridge.log") as (port, pid):
        yield Server(Target(port, verified=b'"verified"'), pid)


@contextmanager
def built_bridge(
    command: list[str], folder: Path, environ: dict[str, str], api: str, bundle: Path, scratch: Path
) -> Iterator[Server]:
    """Run the bridge of a built folder with a command. Its log and ledger are in ``scratch``."""
    scratch.mkdir(exist_ok=True)
    environ = {**_settings(bundle, scratch), **environ}
    with _started(command, folder, api, environ, scratch / "bridge.log") as (port, pid):
        yield Server(Target(port, verified=b'"verified"'), pid)


def _settings(bundle: Path, folder: Path) -> dict[str, str]:
    """Return the bridge's settings for benchmarks: no rate limit, and a ledger in the folder."""
    return {
        "DOMAIN_API_CA_BUNDLE": str(bundle),
        "DOMAIN_API_RATE": "100000",
        "LEDGER_URL": f"sqlite:///{folder}/ledger.db",
        "WEBHOOK_SECRETS": SECRET,
    }


@contextmanager
def flask_peer(name: str, api: str, bundle: Path, folder: Path, **settings: str) -> Iterator[Server]:
    """Run the Python peer in the folder ``name``, with its settings."""
    command = [sys.executable, "-m", "gunicorn", "-c", str(PEERS / "baseline" / "gunicorn.conf.py")]
    environ = {"DOMAIN_API_CA_BUNDLE": str(bundle), **settings}
    with _started(command, PEERS / name, api, environ, folder / f"{name}.log") as (port, pid):
        yield Server(Target(port), pid)


@contextmanager
def node_peer(api: str, bundle: Path, folder: Path) -> Iterator[Server | None]:
    """Run the peer in Node. Yields None if Node is missing or its packages cannot be installed."""
    environ = node_environ()
    if environ is None:
        yield None
        return
    environ = {**environ, "NODE_EXTRA_CA_CERTS": str(bundle)}
    with _started(["node", "app.js"], PEERS / "node", api, environ, folder / "node.log") as (port, pid):
        yield Server(Target(port), pid)


@cache
def node_environ() -> dict[str, str] | None:
    """Install the packages of the peer in Node and return its environment, or None if it cannot run here.

    Cached, because several benchmarks use it, and without a network npm may take minutes to fail.
    """
    if not npm.are_there():
        print("bench: node or npm is missing; the peer in Node is skipped", file=sys.stderr)
        return None
    try:
        modules = npm.installed(PEERS / "node", ROOT / "build" / "bench-node")
    except subprocess.SubprocessError as error:
        print(f"bench: the peer in Node is skipped: {error}", file=sys.stderr)
        return None
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(modules), "NODE_ENV": "production"}


@contextmanager
def _started(command: list[str], cwd: Path, api: str, environ: dict[str, str], log: Path) -> Iterator[tuple[int, int]]:
    port = ports.free()
    environ = {
        **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TENCENT_SECRET_ID": DEMO_SECRET_ID,
        "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
        "DOMAIN_API_URL": api,
        **environ,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=output, stderr=output)
    try:
        _wait_for(port, process, log)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + START_LIMIT
    while True:
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        if process.poll() is not None or time.monotonic() > end:
            raise NotStartedError(f"the server did not start; its log:\n{log.read_text()}")
        time.sleep(0.05)
