from __future__ import annotations

import pytest
from signup_bridge.service.admission import LONGEST_ABSENCE, Places

from tests.support.builders import StillClock


def test_those_who_find_no_place_are_called_again_one_by_one() -> None:
    clock = StillClock()
    places = Places(1, 0.5, clock)
    assert [places.retry_after() for _ in range(3)] == pytest.approx([0, 0.5, 1.0], abs=0.1)
    clock.run += 10
    assert places.retry_after() == pytest.approx(0, abs=0.1)
    turns = [places.retry_after() for _ in range(500)]
    assert turns[-1] == pytest.approx(LONGEST_ABSENCE, abs=1)
    assert places.retry_after() == pytest.approx(LONGEST_ABSENCE, abs=1)


def test_a_place_is_taken_once_and_given_back() -> None:
    places = Places(1, 0.5, StillClock())
    with places.place(b"one") as taken, places.place(b"two") as other:
        assert (taken, other) == (True, False)
        assert (places.has(b"one"), places.has(b"two")) == (True, False)
        assert not places.wait(0.01)
    assert not places.has(b"one")
    assert places.wait(0.01)
