"""Test `signup-bridge serve`, which replaces its process with gunicorn."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest
import requests
from signup_bridge import __version__
from signup_bridge.cli.serve import start_problems

from signup_deploy.packaging.package import Package
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.instances import environment, wait_for
from tests.support.emulator.command import COMMAND, IMPORTS


def test_serve_becomes_gunicorn_with_the_settings_of_the_environment(tmp_path: Path) -> None:
    port, log = ports.free(), tmp_path / "log"
    settings = environment(
        "http://127.0.0.1:9", HOST="127.0.0.1", PORT=str(port), LEDGER_URL=f"sqlite:///{tmp_path}/l.db"
    )
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "serve"], cwd=tmp_path, env=os.environ | IMPORTS | settings, stdout=output, stderr=output
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        assert requests.get(f"http://127.0.0.1:{port}/ready", timeout=60).status_code == 200
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


def test_serve_without_settings_names_them_and_exits_with_1() -> None:
    kept = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    done = subprocess.run(
        [*COMMAND, "serve"], cwd=ROOT, env=kept | IMPORTS, capture_output=True, text=True, timeout=150, check=False
    )
    assert done.returncode == 1
    assert "WEBHOOK_SECRETS: is not set" in done.stdout


def test_start_problems_names_each_setting() -> None:
    problems = start_problems({"REQUEST_BUDGET": "soon", "WEBHOOK_AUTH": "none", "TENCENT_SECRET_ID": "AKID"})
    assert [problem.partition(":")[0] for problem in problems] == ["REQUEST_BUDGET", "TENCENT_SECRET_KEY"]


def serve_once(**settings: str) -> subprocess.CompletedProcess[str]:
    """Run `serve` until it exits."""
    environ = os.environ | IMPORTS | environment("http://127.0.0.1:9", **settings)
    return subprocess.run(
        [*COMMAND, "serve"], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=150, check=False
    )


def test_serve_on_an_address_that_cannot_be_used_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        busy = serve_once(HOST="127.0.0.1", PORT=port)
    elsewhere = serve_once(HOST="192.0.2.1", PORT=port)
    problems = [json.loads(done.stdout)["problems"] for done in (busy, elsewhere)]
    assert problems == [
        [f"PORT: port {port} on 127.0.0.1 is in use; set another port"],
        ["HOST: this machine does not have the address 192.0.2.1; set its address, or 0.0.0.0"],
    ]
    assert (busy.returncode, elsewhere.returncode, busy.stderr, elsewhere.stderr) == (1, 1, "", "")


@pytest.mark.parametrize("name", ["LISTEN_FDS", "GUNICORN_FD", "GUNICORN_CMD_ARGS"])
def test_serve_leaves_the_address_to_gunicorn_if_it_may_be_another(name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = environment("http://127.0.0.1:9", HOST="127.0.0.1", PORT=str(other.getsockname()[1]))
        assert len(start_problems(settings)) == 1
        assert start_problems({**settings, name: ""}) == []


def test_zip_serves_with_the_same_command(built: Package, python3_10: str, tmp_path: Path) -> None:
    """The interpreter is SCF's version, without installed packages."""
    command = [python3_10, "-s", "-m", "signup_bridge"]
    kept = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    version = subprocess.run(
        [*command, "--version"], cwd=built.folder, env=kept, capture_output=True, text=True, timeout=150, check=False
    )
    assert (version.returncode, version.stdout) == (0, f"signup-bridge {__version__}\n")
    port, log = ports.free(), tmp_path / "log"
    settings = environment("http://127.0.0.1:9", HOST="127.0.0.1", PORT=str(port))
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "serve"], cwd=built.folder, env=kept | settings, stdout=output, stderr=output
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
