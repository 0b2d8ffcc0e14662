"""How long a cold start takes, from the start of the process to the first answers, and how much memory it holds.

    python bench/cold_start.py

Four built folders under a CPython 3.10, in turns, so that what else the machine does falls on all alike: the bridge as
`make package` builds it; the floor, which is a bare Flask view over the same SDK and gunicorn, built in the same way;
and both without bytecode, as is commonly deployed.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

from deploy import package, python310  # noqa: E402  it lies beside this folder
from emulator import bodies, ports, senders  # noqa: E402
from emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY  # noqa: E402
from emulator.server import Emulator  # noqa: E402

CONTACT, CODE = "18766554433", "123456"


@dataclass
class Peer:
    """One built folder, and what was measured of it: seconds to /health and to a verified delivery, and bytes."""

    name: str
    folder: Path
    health: list[float] = field(default_factory=list)
    verified: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=15, help="cold starts of each (default: %(default)s)")
    options = parser.parse_args()
    interpreter = python310.find()
    if interpreter is None:
        sys.exit("cold_start: needs a CPython 3.10")
    with tempfile.TemporaryDirectory() as temporary, Emulator(rate=0) as emulator:
        peers = built(Path(temporary))
        for turn in range(options.turns + 1):  # the first one fills the machine's caches
            for peer in peers:
                start(peer, interpreter, emulator, Path(temporary), counted=turn > 0)
            print(f"\rturn {turn} of {options.turns}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
        tell(peers)


def built(target: Path) -> list[Peer]:
    """Both applications as they are built, and as they are without bytecode."""
    peers = []
    for name, function in (("bridge", package.FUNCTION), ("floor", ROOT / "bench" / "peers" / "floor")):
        one = package.build(target / name, function=function, tell=lambda _: None)
        if name == "bridge":
            print(f"zip {one.zipped / 2**20:.2f} MiB, unpacked {one.unpacked / 2**20:.2f} MiB")
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
    body = bodies.body_of(CONTACT, CODE)
    headers = senders.headers_of(body, sender="standard", secret=senders.DEMO_SECRET)
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


def resident(leader: int) -> int:
    """Bytes of resident memory of a process and its children."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            told = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            if leader in (int(told["Pid"]), int(told["PPid"])):
                total += int(told["VmRSS"].split()[0]) * 1024
    return total


def tell(peers: list[Peer]) -> None:
    floor = next(peer for peer in peers if peer.name == "floor")
    print("medians                 first 200        first verified   memory of all processes")
    for peer in peers:
        figures = [statistics.median(values) for values in (peer.health, peer.verified, peer.memory)]
        ratios = [
            statistics.median(a / b for a, b in zip(values, others, strict=True))
            for values, others in (
                (peer.health, floor.health),
                (peer.verified, floor.verified),
                (peer.memory, floor.memory),
            )
        ]
        print(
            f"{peer.name:<22} {figures[0] * 1000:5.0f} ms ({ratios[0]:.2f})  {figures[1] * 1000:5.0f} ms "
            f"({ratios[1]:.2f})  {figures[2] / 2**20:6.1f} MiB ({ratios[2]:.2f})"
        )


if __name__ == "__main__":
    main()
