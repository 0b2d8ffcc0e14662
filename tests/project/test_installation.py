"""Test `tools/venv.py` and the lock files with real installations from the configured package index."""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
from signup_bridge import __version__

from signup_toolkit import ports
from tests.support import ROOT

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(900)]

LOCKS = ("requirements.txt", "requirements-dev.txt")
INSTALL = "import runpy, sys; runpy.run_path('tools/venv.py')['install'](sys.argv[1])"


def lock_entry(package: str) -> str:
    """Return the lines of requirements-dev.txt that pin a package without dependencies."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / "requirements-dev.txt").read_text(), flags=re.MULTILINE)
    return next(entry for entry in entries if entry.startswith(f"{package}=="))


def checkout(folder: Path, **locks: str) -> Path:
    """Create a checkout with the tool and the given lock files, or the project's."""
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "venv.py", folder / "tools")
    for lock in LOCKS:
        text = locks.get(lock.removesuffix(".txt").replace("-", "_"), (ROOT / lock).read_text())
        (folder / lock).write_text(text)
    return folder


def environment(folder: Path, pip: str) -> Path:
    """Create an environment with a release of pip. The name `pip` is the newest release."""
    uv = [sys.executable, "-m", "uv", "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, folder], check=True)
    subprocess.run([*uv, "pip", "install", "--python", folder / "bin" / "python", pip], check=True)
    return folder


def pins(text: str) -> dict[str, str]:
    """Return the versions that a lock pins for every platform."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\", text, re.MULTILINE))


def installed(python: str, names: Iterable[str]) -> dict[str, str | None]:
    """Return the versions of packages in an environment, and check that their dependencies are installed."""
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    assert subprocess.run([*pip, "check"], capture_output=True, text=True, check=False).stdout == (
        "No broken requirements found.\n"
    )
    listed = subprocess.run([*pip, "list", "--format", "json"], capture_output=True, check=True).stdout
    versions = {re.sub("[-_.]+", "-", one["name"]).lower(): one["version"] for one in json.loads(listed)}
    return {name: versions.get(name) for name in names}


def test_environment_of_the_tests_has_exactly_what_is_pinned() -> None:
    """`make test` created the environment with the tool, which uses uv."""
    pinned = pins("".join((ROOT / lock).read_text() for lock in LOCKS))
    assert len(pinned) > 50
    assert installed(sys.executable, pinned) == pinned


@pytest.mark.parametrize("pip", ["pip==23.0.1", "pip"])
def test_pip_installs_exactly_what_is_pinned(tmp_path: Path, pip: str) -> None:
    folder = checkout(tmp_path / "checkout")
    python = environment(tmp_path / "environment", pip) / "bin" / "python"
    command = [sys.executable, "-c", INSTALL, "requirements.txt"]
    environ = {"VENV_DIR": str(tmp_path / "environment"), "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"installing \d+ packages from requirements.txt …\n", done.stdout)
    pinned = pins((folder / "requirements.txt").read_text())
    assert len(pinned) > 10
    assert installed(str(python), pinned) == pinned


Setup = Callable[..., list[str]]


def set_up_in(folder: Path, *arguments: str, **environ: str) -> list[str]:
    """Run the tool; return the steps that it prints."""
    command = [sys.executable, "tools/venv.py", *arguments]
    environment = os.environ | environ
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return [re.sub(r"installing \d+ packages from ", "", line).removesuffix(" …") for line in done.stdout.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Create a checkout whose locks pin one small package each."""
    return checkout(tmp_path, requirements=lock_entry("blinker"), requirements_dev=lock_entry("certifi"))


@pytest.fixture
def set_up(folder: Path) -> Setup:
    return partial(set_up_in, folder)


def test_environment_is_created_only_if_missing_or_stale(folder: Path, set_up: Setup) -> None:
    base = ["creating .venv", "requirements.txt"]
    assert set_up() == base
    assert set_up() == []
    assert set_up("--dev") == ["requirements-dev.txt"]
    assert set_up("--dev") == set_up() == []
    (folder / "requirements-dev.txt").write_text(lock_entry("click"))
    assert set_up("--dev") == [*base, "requirements-dev.txt"]
    (folder / "requirements.txt").write_text(lock_entry("click"))
    assert set_up() == base
    (folder / ".venv" / "bin" / "python").unlink()
    assert set_up() == base


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a checkout with an environment. Its second lock contains uv."""
    locks = {"requirements": lock_entry("blinker"), "requirements_dev": lock_entry("uv") + lock_entry("certifi")}
    folder = checkout(tmp_path_factory.mktemp("made") / "checkout", **locks)
    assert set_up_in(folder, "--dev") == ["creating .venv", "requirements.txt", "requirements-dev.txt"]
    return folder


def installer(folder: Path, package: str) -> str:
    (file,) = (folder / ".venv").glob(f"lib/*/site-packages/{package}-*.dist-info/INSTALLER")
    return file.read_text().strip()


def test_lock_is_installed_by_uv_and_else_by_pip(made: Path) -> None:
    assert [installer(made, package) for package in ("uv", "blinker", "certifi")] == ["pip", "uv", "uv"]
    (made / ".venv" / ".requirements-dev.txt").unlink()
    (made / "requirements-dev.txt").write_text(lock_entry("uv") + lock_entry("click"))
    unreachable = {"UV_DEFAULT_INDEX": f"http://127.0.0.1:{ports.free()}/simple", "UV_NO_CACHE": "1"}
    assert set_up_in(made, "--dev", **unreachable) == ["requirements-dev.txt"]
    assert installer(made, "click") == "pip"


def test_uv_uses_the_index_of_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://pip.example.com/simple\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("VENV_DIR", sys.prefix)
    monkeypatch.delenv("UV_DEFAULT_INDEX", raising=False)
    index = runpy.run_path(str(ROOT / "tools" / "venv.py"))["uv_environment"]
    assert index()["UV_DEFAULT_INDEX"] == "https://pip.example.com/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example.com/simple")
    assert index()["UV_DEFAULT_INDEX"] == "https://variable.example.com/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.example.com/simple")
    assert index()["UV_DEFAULT_INDEX"] == "https://uv.example.com/simple"


def test_environment_has_the_command_of_the_checkout(made: Path) -> None:
    (made / "function").symlink_to(ROOT / "function")
    command = made / ".venv" / "bin" / "signup-bridge"
    for change in (lambda: None, lambda: command.write_text("#!/bin/sh\n"), command.unlink):
        change()
        set_up_in(made)
        done = subprocess.run([command, "--version"], cwd="/", env={}, capture_output=True, text=True, check=True)
        assert done.stdout == f"signup-bridge {__version__}\n"


def test_failed_installation_shows_pips_output_and_is_repeated(folder: Path, set_up: Setup) -> None:
    good = (folder / "requirements.txt").read_text()
    (folder / "requirements.txt").write_text(re.sub("sha256:[0-9a-f]{8}", "sha256:00000000", good))
    command = [sys.executable, "tools/venv.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    (folder / "requirements.txt").write_text(good)
    assert set_up() == ["creating .venv", "requirements.txt"]
