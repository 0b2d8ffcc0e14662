"""Record verified deliveries in a Redis ledger, with the current code or an earlier commit's, for `redis_cost.py`.

Usage: PYTHONPATH=FUNCTION_FOLDER python bench/redis_deliveries.py PACKAGE PORT COUNT
"""

from __future__ import annotations

import itertools
import secrets
import sys
import threading
import uuid
from importlib import import_module
from typing import Any

CONNECTIONS = 8
KEY = b"a key of thirty-two bytes, or more"
NAMES: dict[str, tuple[str, str, tuple[str, str, str]]] = {
    "signup_bridge": ("ledger.redis.ledger", "core.clock", ("sent_at", "gave_up_at", "requested")),
    "bridge": ("ledger.redis", "clock", ("sent", "gave_up", "asked")),  # names as of commit 6d831f2
}
"""For each package, the modules of the Redis ledger and of the clock, and the names of a settlement's times."""


def run(package: str, port: int, count: int) -> None:
    """Claim and settle ``count`` new deliveries over `CONNECTIONS` connections. Exits if one is not settled."""
    engine, clocks, times = NAMES[package]
    ledgers, keys = import_module(f"{package}.ledger"), import_module(f"{package}.ledger.keys")
    clock_module: Any = import_module(f"{package}.{clocks}")
    clock = clock_module.SystemClock()
    policy = ledgers.Policy(345_600.0, 5, 600.0, 1e-6, False)  # noqa: FBT003  the parameters' names differ
    ledger = import_module(f"{package}.{engine}").RedisLedger(f"redis://127.0.0.1:{port}/0", policy, clock, key=KEY)
    numbers, ended = itertools.count(), []

    def work() -> None:
        while next(numbers) < count:
            names = keys.Keys(*(secrets.token_bytes(16) for _ in range(4)), False, 1)  # noqa: FBT003  as above
            token, deadline, watch = (
                secrets.token_hex(16),
                clock_module.Deadline(clock, 60),
                clock_module.Stopwatch(clock),
            )
            ledger.claim(names, token, lease=10, max_wait=60, deadline=deadline)
            settlement = ledgers.Settlement(ledgers.Record("verified", str(uuid.uuid4()), contact_type=1))
            settlement = settlement._replace(**dict.fromkeys(times, watch))
            ended.append(ledger.settle(names, token, settlement, deadline=deadline))

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ledger.close()
    if ended != [True] * count:
        sys.exit(f"only {ended.count(True)} of {count} deliveries were settled")


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
