"""Sample with py-spy which code holds the interpreter's lock while the bridge is under load."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from bench import load, servers
from bench.harness import CONNECTIONS, Harness, show_progress
from bench.processes import seconds_of, worker_of
from bench.servers import Server

SECONDS, RATE = 10, 250
"""Duration of a profile in seconds, and samples per second."""

ELSE, PROCESSOR = "else", "processor, in all"
LAYERS = (
    ("ledger", r"\(signup_bridge/ledger/"),
    ("signature and validation", r"\(signup_bridge/(inbound/|core/strict_json\.py)"),
    ("log line", r"\(signup_bridge/telemetry/|\(logging/"),
    (
        "HTTP to the API",
        r"\(signup_bridge/(upstream/transport|core/network)\.py|\((urllib3|requests)/|\(http/client\.py|\(ssl\.py",
    ),
    ("SDK", r"\(tencentcloud/"),
    ("the rest of the bridge", r"\(signup_bridge/(?!web/gunicorn_worker)"),
    ("Flask", r"\((flask|werkzeug)/"),
    ("gunicorn", r"\(gunicorn/|\(signup_bridge/web/gunicorn_worker\.py|\(concurrent/futures/|\(selectors\.py"),
)
"""A sample counts for the layer of its innermost frame that matches; without a match, for `ELSE`."""


class Profile(NamedTuple):
    """Microseconds of a request by its kind and by layer, and their total. Empty if py-spy has no permission."""

    layers: Mapping[str, Mapping[str, float]]
    results: tuple[()] = ()


def measure(harness: Harness) -> Profile:
    with ExitStack() as running:
        api = running.enter_context(harness.api())
        bridge = running.enter_context(servers.bridge(api, harness.bundle, harness.folder / "profile"))
        baseline = running.enter_context(servers.flask_peer("baseline", api, harness.bundle, harness.folder))
        layers = {}
        for name, server, before, kind in (
            ("first delivery", bridge, "first", "first"),
            ("replay", bridge, "before", "again"),
            ("refused signature", bridge, "refused", "refused"),
            ("the baseline", baseline, "first", "first"),
        ):
            show_progress(f"profile: {name}")
            harness.senders.run(load.counted, server.target, before, load.AGAIN, CONNECTIONS)
            taken = _processor_time(harness, server, kind)
            found = _sample_layers(harness, server, kind)
            if not found:
                return Profile({})
            layers[name] = found | {PROCESSOR: taken}
    return Profile(layers)


def _processor_time(harness: Harness, server: Server, kind: str) -> float:
    """Return the worker's processor time for each request in microseconds, measured without the profiler."""
    worker = worker_of(server.pid)
    before = seconds_of(worker)
    sample = harness.senders.run(load.closed, server.target, kind, SECONDS, CONNECTIONS)
    return (seconds_of(worker) - before) * 1e6 / len(sample.each)


def _sample_layers(harness: Harness, server: Server, kind: str) -> dict[str, float]:
    """Return the microseconds of a request by layer, or an empty mapping if py-spy has no permission."""
    file = harness.folder / "samples"
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--gil", "--format", "raw", "--rate", str(RATE)]
    command += ["--duration", str(SECONDS), "--output", str(file), "--pid", str(worker_of(server.pid))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as spy:
        sample = harness.senders.run(load.closed, server.target, kind, SECONDS + 1.0, CONNECTIONS)
        _, error = spy.communicate(timeout=60)
    if spy.returncode:
        show_progress(f"profile: not measured, because py-spy failed: {error.strip()}")
        return {}
    counts: Counter[str] = Counter()
    for line in file.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        counts[layer_of(stack.split(";"))] += int(count)
    held = counts.total() / (SECONDS * RATE)  # the share of the time in which some thread held the lock
    return {name: count / counts.total() * held * 1e6 / sample.rate for name, count in counts.items()}


def layer_of(stack: list[str]) -> str:
    for frame in reversed(stack):
        for name, pattern in LAYERS:
            if re.search(pattern, frame):
                return name
    return ELSE
