"""Test the package, built from the checkout, in an empty environment and outside the checkout's folder."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from signup_bridge import __version__
from signup_bridge.cli.main import COMMANDS

from signup_deploy.packaging.package import Package
from signup_toolkit import ports
from tests.support import ROOT

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(900)]

KEPT = ("PATH", "HOME", "PIP", "UV", "SSL", "REQUESTS")
"""The prefixes of the variables that pip and uv may need. None of these refers to the checkout."""


def environment(**changed: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(KEPT)} | changed


@dataclass(frozen=True)
class Installation:
    """An environment that contains the package."""

    folder: Path

    @property
    def command(self) -> str:
        return str(self.folder / "bin" / "signup-bridge")

    def run(self, *arguments: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
        command = [self.command, *arguments]
        return subprocess.run(
            command, cwd=cwd, env=environment(**environ), capture_output=True, text=True, timeout=600, check=False
        )

    def python(self, program: str, cwd: Path) -> str:
        """Return the output of a program in this environment."""
        command = [str(self.folder / "bin" / "python"), "-c", program]
        return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def installation(run_folder: Path) -> Installation:
    """Install the checkout with `pip install`, once for all workers of this run."""
    folder = run_folder / "installation"
    with (run_folder / "installation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            venv = [sys.executable, "-m", "uv", "--quiet", "venv", "--seed", "--python", sys.executable, str(folder)]
            subprocess.run(venv, check=True)
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", str(ROOT)]
            done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
    return Installation(folder)


def test_installation_has_the_version_and_metadata(installation: Installation, tmp_path: Path) -> None:
    done = installation.run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"signup-bridge {__version__}\n", "")
    program = (
        "from importlib.metadata import metadata; found = metadata('signup-bridge');"
        "print(found['Version'], found['License-Expression'], found['Requires-Python'])"
    )
    assert installation.python(program, tmp_path) == f"{__version__} Apache-2.0 >=3.10\n"


def test_installation_has_types_and_no_files_outside_its_packages(installation: Installation, tmp_path: Path) -> None:
    program = "from importlib.metadata import files; print(*files('signup-bridge'), sep='\\n')"
    files = installation.python(program, tmp_path).splitlines()
    packages = {"signup_bridge", "signup_deploy", "signup_emulator", "signup_toolkit"}
    tops = {name.split("/")[0] for name in files}
    assert tops == {*packages, f"signup_bridge-{__version__}.dist-info", ".."}
    assert [name for name in files if name.startswith("..")] == ["../../../bin/signup-bridge"]
    assert {f"{package}/py.typed" for package in packages} <= set(files)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_describes_itself(installation: Installation, tmp_path: Path, name: str) -> None:
    done = installation.run(name, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: signup-bridge {name} ")


@pytest.fixture
def running(installation: Installation, tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Start `signup-bridge run` in an empty folder; yield its output and the emulator's URL."""
    emulator_port, log = str(ports.free()), tmp_path / "log"
    environ = environment(PORT=str(ports.free()), EMULATOR_PORT=emulator_port)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [installation.command, "run"], cwd=tmp_path, env=environ, stdout=output, stderr=output
        )
    try:
        end = time.monotonic() + 120
        while "Ctrl-C stops both" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.05)
        yield log.read_text(), f"http://127.0.0.1:{emulator_port}"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def test_run_verifies_a_signed_delivery(installation: Installation, running: tuple[str, str], tmp_path: Path) -> None:
    printed, emulator = running
    assert f"  {installation.command} send --signup --emulator {emulator}\n" in printed
    sent = installation.run("send", "--emulator", emulator, cwd=tmp_path)
    assert (sent.returncode, sent.stdout.splitlines()[0]) == (0, "200 verified")
    assert (tmp_path / ".run" / "ledger.db").exists()
    listed = installation.run("deliveries", "--emulator", emulator, cwd=tmp_path).stdout
    assert re.search(r" 200 +verified ", listed)
    assert installation.run("codes", "--emulator", emulator, cwd=tmp_path).returncode == 0


@pytest.mark.usefixtures("python3_10")
def test_package_builds_the_same_zip_as_the_checkout(
    installation: Installation, built: Package, tmp_path: Path
) -> None:
    done = installation.run("package", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "build" / "function.zip").read_bytes() == built.archive.read_bytes()


def test_deploy_writes_its_template_and_shows_the_calls(
    installation: Installation, built: Package, tmp_path: Path
) -> None:
    missing = installation.run("deploy", cwd=tmp_path)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert f"write the template with `{installation.command} deploy --init`" in missing.stderr
    done = installation.run("deploy", "--init", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "serverless.yml").read_bytes() == (ROOT / "serverless.yml").read_bytes()
    again = installation.run("deploy", "--init", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, "")
    settings = {"FUNCTION_SECRET_ID": "id", "FUNCTION_SECRET_KEY": "key", "WEBHOOK_SECRETS": f"whsec_{'c2VjcmV0' * 4}"}
    calls = installation.run("deploy", "--dry-run", "--package", str(built.archive), cwd=tmp_path, **settings)
    assert (calls.returncode, calls.stderr) == (0, "")
    assert "  would call CreateFunction\n" in calls.stdout


def test_uvx_runs_the_command_and_packages_without_pip(tmp_path: Path) -> None:
    uvx = [str(Path(sys.executable).with_name("uv")), "tool", "run", "--python", sys.executable, "--from", str(ROOT)]
    environ = environment(UV_CACHE_DIR=str(tmp_path / "cache"), UV_TOOL_DIR=str(tmp_path / "tools"))
    folder = tmp_path / "folder"
    folder.mkdir()
    for arguments, printed in (["--version"], f"signup-bridge {__version__}\n"), (["package"], "build/function.zip"):
        done = subprocess.run(
            [*uvx, "signup-bridge", *arguments],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert printed in done.stdout
    assert (folder / "build" / "function.zip").exists()
