"""docs/security.md names the test for each claim: every one of them exists, and no row is without."""

from __future__ import annotations

import re
from functools import cache

import pytest
from signup_bridge.settings import SETTINGS

from tests.support.builders import ROOT, documented

PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`([\w/]*test_\w+\.py)::(test_\w+)`", PAGE)))
CLAIMS = documented("What an attacker can and cannot do", "docs/security.md") + documented(
    "Which contacts were verified before", "docs/security.md"
)


@cache
def in_file(file: str) -> set[str]:
    return set(re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE))


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_each_named_test_exists(file: str, name: str) -> None:
    assert name in in_file(file)


def test_each_claim_names_its_test() -> None:
    assert len(CLAIMS) > 25
    assert [row[0] for row in CLAIMS if not re.fullmatch(r"(`[\w/]*test_\w+\.py::test_\w+` ?)+", row[-1])] == []


def test_what_is_to_be_set_is_a_setting() -> None:
    settings = {setting.name for setting in SETTINGS}
    named = {
        name for row in documented("What to set", "docs/security.md") for name in re.findall("`([A-Z_]{6,})", row[0])
    }
    assert named <= settings
    assert {"WEBHOOK_AUTH", "MAX_WRONG_CODES", "REVEAL_ALREADY_VERIFIED"} <= named
