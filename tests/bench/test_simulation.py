"""The simulation of docs/capacity.md: what must hold in any of its worlds, and that a seed decides all of it."""

from __future__ import annotations

import re
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from signup_bridge.core.rate_limit import QUOTA_FRACTION

from bench import simulate as command
from bench.documents import put
from bench.simulation.ckafka import Trigger
from bench.simulation.events import Bell, Processor, Steps, Wait, World
from bench.simulation.real import apart
from bench.simulation.run import Scenario, Seen, simulate
from bench.simulation.scenarios import CHECKS, INSTANCES, SENDERS, SETTINGS, TRIGGERS, WAVES, of_sender
from bench.simulation.senders import BY_SCHEDULE, OBEYING
from bench.simulation.world import Costs, Setup
from tests.support.builders import ROOT

CAPACITY = (ROOT / "docs" / "capacity.md").read_text()
SMALL = (
    *(of_sender(sender, *setting) for sender in SENDERS for setting in SETTINGS.values()),
    Scenario("CKafka", 300, 1, trigger=Trigger(12)),
    Scenario("CKafka, too little time", 300, 1, trigger=Trigger(12, batch=100, timeout=10)),
    Scenario("1,000/s", 1000, 1, Setup(quota=1000, instances=8)),
)


def known(one: Scenario) -> str:
    return f"{one.sender.name}, {one.setup.concurrency}, {one.setup.front}" if not one.trigger else one.name


@pytest.mark.parametrize("one", SMALL, ids=known)
def test_each_delivery_ends_once(one: Scenario) -> None:
    seen = simulate(one, 1)
    assert len(seen.ended) == one.deliveries
    assert seen.heard["verified"] == len(seen.verified)
    assert len(seen.calls) - seen.refused <= one.deliveries  # nobody is called for twice


@pytest.mark.parametrize("one", SMALL, ids=known)
def test_the_quota_holds(one: Scenario) -> None:
    """Where the processor keeps up: one that is late for all its slots makes calls bunch up, and slows down then."""
    seen = simulate(one._replace(setup=one.setup._replace(costs=Costs(0, 0, 0, 0, 0))), 1)
    assert seen.refused == 0
    assert 0 < seen.most_calls() <= one.setup.quota


def test_a_wave_takes_what_the_pace_takes() -> None:
    seen = simulate(WAVES[0], 1)
    assert len(seen.verified) == 200
    assert 200 / (QUOTA_FRACTION * 20) < seen.seconds < 1.15 * 200 / 20
    assert seen.backlog([0.999]) == [200 - sum(at <= 0.999 for at in seen.verified.values())]
    assert (seen.wait(0.0), seen.wait(1.0)) == (seen.waits[0], seen.waits[-1])


def test_a_seed_decides_all() -> None:
    one = Scenario("random", 300, 20, random=True)
    assert simulate(one, 1) == simulate(one, 1) != simulate(one, 2)


def test_what_comes_too_late_is_not_verified() -> None:
    """One consumer makes some three calls a second, and a code is good for ten minutes."""
    seen = simulate(Scenario("CKafka", 2500, 1, trigger=Trigger(1)), 1)
    assert 0 < seen.heard["code-incorrect"] == 2500 - len(seen.verified)
    assert 590 < seen.seconds < 620


def test_a_batch_without_enough_time_is_run_again_and_called_for_once() -> None:
    seen = simulate(Scenario("CKafka", 100, 1, trigger=Trigger(1, batch=100, timeout=20)), 1)
    assert seen.raised > 0
    assert (len(seen.verified), len(seen.calls)) == (100, 100)


def test_who_is_refused_by_the_platform_may_be_lost() -> None:
    zapier = next(sender for sender in BY_SCHEDULE if sender.name == "Zapier")
    seen = simulate(of_sender(zapier, 16, 16), 1)
    assert seen.ended[199] == "432"
    assert len(simulate(of_sender(OBEYING, 16, 16), 1).verified) == 200


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small: dict[str, object] = {
        "WAVES": WAVES[:1],
        "SPREAD": WAVES[0],
        "INSTANCES": (SMALL[-1],) * 2,
        "TRIGGERS": SMALL[-3:-1],
        "OF_2000": {"a": WAVES[0], "b": SMALL[-3]},
    }
    for name, value in small.items():
        monkeypatch.setattr(command, name, value)
    written = []
    for again in "ab":
        docs = tmp_path / again
        docs.mkdir()
        (docs / "capacity.md").write_text(CAPACITY)
        command.write_simulated(docs, command.Simulation(1))
        written.append({path.name: path.read_bytes() for path in sorted(docs.iterdir())})
    assert written[0] == written[1]
    assert len(written[0]) == 4
    assert all(len(data) < 100_000 for data in written[0].values())


def test_a_table_without_its_markers_is_told(tmp_path: Path) -> None:
    document = tmp_path / "capacity.md"
    document.write_text("<!-- begin a -->\nold\n<!-- end a -->\n<!-- begin b -->\n")
    put(document, {"a": "new\n"})
    assert document.read_text() == "<!-- begin a -->\nnew\n<!-- end a -->\n<!-- begin b -->\n"
    with pytest.raises(ValueError, match="begin b"):
        put(document, {"b": "new\n"})


def test_the_document_has_every_row() -> None:
    rows = {"waves": 5, "senders": len(SENDERS), "instances": len(INSTANCES), "triggers": len(TRIGGERS)}
    for name, count in (rows | {"runs": len(CHECKS)}).items():
        (table,) = re.findall(f"<!-- begin {name} -->\n(.*?)<!-- end {name} -->", CAPACITY, re.DOTALL)
        assert len(table.splitlines()) == count + 2, name


def dies(pipe: Connection) -> None:
    pipe.close()


def test_nobody_waits_for_a_process_that_has_died() -> None:
    with apart(dies) as part, pytest.raises((EOFError, OSError)):
        part.ask("anything")


# -- the world's clock --


def test_a_bell_wakes_who_waits_longest_and_nobody_twice() -> None:
    world, told = World(), []
    bell = Bell(world)

    def wait(name: str, seconds: float) -> Steps[None]:
        told.append((name, bool((yield Wait(bell, seconds))), world.now))

    def ring() -> Steps[None]:
        for _ in range(3):
            yield 1.0
            bell.ring()

    for name, seconds in (("impatient", 0.5), ("first", 5.0), ("second", 2.5)):
        world.start(wait(name, seconds))
    world.start(ring())
    world.run()
    assert told == [("impatient", False, 0.5), ("first", True, 1.0), ("second", True, 2.0)]


def test_one_processor_does_one_thing_at_a_time() -> None:
    world = World()
    processor = Processor(world)
    assert [processor.work(1.0), processor.work(0.5)] == [1.0, 1.5]
    world.now = 4.0
    assert processor.work(1.0) == 1.0


def test_nothing_seen_is_nothing() -> None:
    assert (Seen().seconds, Seen().longest_backlog, Seen().most_calls(), Seen().requests) == (0.0, 0, 0, 0)
