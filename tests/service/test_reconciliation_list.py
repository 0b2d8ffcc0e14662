"""Test the contact list of a reconciliation: its quota, malformed lists, and the pages read of a long list."""

from __future__ import annotations

from typing import Any

import pytest
from signup_bridge.core.clock import Deadline

from tests.support.bridge.clocks import SetClock
from tests.support.bridge.instances import Bridge
from tests.support.bridge.signed_requests import PHONE
from tests.support.scenarios.lost_replies import DESCRIBE, World, describe_with, listed_rows, verified


def test_list_calls_respect_their_rate_limit(world: World) -> None:
    world.lose()
    world.deliver("a")
    world.lose("RequestLimitExceeded", DESCRIBE)
    world.deliver("a")
    assert factor(world.bridge, DESCRIBE) == 0.7


def factor(of: Bridge, action: str) -> float:
    """Return the factor that the rate of an action is multiplied by."""
    query = "SELECT factor FROM paces WHERE action = ?"
    ledger = of.app.extensions["ledger"]
    (found,) = ledger.database.read(lambda db: db.execute(query, (action,)).fetchone(), Deadline(SetClock(), 5))
    return float(found)


@pytest.mark.parametrize(
    "reply",
    [
        {"PhoneEmailList": [], "TotalCount": "0"},
        {"PhoneEmailList": [], "TotalCount": True},
        {"PhoneEmailList": {}, "TotalCount": 0},
        {"TotalCount": 0},
        {"PhoneEmailList": ["x"], "TotalCount": 1},
        {"PhoneEmailList": [{"Code": 5}], "TotalCount": 1},
    ],
)
def test_malformed_list_stays_unknown(world: World, reply: dict[str, Any]) -> None:
    world.lose()
    world.deliver("a")
    describe_with(world, lambda *_: reply)
    assert world.deliver("a").json["code"] == "outcome-unknown"


@pytest.mark.parametrize("order", ["newest first", "oldest first"])
@pytest.mark.parametrize("offset", ["rows", "pages", "pages from one"])
@pytest.mark.parametrize("others", [150, 430, 600])
def test_long_list_is_read_at_both_ends(world: World, order: str, offset: str, others: int) -> None:
    """The API's reference specifies neither the order of the rows nor the unit of Offset."""
    world.lose()
    world.deliver("a")
    now = world.clock.time()
    for number in range(others):
        world.emulator.domain.accept((1, f"{number:09}"), at=now - 10_000 + number)
    listed = listed_rows(world)

    def page(_kind: int, limit: int, start: int) -> dict[str, Any]:
        rows = list(listed)
        if order == "oldest first":
            rows.reverse()
        if offset != "rows":
            start = max(0, start - (offset == "pages from one")) * limit
        return {"PhoneEmailList": rows[start : start + limit], "TotalCount": len(rows)}

    describe_with(world, page)
    assert verified(world.deliver("a"))
    assert 1 <= world.seen().count("D:OK") <= 4


def test_list_with_short_pages_is_read_at_both_ends(world: World) -> None:
    world.lose()
    world.deliver("a")
    row = {"Code": PHONE, "Type": 1, "CreatedOn": "2020-01-01 00:00:00"}
    asked: list[int] = []

    def page(_kind: int, _limit: int, start: int) -> dict[str, Any]:
        asked.append(start)
        return {"PhoneEmailList": [{**row, "Code": f"{start}{n}"} for n in range(20)], "TotalCount": 105}

    describe_with(world, page)
    world.deliver("a")
    assert asked[:4] == [0, 5, 6, 85]


def test_long_list_without_rows_is_absent(world: World) -> None:
    world.lose("unprocessed")
    world.deliver("a")
    describe_with(world, lambda *_: {"PhoneEmailList": [], "TotalCount": 1})
    assert verified(world.deliver("a"))
