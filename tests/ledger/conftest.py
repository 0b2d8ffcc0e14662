"""Define fixtures for the contract of the ledger, which SQLite and Redis both implement."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.ledgers import POLICY, Engine, Make, redis_engine, sqlite_engine


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Return a function that creates a ledger with changes to its policy, for each engine."""
    engines: list[Engine] = []

    def create(**changed: Any) -> Engine:
        policy = POLICY._replace(**changed)
        if request.param == "sqlite":
            engines.append(sqlite_engine(tmp_path, policy))
        else:
            engines.append(redis_engine(request.getfixturevalue("redis_server"), policy))
        return engines[-1]

    yield create
    for engine in engines:
        engine.ledger.close()


@pytest.fixture
def engine(make: Make) -> Engine:
    """Return a ledger with the default policy, for each engine."""
    return make()
