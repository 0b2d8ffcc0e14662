"""How long a cold start takes, from the start of the process to the first answers, and how much memory it holds.

Built folders under a CPython 3.10, interleaved in random order: the bridge as `make package` builds it; the baseline,
built in the same way; the bridge of an earlier commit, built by its own code; and the first two without bytecode, as is
commonly deployed.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from bench import earlier, targets
from bench.harness import Harness, show_progress
from bench.processes import processor_seconds, resident
from bench.servers import PEERS
from bench.targets import Result
from signup_deploy.packaging import package
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports, python310, sample_payloads, senders

CONTACT, CODE = "18766554433", "123456"
TURNS = 15


@dataclass
class Peer:
    """One built folder, and what was measured of it.

    These are the seconds to /health and to a verified delivery, the processor's seconds until then, and bytes.
    """

    name: str
    folder: Path
    health: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


class ColdStart(NamedTuple):
    """None of the peers where there is no CPython 3.10."""

    peers: Sequence[Peer]
    results: tuple[Result, ...]


def measure(harness: Harness) -> ColdStart:
    interpreter = python310.find()
    if interpreter is None:
        return ColdStart((), tuple(Result(one, None, "no CPython 3.10 on this machine") for one, *_ in _COMPARISONS))
    with Emulator(rate=0) as emulator:
        peers = built(harness)
        for turn in range(TURNS + 1):  # the first one fills the machine's caches
            show_progress(f"cold start: turn {turn} of {TURNS}")
            for peer in random.sample(peers, len(peers)):
                start(peer, interpreter, emulator, harness.folder, counted=turn > 0)
    return ColdStart(peers, tuple(_results({peer.name: peer for peer in peers})))


def built(harness: Harness) -> list[Peer]:
    """Return the applications as they are built, and two of them without bytecode, too."""
    target = harness.folder / "cold"
    peers = []
    for name, function in (("bridge", None), ("baseline", PEERS / "baseline")):
        one = package.build(target / name, function=function, report=lambda _: None)
        bare = target / name / "bare"
        shutil.copytree(one.folder, bare, ignore=shutil.ignore_patterns("__pycache__"))
        peers += [Peer(name, one.folder), Peer(f"{name}, no bytecode", bare)]
    if harness.earlier:
        peers.append(Peer(earlier.COMMIT, earlier.build(harness.earlier, target / "earlier")))
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
            peer.processor.append(processor_seconds(process.pid))
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


_BARE = "baseline, no bytecode"
_COMPARISONS = (
    (targets.COLD_START, "health", "baseline"),
    (targets.COLD_START_EARLIER, "health", earlier.COMMIT),
    (targets.COLD_VERIFIED, "verified", "baseline"),
    (targets.COLD_VERIFIED_EARLIER, "verified", earlier.COMMIT),
    (targets.COLD_PROCESSOR, "processor", "baseline"),
    (targets.COLD_PROCESSOR_EARLIER, "processor", earlier.COMMIT),
    (targets.COLD_START_BARE, "health", _BARE),
    (targets.COLD_MEMORY, "memory", "baseline"),
)
"""Each target, the figure that it compares, and the peer beside the bridge."""


def _results(peers: Mapping[str, Peer]) -> Iterator[Result]:
    for target, figure, other in _COMPARISONS:
        if other not in peers:
            yield Result(target, None, earlier.ABSENT)
            continue
        unit, scale = ("MiB", 1 / 2**20) if figure == "memory" else ("ms", 1000)
        own, its = getattr(peers["bridge"], figure), getattr(peers[other], figure)
        medians = [statistics.median(values) * scale for values in (own, its)]
        ratio = statistics.median(a / b for a, b in zip(own, its, strict=True))
        yield Result(target, ratio, f"{medians[0]:.0f} {unit} beside {medians[1]:.0f} {unit}; {len(own)} starts")
