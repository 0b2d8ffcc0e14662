"""`tools/venv.py` and the lock files, installed for real from the machine's package index."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from signup_bridge import __version__

from tests.support import ROOT

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(900)]

LOCKS = ("requirements.txt", "requirements-dev.txt")
INSTALL = "import runpy, sys; runpy.run_path('tools/venv.py')['install'](sys.argv[1])"


def lock_entry(package: str) -> str:
    """The lines of requirements.txt that pin a package without dependencies."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    return next(entry for entry in entries if entry.startswith(f"{package}=="))


def checkout(folder: Path, **locks: str) -> Path:
    """The tool beside the project's lock files, or beside these instead."""
    (folder / "tools").mkdir(parents=True)
    shutil.copy(ROOT / "tools" / "venv.py", folder / "tools")
    for lock in LOCKS:
        text = locks.get(lock.removesuffix(".txt").replace("-", "_"), (ROOT / lock).read_text())
        (folder / lock).write_text(text)
    return folder


def environment(folder: Path, pip: str) -> Path:
    """An environment with this release of pip; `latest` is the newest."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    wanted = ["--upgrade", "pip"] if pip == "latest" else [f"pip=={pip}"]
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *wanted]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("pip", ["23.0.1", "latest"])
def test_locks_with_pip_install_exactly_what_is_pinned(tmp_path: Path, pip: str) -> None:
    folder = checkout(tmp_path / "checkout")
    python = environment(tmp_path / "environment", pip) / "bin" / "python"
    for lock in LOCKS:
        command = [sys.executable, "-c", INSTALL, lock]
        environ = {"VENV_DIR": str(tmp_path / "environment"), "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert re.fullmatch(rf"installing \d+ packages from {re.escape(lock)} …\n", done.stdout)
    check = [str(python), "-m", "pip", "check", "--disable-pip-version-check"]
    assert (
        subprocess.run(check, capture_output=True, text=True, check=False).stdout == "No broken requirements found.\n"
    )
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format", "json"], capture_output=True, check=True
    ).stdout
    installed = {re.sub("[-_.]+", "-", one["name"]).lower(): one["version"] for one in json.loads(listed)}
    text = "".join((folder / lock).read_text() for lock in LOCKS)
    pinned = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\", text, re.MULTILINE))  # without those of some platforms alone
    assert len(pinned) > 50
    assert {name: installed.get(name) for name in pinned} == pinned


Setup = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout whose locks pin one small package each."""
    small = {"requirements": "blinker", "requirements_dev": "certifi"}
    return checkout(tmp_path, **{lock: lock_entry(package) for lock, package in small.items()})


@pytest.fixture
def set_up(folder: Path) -> Setup:
    """Run the tool; the steps that it names."""

    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "tools/venv.py", *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return [
            re.sub(r"installing \d+ packages from ", "", line).removesuffix(" …") for line in done.stdout.splitlines()
        ]

    return run


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


def test_environment_has_the_command_of_the_checkout(folder: Path, set_up: Setup, tmp_path: Path) -> None:
    (folder / "function").symlink_to(ROOT / "function")
    command = folder / ".venv" / "bin" / "signup-bridge"
    set_up()
    for change in (lambda: None, lambda: command.write_text("#!/bin/sh\n"), command.unlink):
        change()
        set_up()
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
