"""Measure whether a ledger with many records is slower than one with few."""

from __future__ import annotations

import random
import secrets
import statistics
from contextlib import ExitStack
from typing import NamedTuple

from signup_bridge.core.clock import Deadline
from signup_bridge.ledger.sqlite.ledger import SqliteLedger

from bench import load, servers, targets
from bench.harness import CONNECTIONS, Harness, show_progress
from bench.ledger import CLOCK, POLICY, fill_sqlite
from bench.targets import Result

RECORDS = 1_000_000
TURNS, SECONDS = 25, 1.0


class Records(NamedTuple):
    """The median latency of each turn in milliseconds, with few records and with many."""

    few: tuple[float, ...]
    many: tuple[float, ...]
    results: tuple[Result, ...]


def measure(harness: Harness) -> Records:
    key = secrets.token_hex(32)
    with ExitStack() as running:
        api = running.enter_context(harness.api())
        there = {}
        for name in ("few", "many"):
            folder = harness.folder / f"records-{name}"
            folder.mkdir()
            if name == "many":
                ledger = SqliteLedger(folder / "ledger.db", POLICY, CLOCK, key=key.encode())
                ledger.ping(deadline=Deadline(CLOCK, 10))
                ledger.close()
                fill_sqlite(folder / "ledger.db", RECORDS)
            there[name] = running.enter_context(servers.bridge(api, harness.bundle, folder, LEDGER_KEY=key))
        medians: dict[str, list[float]] = {name: [] for name in there}
        for turn in range(TURNS + 1):
            for name, server in random.sample(list(there.items()), 2):
                each = harness.senders.run(load.closed, server.target, "first", SECONDS, CONNECTIONS).each
                show_progress(f"records: turn {turn} of {TURNS}, {name}: {statistics.median(each) * 1000:.1f} ms")
                if turn:
                    medians[name].append(statistics.median(each) * 1000)
    ratios = [many / few for few, many in zip(medians["few"], medians["many"], strict=True)]
    few, many = (statistics.median(medians[name]) for name in ("few", "many"))
    low, _, high = statistics.quantiles(ratios, n=4)
    detail = f"{many:.1f} ms beside {few:.1f} ms; the middle half of {TURNS} turns {low:.2f} to {high:.2f}"
    result = Result(targets.MANY_RECORDS, statistics.median(ratios), detail)
    return Records(tuple(medians["few"]), tuple(medians["many"]), (result,))
