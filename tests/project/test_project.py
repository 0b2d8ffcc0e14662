"""The project's own files: what is installed, and how it is installed."""

from __future__ import annotations

import re
import runpy
import sys
from typing import Any

import pytest
from signup_bridge import __version__

from tests.support.builders import ROOT

LOCKS = ("requirements.txt", "requirements-dev.txt")


def pinned(lock: str) -> dict[str, list[str]]:
    """Each requirement of a lock file with its hashes."""
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / lock).read_text(), flags=re.MULTILINE)[1:]
    return {entry.split()[0]: re.findall(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries}


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_with_hashes(lock: str) -> None:
    entries = pinned(lock)
    assert entries
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][0-9a-z.]*", name) for name in entries)
    assert all(entries.values())


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
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


def test_the_version_is_one() -> None:
    changelog: Any = re.search(r"^## \[?([0-9][^\] ]*)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert changelog[1] == __version__
