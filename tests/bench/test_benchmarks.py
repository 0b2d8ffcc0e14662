"""Run the benchmarks and check their reports, but not their figures."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import __main__ as command
from bench import built, cgroups, documents, load, plots, processes, report, servers, targets
from bench.benchmarks import memory
from bench.benchmarks.burst import run_once
from bench.benchmarks.cold_start import ColdStart, Peer
from bench.benchmarks.latency import Latency, at
from bench.benchmarks.memory import Memory
from bench.benchmarks.profile import LAYERS, Profile, layer_of
from bench.benchmarks.speed import Throughput
from bench.harness import Harness, start_harness
from bench.load import Target
from bench.targets import Result
from signup_toolkit import python310
from tests.support import ROOT


@pytest.fixture(scope="module")
def running() -> Iterator[Harness]:
    with start_harness() as one:
        yield one


def test_python_peers_return_expected_responses(running: Harness) -> None:
    folder = running.folder / "peers"
    with running.api() as api, servers.bridge(api, running.bundle, folder) as bridge:
        for kind in ("first", "before", "refused"):
            sample = running.senders.run(load.counted, bridge.target, kind, 6, 2)
            assert len(sample.each) == 6
        assert len(running.senders.run(load.counted, bridge.target, "again", 6, 2).each) == 6
        for name in ("baseline", "naive"):
            with servers.flask_peer(name, api, running.bundle, folder) as peer:
                health = peer.target._replace(path="/health", method="GET")
                assert len(running.senders.run(load.counted, health, "nothing", 6, 2).each) == 6
                assert len(running.senders.run(load.counted, peer.target, "first", 6, 2).each) == 6


@pytest.mark.toolchain
def test_node_peer_returns_expected_responses(running: Harness, npm_packages: Path) -> None:
    with running.api() as api, servers.node_peer(api, running.bundle, running.folder) as peer:
        assert peer
        assert len(running.senders.run(load.counted, peer.target, "first", 6, 2).each) == 6


def test_stand_in_takes_configured_latency(running: Harness) -> None:
    with running.api(0.05) as api:
        target = Target(int(api.rpartition(":")[2]), bundle=running.tls.bundle)
        sample = running.senders.run(load.at_a_rate, target, 20.0, 0.5)
    assert len(sample.each) == 10
    assert min(sample.each) >= 0.05


def test_unexpected_response_ends_run(running: Harness) -> None:
    folder = running.folder / "wrong"
    with running.api() as api, servers.bridge(api, running.bundle, folder) as bridge:
        other = bridge.target._replace(verified=b"something else")
        with pytest.raises(ValueError, match="unexpected response"):
            running.senders.run(load.counted, other, "first", 1, 1)


@pytest.mark.parametrize(
    ("at", "guard", "measured", "verdict", "guarded"),
    [
        ("least", None, 1.0, "met", True),
        ("least", None, 0.99, "SHORT", False),
        ("least", 0.9, 0.95, "SHORT", True),
        ("most", None, 1.0, "met", True),
        ("most", None, 1.01, "SHORT", False),
        ("most", 1.2, 1.21, "SHORT", False),
        ("most", None, None, "not measured", True),
    ],
)
def test_result_reports_missed_target_and_guard(
    at: str, guard: float | None, measured: float | None, verdict: str, guarded: bool
) -> None:
    result = Result(targets.Target("speed", at, 1.0, guard=guard), measured, "of this")  # type: ignore[arg-type]
    assert (result.verdict, result.is_guarded) == (verdict, guarded)
    assert verdict in report.table([result])


def cold_peer(seconds: float) -> Peer:
    measured = ([seconds], [0.4], [0.2], [50 * 2**20])
    return Peer("bridge", ROOT, ("gunicorn",), {}, *measured)


def test_write_updates_document_and_plots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "DOCS", tmp_path)
    page, images = tmp_path / "explanation" / "performance.md", tmp_path / "images"
    page.parent.mkdir()
    images.mkdir()
    page.write_text((ROOT / "docs" / "explanation" / "performance.md").read_text())
    result = Result(targets.BESIDE_BASELINE, 1.23, "made up")
    rates = {"bridge": [2.0, 4.0], "baseline": [1.0, 2.0]}
    kinds = {"first": [2.0, 4.0], "again": [4.0, 8.0], "refused": [8.0, 16.0], "nothing": [20.0, 40.0]}
    times = {"API": [50.0, 51.0], "bridge": [53.0, 60.0], "baseline": [52.0, 58.0]}
    measured = {
        "speed": Throughput(rates, rates, kinds, (result,)),
        "profile": Profile({"first delivery": {"ledger": 120.0}}),
        "latency": Latency(times, ()),
        "cold-start": ColdStart([cold_peer(0.3)], [cold_peer(2.3)], ()),
        "memory": Memory(((0, 70.0), (100_000, 71.0)), ()),
    }
    report.write(measured)
    written = page.read_text()
    assert "| throughput, of the baseline's | at least 1.00 (guard: 0.90) | 1.23 | met | made up |" in written
    assert "| baseline | 2 | 2.00 | 2 | 2.00 |" in written
    assert "| a replay | 6 | 0.50 |" in written
    assert "| ledger | 120 |" in written
    assert "| bridge | 300 ms | 400 ms | 200 ms | 50.0 MiB |" in written
    assert "| bridge | 2300 ms | 400 ms | 200 ms | 50.0 MiB |" in written
    report.write(measured | {"cold-start": ColdStart((), (), (Result(targets.COLD_START, None, "no CPython 3.10"),))})
    assert "Not measured: no CPython 3.10." in page.read_text()
    pictures = {path.name: path.read_bytes() for path in images.glob("*.svg")}
    assert set(pictures) == set(re.findall(r"\(\.\./images/(performance-[a-z]+\.svg)\)", written))
    plots.draw(measured, images)
    assert {path.name: path.read_bytes() for path in images.glob("*.svg")} == pictures


@pytest.mark.parametrize("instances", [1, 2])
def test_burst_ends_with_every_delivery_verified(running: Harness, instances: int) -> None:
    assert run_once(running, instances, count=25).seconds >= 1.0


def test_group_ends_process_that_needs_more_memory() -> None:
    try:
        with cgroups.group("memory") as group:
            group.limit_memory(32 * 2**20)
            small = subprocess.run(group.command([sys.executable, "-c", "print(1)"]), check=False)
            assert (small.returncode, group.was_killed()) == (0, False)
            large = subprocess.run(group.command([sys.executable, "-c", "bytearray(64 << 20)"]), check=False)
            assert (large.returncode, group.was_killed()) == (-signal.SIGKILL, True)
    except cgroups.GroupError as error:
        pytest.skip(str(error))


def test_group_slows_process_down_to_its_part_of_processor() -> None:
    busy = "import time; end = time.process_time() + 0.1\nwhile time.process_time() < end: pass"
    try:
        with cgroups.group("cpu") as group:
            group.limit_processor(0.1)
            began = time.monotonic()
            subprocess.run(group.command([sys.executable, "-c", busy]), check=True)
            assert time.monotonic() - began > 0.5
    except cgroups.GroupError as error:
        pytest.skip(str(error))


def test_small_instance_verifies_deliveries(running: Harness) -> None:
    interpreter = python310.find()
    if interpreter is None:
        pytest.skip(built.NO_INTERPRETER)
    try:
        run = memory.run_in(96, running, interpreter, count=40, step=20)
    except cgroups.GroupError as error:
        pytest.skip(str(error))
    assert (run.verified, len(run.held)) == (40, 2)


def test_small_instance_that_was_killed_is_reported() -> None:
    killed, done = memory.Run(36, 1_200, ()), memory.Run(48, memory.SMALL_COUNT, (30.0, 31.5))
    verified, resident, growth = memory.results([killed, done])
    assert (verified.measured, verified.verdict) == (1_200, "SHORT")
    assert verified.detail == "killed in 36 MiB after 1,200; all verified in 48 MiB; 8 connections"
    assert (resident.measured, growth.measured) == (31.5, 1.5)
    assert [one.measured for one in memory.results([killed])] == [1_200, None, None]


def test_put_replaces_text_between_markers_and_raises_without_them(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("<!-- begin a -->\nold\n<!-- end a -->\n<!-- begin b -->\n")
    documents.put(document, {"a": "new\n"})
    assert document.read_text() == "<!-- begin a -->\nnew\n<!-- end a -->\n<!-- begin b -->\n"
    with pytest.raises(ValueError, match="begin b"):
        documents.put(document, {"b": "new\n"})


def test_at_returns_value_at_fraction() -> None:
    assert [at([1.0, 2.0, 3.0, 4.0], part) for part in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]


@pytest.mark.parametrize(
    ("stack", "layer"),
    [
        ("run (threading.py:1);handle (gunicorn/workers/gthread.py:5)", "gunicorn"),
        ("wsgi_app (flask/app.py:1);signup (signup_bridge/web/routes.py:9);get (werkzeug/local.py:3)", "Flask"),
        (
            "claim (signup_bridge/ledger/sqlite/ledger.py:1);seconds (signup_bridge/core/clock.py:2)",
            "the rest of the bridge",
        ),
        ("call (tencentcloud/common/abstract_client.py:4);dumps (json/__init__.py:1)", "SDK"),
        ("request (signup_bridge/upstream/transport.py:50);begin (http/client.py:318)", "HTTP to the API"),
        ("main (app.py:1)", "else"),
    ],
)
def test_layer_of_returns_innermost_layer(stack: str, layer: str) -> None:
    assert layer_of(stack.split(";")) == layer
    assert layer in {*dict(LAYERS), "else"}


def test_bench_without_proc_exits_with_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.argv", ["bench"])
    monkeypatch.setattr(processes, "PROC", tmp_path)
    with pytest.raises(SystemExit, match="requires Linux"):
        command.main()


def test_bench_unknown_benchmark_lists_known_ones(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "nonsense"])
    with pytest.raises(SystemExit):
        command.main()
    errors = capsys.readouterr().err
    assert all(name in errors for name in command.BENCHMARKS)
