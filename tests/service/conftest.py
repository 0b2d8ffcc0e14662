"""Fixtures for the reconciliation of unknown outcomes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from signup_emulator.server import Emulator
from tests.support.scenarios.lost_replies import World, worlds


@pytest.fixture
def new_world(emulator: Emulator, tmp_path: Path) -> Callable[..., World]:
    """Return a function that creates worlds over one account, one ledger and one clock."""
    return worlds(emulator, tmp_path)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()
