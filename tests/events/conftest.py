"""Define the fixtures of the tests of events."""

from __future__ import annotations

import pytest

from signup_emulator.server import Emulator
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.instances import Bridge, bridge


@pytest.fixture
def ckafka_bridge(emulator: Emulator) -> Bridge:
    return bridge(emulator.url, StillClock(), REQUEST_BUDGET=2)
