"""Measure the time from a process's start to its first responses, and the memory that it then uses.

These built folders start under CPython 3.10, interleaved in random order: the bridge as `make package` builds it; the
baseline, built in the same way; the bridge of an earlier commit, built with its own code; and the first two without
bytecode, a common way to deploy. The Node peer runs under this machine's Node. Some of them also start on a tenth of a
processor, because a small instance may have no more.
"""

from __future__ import annotations

import contextlib
import random
import secrets
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

from bench import built, cgroups, earlier, servers, targets
from bench.harness import Harness, show_progress
from bench.load import SECRET
from bench.processes import processor_seconds, resident
from bench.targets import Result, Target
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports, python310, sample_payloads, senders

CONTACT, CODE = "18766554433", "123456"
TURNS, THROTTLED_TURNS = 15, 4
TENTH = 0.1
"""The share of a processor for the throttled starts."""


@dataclass
class Peer:
    """A built folder, the command that starts it, and its measurements.

    The measurements are the seconds until /health responds and until a delivery is verified, the processor seconds
    until then, and the bytes of memory.
    """

    name: str
    folder: Path
    command: Sequence[str]
    environ: Mapping[str, str] = field(default_factory=dict)
    health: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


class ColdStart(NamedTuple):
    """The starts on whole processors and on a tenth of one. A list is empty if this machine cannot measure it."""

    peers: Sequence[Peer]
    throttled: Sequence[Peer]
    results: tuple[Result, ...]


def measure(harness: Harness) -> ColdStart:
    interpreter = python310.find()
    if interpreter is None:
        absent = (Result(one, None, built.NO_INTERPRETER) for one, *_ in (*_COMPARISONS, *_THROTTLED_COMPARISONS))
        return ColdStart((), (), tuple(absent))
    with Emulator(rate=0) as emulator:
        peers = list(_peers(harness, interpreter))
        _take_turns(peers, TURNS, emulator, harness.folder)
        throttled: Sequence[Peer] = ()
        reason = ""
        try:
            with cgroups.group("cpu") as group:
                group.limit_processor(TENTH)
                throttled = [
                    Peer(peer.name, peer.folder, group.command(peer.command), peer.environ)
                    for peer in peers
                    if peer.name in ("bridge", "baseline", earlier.COMMIT)
                ]
                _take_turns(throttled, THROTTLED_TURNS, emulator, harness.folder)
        except cgroups.GroupError as error:
            reason = str(error)
    results = [*_results(peers, _COMPARISONS), *_results(throttled, _THROTTLED_COMPARISONS, reason)]
    return ColdStart(peers, throttled, tuple(results))


def _peers(harness: Harness, interpreter: str) -> Iterator[Peer]:
    """Yield the built applications, two of them also without bytecode, and the one in Node."""
    for name in ("bridge", "baseline"):
        folder = built.build(name, harness.folder / "built" / name)
        bare = folder.with_name("bare")
        shutil.copytree(folder, bare, ignore=shutil.ignore_patterns("__pycache__"))
        for label, one in ((name, folder), (f"{name}, no bytecode", bare)):
            yield Peer(label, one, built.command(one, interpreter), built.environ(one))
    if harness.earlier:
        folder = earlier.build(harness.earlier, harness.folder / "built" / "earlier")
        yield Peer(earlier.COMMIT, folder, built.command(folder, interpreter), built.environ(folder))
    if (node := servers.node_environ()) is not None:
        yield Peer("Node", servers.PEERS / "node", ("node", "app.js"), node)


def _take_turns(peers: Sequence[Peer], turns: int, emulator: Emulator, scratch: Path) -> None:
    for turn in range(turns + 1):  # the first turn fills the machine's caches
        show_progress(f"cold start: turn {turn} of {turns}")
        for peer in random.sample(peers, len(peers)):
            start(peer, emulator, scratch, counted=turn > 0)


def start(peer: Peer, emulator: Emulator, scratch: Path, *, counted: bool) -> None:
    """Measure one cold start, without state from an earlier one."""
    emulator.reset()
    port = ports.free()
    environ = {
        **peer.environ,
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "TENCENT_SECRET_ID": DEMO_SECRET_ID,
        "TENCENT_SECRET_KEY": DEMO_SECRET_KEY,
        "DOMAIN_API_URL": emulator.url,
        "WEBHOOK_SECRETS": SECRET,
        "LEDGER_URL": f"sqlite:///{scratch}/{secrets.token_hex(8)}.db",
    }
    body = sample_payloads.build_body(CONTACT, CODE)
    headers = senders.sign_headers(body, sender="standard", secret=SECRET)
    began = time.perf_counter()
    process = subprocess.Popen(
        peer.command, cwd=peer.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
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
    """Repeat the request until a response arrives. Raises AssertionError if its status is not 200."""
    while True:
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        with contextlib.closing(connection), contextlib.suppress(ConnectionError):
            connection.request(method, path, body, headers or {})
            status = connection.getresponse().status
            assert status == 200, f"{method} {path} returned {status}"
            return
        assert process.poll() is None, "the server ended"
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
_THROTTLED_COMPARISONS = (
    (targets.COLD_TENTH, "health", "baseline"),
    (targets.COLD_TENTH_VERIFIED, "verified", "baseline"),
    (targets.COLD_TENTH_PROCESSOR, "processor", "baseline"),
)
"""Each target, the figure to compare, and the peer that the bridge is compared with."""


def _results(
    peers: Iterable[Peer], comparisons: Iterable[tuple[Target, str, str]], reason: str = earlier.ABSENT
) -> Iterator[Result]:
    """Yield a result for each comparison; ``reason`` says why a peer is missing."""
    named = {peer.name: peer for peer in peers}
    for target, figure, other in comparisons:
        if other not in named:
            yield Result(target, None, reason)
            continue
        unit, scale = ("MiB", 1 / 2**20) if figure == "memory" else ("ms", 1000)
        own, its = getattr(named["bridge"], figure), getattr(named[other], figure)
        medians = [statistics.median(values) * scale for values in (own, its)]
        ratio = statistics.median(a / b for a, b in zip(own, its, strict=True))
        yield Result(target, ratio, f"{medians[0]:.0f} {unit} beside {medians[1]:.0f} {unit}; {len(own)} starts")
