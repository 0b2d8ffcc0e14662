"""How long a cold start takes, from the start of the process to the first answers, and how much memory it holds.

Four built folders under a CPython 3.10, interleaved: the bridge as `make package` builds it; the baseline, built in the
same way; and both without bytecode, as is commonly deployed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from bench import targets
from bench.harness import Harness, show_progress
from bench.processes import resident
from bench.servers import PEERS
from bench.targets import Result, Target
from signup_deploy.packaging import package
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports, python310, sample_payloads, senders

CONTACT, CODE = "18766554433", "123456"
TURNS = 15


@dataclass
class Peer:
    """One built folder, and what was measured of it: seconds to /health and to a verified delivery, and bytes."""

    name: str
    folder: Path
    health: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


class ColdStart(NamedTuple):
    """None of the peers where there is no CPython 3.10."""

    peers: Sequence[Peer]
    results: tuple[Result, ...]


def measure(harness: Harness) -> ColdStart:
    interpreter = python310.find()
    if interpreter is None:
        return ColdStart((), tuple(Result(one, None, "no CPython 3.10 on this machine") for one in _TARGETS))
    with Emulator(rate=0) as emulator:
        peers = built(harness.folder / "cold")
        for turn in range(TURNS + 1):  # the first one fills the machine's caches
            show_progress(f"cold start: turn {turn} of {TURNS}")
            for peer in peers:
                start(peer, interpreter, emulator, harness.folder, counted=turn > 0)
    return ColdStart(peers, tuple(_results(peers)))


def built(target: Path) -> list[Peer]:
    """Both applications as they are built, and as they are without bytecode."""
    peers = []
    for name, function in (("bridge", None), ("baseline", PEERS / "baseline")):
        one = package.build(target / name, function=function, report=lambda _: None)
        bare = target / name / "bare"
        shutil.copytree(one.folder, bare, ignore=shutil.ignore_patterns("__pycache__"))
        peers += [Peer(name, one.folder), Peer(f"{name}, no bytecode", bare)]
    return peers


def start(peer: Peer, interpreter: str, emulator: Emulator, scratch: Path, *, counted: bool) -> None:
    """One cold start: nothing is left of the one before."""
    emulator.reset()
    port = ports.free()
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(peer.folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TENCENT_SECRET_ID": DEMO_SECRET_ID,
        "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
        "DOMAIN_API_URL": emulator.url,
        "WEBHOOK_SECRETS": senders.DEMO_SECRET,
        "LEDGER_URL": f"sqlite:///{scratch}/{secrets.token_hex(8)}.db",
    }
    body = sample_payloads.build_body(CONTACT, CODE)
    headers = senders.sign_headers(body, sender="standard", secret=senders.DEMO_SECRET)
    command = [interpreter, "-S", "-u", "-m", "gunicorn", "-c", "gunicorn.conf.py"]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=peer.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        ask(port, "GET", "/health", process)
        health = time.perf_counter() - began
        ask(port, "POST", "/", process, body, headers)
        verified = time.perf_counter() - began
        if counted:
            peer.health.append(health)
            peer.verified.append(verified)
            peer.memory.append(resident(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask(
    port: int,
    method: str,
    path: str,
    process: subprocess.Popen[bytes],
    body: bytes = b"",
    headers: dict[str, str] | None = None,
) -> None:
    """Ask until it is answered, which must be by 200."""
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request(method, path, body, headers or {})
            status = connection.getresponse().status
            assert status == 200, f"{method} {path} was answered by {status}"
            return
        assert process.poll() is None, "it ended by itself"
        time.sleep(0.001)


_TARGETS = (targets.COLD_START, targets.COLD_START_BARE, targets.COLD_MEMORY)


def _results(peers: Sequence[Peer]) -> list[Result]:
    own, _, baseline, bare = peers
    return [
        _beside(targets.COLD_START, own.health, baseline.health, "ms", 1000),
        _beside(targets.COLD_START_BARE, own.health, bare.health, "ms", 1000),
        _beside(targets.COLD_MEMORY, own.memory, baseline.memory, "MiB", 1 / 2**20),
    ]


def _beside(target: Target, own: Sequence[float], other: Sequence[float], unit: str, scale: float) -> Result:
    medians = [statistics.median(values) * scale for values in (own, other)]
    ratio = statistics.median(a / b for a, b in zip(own, other, strict=True))
    return Result(target, ratio, f"{medians[0]:.0f} {unit} beside {medians[1]:.0f} {unit}; {len(own)} starts")
