"""Create ledgers of both engines for the tests of the contract, each with a clock that the test controls."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.core.clock import Deadline, Stopwatch
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery, IdempotencyKey
from signup_bridge.ledger import (
    Acquired,
    CallWindow,
    Claim,
    Ledger,
    Policy,
    Record,
    Settlement,
    ShortCircuited,
    Slot,
    StoredState,
    UnknownOutcome,
)
from signup_bridge.ledger.keys import Hasher, Keys
from signup_bridge.ledger.redis.ledger import RedisLedger
from signup_bridge.ledger.sqlite.database import Database
from signup_bridge.ledger.sqlite.ledger import SqliteLedger

from local_services.redis_server import RedisServer
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.signed_requests import CODE, PHONE

KEY = b"a key of thirty-two bytes, or more"
POLICY = Policy(ttl=345_600, wrong_codes=5, wrong_code_window=600, interval=1 / 19.2)
FAST = POLICY._replace(interval=1e-6)
"""A policy with a practically unlimited rate of calls."""

SHIFTED = "{redis.call('TIME')[1] + (redis.call('GET', 'shift') or 0), redis.call('TIME')[2]}"
STILL = "{redis.call('GET', 'now') or redis.call('TIME')[1], '0'}"
"""Lua expressions for the time of a Redis: shifted by a test, or set by it."""


def delivery(
    name: str | None = "msg_1", *, contact: str = PHONE, code: str = CODE, kind: ContactType = ContactType.PHONE
) -> Delivery:
    key = IdempotencyKey("content", f"{contact} {code}".encode()) if name is None else IdempotencyKey("signed", name)
    return Delivery(Contact(kind, contact), code, key)


def keys(name: str | None = "msg_1", **of: Any) -> Keys:
    return Hasher(KEY).keys(delivery(name, **of))


VERIFIED = Record("verified", "r-1", contact_type=1)
WRONG = Record("code-incorrect", "r-2", contact_type=1)

OTHER = keys("msg_2")
"""The same content under another id."""
GUESS = keys("msg_3", code="000000")
"""Another code for the same contact."""


def guess(number: int) -> Keys:
    return keys(f"guess_{number}", code=f"{number:06}")


def exhausted(retry_after: float, *, contact_type: int = 1) -> ShortCircuited:
    """Return the claim after too many wrong codes, ``retry_after`` seconds before a new delivery may be tried."""
    approximately: Any = pytest.approx(retry_after, abs=0.1)
    return ShortCircuited(Record("attempts-exhausted", contact_type=contact_type, retry_after=approximately))


def near(interval: CallWindow, sent: float, gave_up: float) -> bool:
    return abs(interval.sent_at - sent) < 0.5 and abs(interval.gave_up_at - gave_up) < 0.5


class Ago(Stopwatch):
    """A stopwatch that always shows the same number of seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def seconds(self) -> float:
        return self._seconds


@dataclass
class Engine:
    """A ledger with a clock that the test controls. The parameters of its methods have defaults."""

    ledger: Ledger
    clock: SetClock
    shift: Callable[[float], object]
    again: Callable[[], Ledger]

    @property
    def deadline(self) -> Deadline:
        return Deadline(SetClock(), 60)

    def pass_by(self, seconds: float) -> None:
        """Advance the clock, or set it back."""
        self.clock.wall += seconds
        self.shift(self.clock.wall)

    def claim(self, of: Keys | None = None, token: str | None = None, **options: float) -> Claim:
        options = {"lease": 10.0, "max_wait": 6.0} | options
        return self.ledger.claim(of or keys(), token or secrets.token_hex(8), deadline=self.deadline, **options)

    def acquire(self, of: Keys | None = None, token: str | None = None, **options: float) -> Acquired:
        """Claim a delivery. Fail if it is not acquired."""
        claim = self.claim(of, token, **options)
        assert isinstance(claim, Acquired), claim
        return claim

    def acquire_unknown(self, of: Keys | None = None, token: str | None = None, **options: float) -> UnknownOutcome:
        """Claim a delivery whose outcome is unknown; return the information for its reconciliation."""
        unknown = self.acquire(of, token, **options).unknown_outcome
        assert unknown is not None
        return unknown

    def own(self, of: Keys | None = None, **options: float) -> str:
        """Claim a delivery and return the token. Fail if it is not acquired."""
        token = secrets.token_hex(8)
        self.acquire(of, token, **options)
        return token

    def settle(self, token: str, record: Record | None, of: Keys | None = None, **options: Any) -> bool:
        times = {
            name: options.pop(name, default)
            for name, default in (("sent_at", 0.3), ("gave_up_at", 0.0), ("requested", 1e9))
        }
        watches: dict[str, Any] = {name: None if ago is None else Ago(ago) for name, ago in times.items()}
        settlement = Settlement(record)._replace(**watches, **options)
        return self.ledger.settle(of or keys(), token, settlement, deadline=self.deadline)

    def end(self, record: Record | None, of: Keys | None = None, **options: Any) -> None:
        """Claim a delivery and settle it."""
        assert self.settle(self.own(of), record, of, **options)

    def release(self, token: str, of: Keys | None = None) -> None:
        self.ledger.release(of or keys(), token, deadline=self.deadline)

    def attempt(self, token: str, of: Keys | None = None, max_wait: float = 6.0) -> Slot | None:
        return self.ledger.begin_retry(of or keys(), token, max_wait=max_wait, deadline=self.deadline)

    @property
    def unknown(self) -> int:
        return self.ledger.count_unknown(deadline=self.deadline)

    def look(self, of: Keys | None = None) -> StoredState | None:
        return self.ledger.get((of or keys()).delivery, deadline=self.deadline)


Make = Callable[..., Engine]


def database(engine: Engine) -> Database:
    """Return the database of a SQLite ledger."""
    assert isinstance(engine.ledger, SqliteLedger)
    return engine.ledger.database


def sqlite_engine(folder: Path, policy: Policy = POLICY, *, clock: SetClock | None = None, key: bytes = KEY) -> Engine:
    clock = clock or StillClock()

    def again() -> Ledger:
        return SqliteLedger(folder / "ledger.db", policy, clock, key=key)

    return Engine(again(), clock, lambda _: None, again)


def redis_engine(
    server: RedisServer, policy: Policy = POLICY, *, clock: SetClock | None = None, key: bytes = KEY
) -> Engine:
    clock = clock or StillClock()
    client = server.client

    def again() -> Ledger:
        return RedisLedger(server.url, policy, clock, key=key, time=STILL)

    def set_clock(_shift: float) -> None:
        client.set("now", f"{clock.time():.6f}")  # the precision of Redis's own time

    set_clock(0.0)
    return Engine(again(), clock, set_clock, again)


def redis_engine_at(port: int, *, password: str = "", clock: SetClock | None = None) -> Engine:
    """Return an engine for the Redis at a local port, which uses the server's time as in production."""
    clock = clock or SetClock()

    def again() -> RedisLedger:
        return RedisLedger(f"redis://{password}127.0.0.1:{port}/0", POLICY, clock, key=KEY)

    return Engine(again(), clock, lambda _: None, again)


def rows(folder: Path, table: str = "deliveries") -> int:
    """Return the number of deliveries, or of rows in another table, in the SQLite ledger of a folder."""
    with sqlite3.connect(folder / "ledger.db") as db:
        (count,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    db.close()
    return int(count)
