"""Define the fixtures of the tests of reconciliation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from signup_emulator.server import Emulator
from tests.support.scenarios.lost_replies import World, worlds


@pytest.fixture
def new_world(emulator: Emulator, tmp_path: Path) -> Callable[..., World]:
    """Return a function that creates worlds with a shared account, ledger and clock."""
    return worlds(emulator, tmp_path)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()
