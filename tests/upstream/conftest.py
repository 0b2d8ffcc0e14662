"""Define the fixtures of the tests of API calls."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.network.api_calls import succeed
from tests.support.network.upstream import Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    """Start a server that replies to each call with success."""
    with Upstream(succeed) as running:
        yield running
