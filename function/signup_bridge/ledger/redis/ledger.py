"""The ledger in Redis, which several instances share. Each step is one atomic script run, on the clock of Redis.

If an idle connection fails, or the server is no longer the primary, the ledger closes all idle connections and retries
the step over a new one. The script recognizes a repeated claim or settlement by its token; the other steps may run
twice. No step takes longer than its deadline.
"""

from __future__ import annotations

import threading
import weakref
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Literal

from signup_bridge.core import network
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.ledger import (
    KEY_CHANGED_WARNING,
    SEND_LIMIT_WINDOW,
    Claim,
    LedgerUnavailable,
    Policy,
    Record,
    SendLimit,
    Settlement,
    Slot,
    StoredState,
)
from signup_bridge.ledger.keys import Hasher, Keys
from signup_bridge.telemetry.logs import log

from . import errors, replies, scripts
from .connections import RedisConnection, ServerError, parse_server
from .conversion import Conversion

PREFIX = "{signup-bridge}:"

_FAILURES = (ServerError, OSError, EOFError, ValueError)

_DURABLE_CONFIG = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}


class RedisLedger:
    """A `Ledger` in the Redis at ``url``. ``key`` is the same for all instances that share it."""

    reach: Literal["shared"] = "shared"
    engine = "redis"

    def __init__(self, url: str, policy: Policy, clock: Clock, *, key: bytes, time: str = scripts.SERVER_TIME) -> None:
        self._server = parse_server(url)
        self._clock = clock
        self._hasher = Hasher(key)
        self._scripts = scripts.build(policy, time)
        self._idle: list[tuple[RedisConnection, Stopwatch]] = []
        self._conversion = Conversion(PREFIX)
        self._first_check = threading.Lock()
        self._checked = False
        weakref.finalize(self, _close, self._idle)

    def hasher(self) -> Hasher:
        return self._hasher

    # -- the steps --

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        reply = self._execute(
            deadline, "claim",
            _name(keys.delivery), _name(keys.content), _name(keys.contact), _name(keys.contact_exact),
            str(keys.contact_type), _flag(keys.body_keyed), token, str(lease), str(max_wait), CREATE,
        )  # fmt: skip
        return replies.claim(reply)

    def claim_send(
        self,
        keys: Keys,
        token: str,
        *,
        limits: Sequence[SendLimit],
        lease: float,
        max_wait: float,
        deadline: Deadline,
    ) -> Claim:
        limit_args = [
            part for one in limits for part in (one.name, _name(one.counter_key), str(one.limit), str(one.window))
        ]
        reply = self._execute(
            deadline, "claim_send",
            _name(keys.delivery), _name(keys.content), str(keys.contact_type), _flag(keys.body_keyed), token,
            str(lease), str(max_wait), SEND, str(SEND_LIMIT_WINDOW), *limit_args,
        )  # fmt: skip
        return replies.claim(reply)

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        reply = self._execute(
            deadline, "begin_retry", _name(keys.delivery), token, _name(keys.contact), str(max_wait), CREATE
        )
        return replies.slot(reply) if reply else None

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        record = settlement.record or Record("")
        sent, gave_up, requested = (
            watch.seconds() if watch else 0.0
            for watch in (settlement.sent_at, settlement.gave_up_at, settlement.requested)
        )
        reply = self._execute(
            deadline, "settle",
            _name(keys.delivery), token, record.outcome, record.api_request_id or "", _flag(record.resolved),
            str(sent) if settlement.sent_at else "", str(gave_up), _flag(settlement.counts_as_wrong),
            str(settlement.release_lock), _name(keys.contact_exact), _name(keys.content), _name(keys.contact),
            str(keys.contact_type), _flag(keys.body_keyed),
            str(requested - sent), str(requested - gave_up), str(settlement.content_replay),
        )  # fmt: skip
        return bool(reply == "1")

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        self._execute(deadline, "release", _name(keys.delivery), token, _name(keys.contact))

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        contact, exact = _name(keys.contact), _name(keys.contact_exact)
        self._execute(deadline, "finish_release", _name(keys.delivery), token, contact, exact, _flag(removed))

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        return replies.slot(self._execute(deadline, "reserve_slot", action, str(max_wait)))

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        self._execute(deadline, "throttle", action)

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        reply = self._execute(deadline, "get", _name(delivery))
        if not reply:
            return None
        state, content, *record = reply
        return StoredState(state, a2b_base64(content + "=="), replies.record(record[0]) if record else None)

    def count_unknown(self, *, deadline: Deadline) -> int:
        return int(self._execute(deadline, "count_unknown"))

    def ping(self, *, deadline: Deadline) -> None:
        self._execute(deadline, "ping", self._hasher.fingerprint.hex())

    def prune(self, *, deadline: Deadline) -> int:  # noqa: ARG002  Redis expires its records
        return 0

    def close(self) -> None:
        _close(self._idle)

    # -- the wire --

    def _execute(self, deadline: Deadline, step: str, *arguments: str) -> Any:
        """Return the reply of one step. Raises LedgerUnavailable."""
        idle = self._take()
        try:
            return self._use(idle or RedisConnection(self._server), deadline, step, *arguments)
        except _FAILURES as error:
            again = errors.is_elsewhere(error) or (idle is not None and not isinstance(error, ServerError))
            if again:  # the other idle connections are to the same server
                self.close()
            if not (again and deadline.remaining()):
                raise LedgerUnavailable(errors.reason(error, password="password" in self._server.options)) from None
        try:
            return self._use(RedisConnection(self._server), deadline, step, *arguments)
        except _FAILURES as error:
            raise LedgerUnavailable(errors.reason(error, password="password" in self._server.options)) from None

    def _use(self, connection: RedisConnection, deadline: Deadline, step: str, *arguments: str) -> Any:
        """Return the reply of one step over a connection. Afterwards it is idle, or closed if the step failed."""
        connection.deadline = deadline
        try:
            if not connection.is_open:
                self._handshake(connection, deadline)
            reply = self._evaluate(connection, step, *arguments)
        except BaseException:
            connection.close()
            raise
        self._idle.append((connection, Stopwatch(self._clock)))
        return reply

    def _take(self) -> RedisConnection | None:
        """Return an idle connection for the caller's exclusive use, if there is one."""
        while True:
            try:
                connection, idle_time = self._idle.pop()
            except IndexError:
                return None
            if idle_time.seconds() <= network.IDLE_LIMIT:
                return connection
            connection.close()

    def _handshake(self, connection: RedisConnection, deadline: Deadline) -> None:
        """Connect. The first time, log whether Redis may lose records and whether the key has changed."""
        connection.open()
        if not self._first_check.acquire(timeout=deadline.remaining()):
            raise TimeoutError("the deadline has passed")
        try:
            if not self._checked:
                changed, _, convert = self._evaluate(connection, "ping", self._hasher.fingerprint.hex()).partition(" ")
                if changed == "1":
                    log.warning(KEY_CHANGED_WARNING)
                if convert:
                    self._conversion.run(connection, self._evaluate, deadline)
                self._check_durability(connection)
                self._checked = True
        finally:
            self._first_check.release()

    def _check_durability(self, connection: RedisConnection) -> None:
        try:
            for name, durable in _DURABLE_CONFIG.items():
                values = connection.command("CONFIG", "GET", name)[1:]
                if values and values[0] != durable:
                    log.warning(
                        "LEDGER_URL: the Redis server may lose records; set its option %s to %s instead of %s",
                        name,
                        durable,
                        values[0],
                    )
        except ServerError:
            log.info(
                "LEDGER_URL: durability of the Redis server not checked; see docs/explanation/semantics.md#redis for "
                "its options"
            )

    def _evaluate(self, connection: RedisConnection, step: str, *arguments: str) -> Any:
        script = self._scripts.get(step) or self._scripts[""]
        try:
            return connection.command("EVALSHA", script.sha, "1", PREFIX, step, *arguments)
        except ServerError as error:
            if not str(error).startswith("NOSCRIPT "):
                raise
            return connection.command("EVAL", script.text, "1", PREFIX, step, *arguments)


def _close(idle: list[tuple[RedisConnection, Stopwatch]]) -> None:
    with suppress(IndexError):  # another thread may empty it at the same time
        while True:
            idle.pop()[0].close()


def _flag(value: bool) -> str:  # noqa: FBT001  the value to encode
    return "1" if value else "0"


def _name(digest: bytes) -> str:
    """Return a hash as a part of a key: base64 without padding, which is shorter than hexadecimal."""
    return b2a_base64(digest, newline=False).rstrip(b"=").decode()
