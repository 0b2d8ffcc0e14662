"""Test the wording check: each rule finds its example and accepts its replacement, and the project has no finding."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.support import ROOT
from tools import wording


@pytest.mark.parametrize(("pattern", "instead", "example"), wording.RULES)
def test_rule_finds_its_example_and_accepts_its_replacement(pattern: str, instead: str, example: str) -> None:
    assert [found for _, _, found in wording.find(f"first line\n{example}\n")] == [instead]
    assert not wording.find(instead)


def test_find_returns_line_and_words() -> None:
    assert wording.find("a\nThe sender hears 503.") == [(2, "hears", "receives")]


def test_line_with_reason_is_allowed() -> None:
    assert not wording.find("the sender hears  # wording: quoted from elsewhere")


def test_question_is_allowed() -> None:
    assert not wording.find("# What is the status?")


def check(*files: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "tools/wording.py", *files]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=150, check=False)


def test_project_has_no_finding() -> None:
    done = check()
    assert (done.returncode, done.stdout) == (0, "")


def test_file_with_findings_is_reported_by_line() -> None:
    done = check("tools/wording.py")
    assert done.returncode == 1
    assert re.search(r"^tools/wording\.py:\d+: “hears”; use instead: receives$", done.stdout, re.MULTILINE)
    assert re.fullmatch(r"\d+ texts to reword\n", done.stderr)
