"""Test the project's lock files, its installation and its version."""

from __future__ import annotations

import re
import runpy
import sys
from typing import Any

import pytest
from signup_bridge import __version__

from tests.support import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt")


def pinned(lock: str) -> dict[str, list[str]]:
    """Return the hashes of each requirement in a lock file."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    return {entry.split()[0]: re.findall(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries}


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_every_package_with_hashes(lock: str) -> None:
    entries = pinned(lock)
    assert entries
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", name) for name in entries)
    assert all(entries.values())


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_locks_contain_no_aws_and_no_large_sdk(lock: str) -> None:
    names = {name.partition("==")[0] for name in pinned(lock)}
    assert not [name for name in names if re.search("boto|aws|s3transfer", name)]
    assert {name for name in names if name.startswith("tencentcloud")} == {"tencentcloud-sdk-python-common"}
    assert {"flask", "gunicorn"} <= names


def test_development_lock_contains_runtime_and_deployer_locks() -> None:
    runtime, development = (pinned(lock) for lock in LOCKS)
    assert {name: development.get(name) for name in runtime} == runtime


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_name_no_index(lock: str) -> None:
    assert "://" not in (ROOT / lock).read_text()


VENV = str(ROOT / "tools" / "venv.py")


def test_venv_tool_rejects_old_python_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(VENV, run_name="__main__")
    message = str(raised.value)
    assert "Python 3.10 or later" in message
    assert "\n" not in message


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_venv_tool_rejects_python_without_venv_in_one_line(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(SystemExit) as raised:
        runpy.run_path(VENV, run_name="__main__")
    message = str(raised.value)
    assert "apt-get install python3-venv" in message
    assert "\n" not in message


def test_version_equals_changelog() -> None:
    changelog: Any = re.search(r"^## \[?([0-9][^\] ]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changelog[1] == __version__
