"""Define the fixtures of the tests of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bridge.targets import Running, running_tree


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Start one bridge under gunicorn for the tests of a file."""
    with running_tree(tmp_path_factory.mktemp("bridge") / "log") as running:
        yield running


@pytest.fixture
def fresh(running: Running) -> None:
    """Reset the emulated API of the running bridge."""
    running.emulator.reset()
