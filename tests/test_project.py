"""The project's own files: what is installed, and how it is installed."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from bridge import __version__
from builders import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt")


def pinned(lock: str) -> dict[str, list[str]]:
    """Each requirement of a lock file with its hashes."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    return {entry.split()[0]: re.findall(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_with_hashes(lock: str) -> None:
    entries = pinned(lock)
    assert len(entries) > 10
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", name) for name in entries)
    assert all(entries.values())


@pytest.mark.parametrize("lock", LOCKS)
def test_nothing_of_aws_and_not_the_large_sdks(lock: str) -> None:
    names = {name.partition("==")[0] for name in pinned(lock)}
    assert not [name for name in names if re.search("boto|aws|s3transfer", name)]
    assert {name for name in names if name.startswith("tencentcloud")} == {"tencentcloud-sdk-python-common"}
    assert {"flask", "gunicorn"} <= names


def test_what_is_developed_with_is_what_is_deployed() -> None:
    runtime, development = (pinned(lock) for lock in LOCKS)
    assert {name: development.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("lock", LOCKS)
def test_the_locks_name_no_index(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


VENV = str(ROOT / "tools" / "venv.py")


def test_an_old_python_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(VENV, run_name="__main__")
    message = str(raised.value)
    assert "Python 3.10 or later" in message
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(VENV, run_name="__main__")
    message = str(raised.value)
    assert "apt-get install python3-venv" in message
    assert "\n" not in message


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, list[str]]:
    """A checkout of two lock files and the tool, whose commands are only noted; `.venv` appears as they make it."""
    commands: list[str] = []
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "venv.py").write_text(Path(VENV).read_text())
    for lock in LOCKS:
        (tmp_path / lock).write_text(f"{lock}\n")

    def call(command: tuple[str, ...]) -> int:
        if "venv" in command:
            commands.append("venv")
            binaries = tmp_path / ".venv" / "bin"
            binaries.mkdir(parents=True, exist_ok=True)
            (binaries / "python").touch()
            for stamp in LOCKS:
                (tmp_path / ".venv" / f".{stamp}").unlink(missing_ok=True)
        else:
            commands.append(Path(command[-1]).name)
        return 3 if "fail" in (tmp_path / LOCKS[0]).read_text() else 0

    monkeypatch.setattr("subprocess.call", call)
    return tmp_path, commands


def set_up(folder: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["venv.py", *arguments])
    runpy.run_path(str(folder / "tools" / "venv.py"), run_name="__main__")


def test_the_environment_is_made_when_missing_or_stale(
    checkout: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, commands = checkout

    def steps(*arguments: str) -> list[str]:
        commands.clear()
        set_up(folder, monkeypatch, *arguments)
        return list(commands)

    assert steps() == ["venv", "requirements.txt"]
    assert steps() == []
    assert steps("--dev") == ["requirements-dev.txt"]
    assert steps("--dev") == steps() == []
    (folder / "requirements-dev.txt").write_text("changed\n")
    assert steps() == ["venv", "requirements.txt"]
    assert steps("--dev") == ["requirements-dev.txt"]
    (folder / "requirements.txt").write_text("changed\n")
    assert steps("--dev") == ["venv", "requirements.txt", "requirements-dev.txt"]
    monkeypatch.setattr(sys, "version", "another Python")
    assert steps() == ["venv", "requirements.txt"]
    (folder / ".venv" / "bin" / "python").unlink()
    assert steps() == ["venv", "requirements.txt"]


def test_a_failed_installation_is_done_again(checkout: tuple[Path, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, commands = checkout
    (folder / "requirements.txt").write_text("fail\n")
    with pytest.raises(SystemExit) as raised:
        set_up(folder, monkeypatch)
    assert raised.value.code == 3
    (folder / "requirements.txt").write_text("good\n")
    commands.clear()
    set_up(folder, monkeypatch)
    assert commands == ["venv", "requirements.txt"]


def test_the_version_is_one() -> None:
    changelog: Any = re.search(r"^## \[?([0-9][^\] ]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changelog[1] == __version__
