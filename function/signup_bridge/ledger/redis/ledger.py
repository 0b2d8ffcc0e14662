"""The ledger in a Redis that several instances share. Each verb is one atomic run of `SCRIPT`, on Redis's own clock.

What goes over the wire is text and keyed hashes. If an idle connection fails, or the server is no longer the
primary, the ledger closes all idle connections and runs the verb once more over a new one: a claim or a settle that was
done already is known by its token, and the others may be done twice. No verb takes longer than its deadline.
"""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from redis.exceptions import NoScriptError, RedisError, ResponseError

from signup_bridge.core import network, outcomes, rate_limit
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.ledger import (
    COMPETING_MARGIN,
    CONTENT_REPLAY,
    KEY_CHANGED_WARNING,
    LEASE_LIMIT,
    MAX_COMPETING_CALLS,
    SEND_LIMIT_WINDOW,
    Acquired,
    CallWindow,
    Claim,
    ContactBusy,
    InFlight,
    KeyMismatch,
    LedgerUnavailable,
    Policy,
    RateLimited,
    Record,
    Replay,
    SendLimit,
    SendLimited,
    Settlement,
    ShortCircuited,
    Slot,
    StoredState,
    UnknownOutcome,
)
from signup_bridge.ledger.keys import Hasher, Keys
from signup_bridge.telemetry.logs import log

from . import errors
from .connections import DeadlineConnection, connector

PREFIX = "{signup-bridge}:"

SCRIPT = "\n".join(Path(__file__).with_name(name).read_text() for name in ("records.lua", "steps.lua"))
_FAILURES = (RedisError, OSError, ValueError)
"""The client library's errors; a reply that is not in Redis's protocol is a ValueError."""

_WANTED = {"appendonly": ("yes",), "appendfsync": ("always",), "maxmemory-policy": ("noeviction",)}


class RedisLedger:
    """A `Ledger` in the Redis at ``url``. ``key`` is the same for all who share it."""

    reach: Literal["shared"] = "shared"
    engine = "redis"

    def __init__(self, url: str, policy: Policy, clock: Clock, *, key: bytes, script: str = SCRIPT) -> None:
        self._new, self._password = connector(url)
        self._clock = clock
        self._hasher = Hasher(key)
        self._script = script
        self._sha = hashlib.sha1(script.encode()).hexdigest()  # noqa: S324  Redis's own name for a script
        held = (
            policy.ttl, policy.wrong_codes, policy.wrong_code_window, policy.interval, policy.retention,
            LEASE_LIMIT, CONTENT_REPLAY, rate_limit.BACKOFF_FACTOR, rate_limit.MIN_RATE_FACTOR,
            rate_limit.RECOVERY_PER_SECOND, MAX_COMPETING_CALLS, COMPETING_MARGIN,
        )  # fmt: skip
        self._policy_args = tuple(map(str, held))
        self._hides = _flag(policy.conceal)
        self._idle: list[tuple[DeadlineConnection, Stopwatch]] = []
        self._first = threading.Lock()
        self._checked = False
        weakref.finalize(self, _close, self._idle)

    def hasher(self) -> Hasher:
        return self._hasher

    # -- the verbs --

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        reply = self._execute(
            deadline, "claim",
            keys.delivery.hex(), keys.content.hex(), keys.contact.hex(), keys.exact.hex(), str(keys.contact_type),
            _flag(keys.transient), token, str(lease), str(max_wait), CREATE,
            outcomes.ALREADY_VERIFIED.code, outcomes.ATTEMPTS_EXHAUSTED.code, self._hides,
        )  # fmt: skip
        return _claim(reply)

    def claim_send(
        self,
        keys: Keys,
        token: str,
        *,
        guards: Sequence[SendLimit],
        lease: float,
        max_wait: float,
        deadline: Deadline,
    ) -> Claim:
        told = [part for one in guards for part in (one.name, one.counter_key.hex(), str(one.limit), str(one.window))]
        reply = self._execute(
            deadline, "claim_send",
            keys.delivery.hex(), keys.content.hex(), keys.contact.hex(), str(keys.contact_type), _flag(keys.transient),
            token, str(lease), str(max_wait), SEND, str(SEND_LIMIT_WINDOW), *told,
        )  # fmt: skip
        return _claim(reply)

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        reply = self._execute(deadline, "begin_retry", keys.delivery.hex(), token, str(max_wait), CREATE)
        return _slot(reply) if reply else None

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        record = settlement.record or Record("")
        sent, gave_up, asked = (
            watch.seconds() if watch else 0.0
            for watch in (settlement.sent_at, settlement.gave_up_at, settlement.requested)
        )
        reply = self._execute(
            deadline, "settle",
            keys.delivery.hex(), token, record.outcome, record.request_id or "", _flag(record.resolved),
            str(sent) if settlement.sent_at else "", str(gave_up), _flag(settlement.counts_as_wrong),
            str(settlement.release_lock), keys.exact.hex(), _flag(record.outcome == outcomes.VERIFIED.code),
            keys.content.hex(), keys.contact.hex(), str(keys.contact_type), _flag(keys.transient),
            str(asked - sent), str(asked - gave_up), str(settlement.content_replay),
        )  # fmt: skip
        return bool(reply == "1")

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        self._execute(deadline, "release", keys.delivery.hex(), token)

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        self._execute(deadline, "finish_release", keys.delivery.hex(), token, keys.exact.hex(), _flag(removed))

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        return _slot(self._execute(deadline, "reserve_slot", action, str(max_wait)))

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        self._execute(deadline, "throttle", action)

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        reply = self._execute(deadline, "get", delivery.hex())
        if not reply:
            return None
        state, content, *record = reply
        return StoredState(state, bytes.fromhex(content), _record(record[0]) if record else None)

    def count_unknown(self, *, deadline: Deadline) -> int:
        return int(self._execute(deadline, "count_unknown"))

    def ping(self, *, deadline: Deadline) -> None:
        self._execute(deadline, "ping", self._hasher.fingerprint.hex())

    def prune(self, *, deadline: Deadline) -> int:  # noqa: ARG002  its records go by themselves
        return 0

    def close(self) -> None:
        _close(self._idle)

    # -- the wire --

    def _execute(self, deadline: Deadline, verb: str, *arguments: str) -> Any:
        """The reply of one verb, within the deadline. Raises LedgerUnavailable."""
        idle = self._take()
        try:
            return self._use(idle or self._new(), deadline, verb, *arguments)
        except _FAILURES as error:
            again = errors.is_elsewhere(error) or (idle is not None and not isinstance(error, ResponseError))
            if again:  # the others were as idle, and lead to the same server
                self.close()
            if not (again and deadline.remaining()):
                raise LedgerUnavailable(errors.reason(error, password=self._password)) from None
        try:
            return self._use(self._new(), deadline, verb, *arguments)
        except _FAILURES as error:
            raise LedgerUnavailable(errors.reason(error, password=self._password)) from None

    def _use(self, connection: DeadlineConnection, deadline: Deadline, verb: str, *arguments: str) -> Any:
        """The reply of one verb over a connection, which is then idle; or closed, if it failed."""
        connection.allowance.deadline = deadline
        try:
            if not connection.is_connected:
                self._handshake(connection, deadline)
            reply = self._evaluate(connection, verb, *arguments)
        except BaseException:
            connection.disconnect()
            raise
        self._idle.append((connection, Stopwatch(self._clock)))
        return reply

    def _take(self) -> DeadlineConnection | None:
        """An idle connection of the caller's own for a while, if there is one."""
        while True:
            try:
                connection, idle = self._idle.pop()
            except IndexError:
                return None
            if idle.seconds() <= network.IDLE_LIMIT:
                return connection
            connection.disconnect()

    def _handshake(self, connection: DeadlineConnection, deadline: Deadline) -> None:
        """Connect; tell once whether this Redis forgets, and whether the key is another one than last time."""
        connection.connect()
        if not self._first.acquire(timeout=deadline.remaining()):
            raise TimeoutError("the deadline has passed")
        try:
            if not self._checked:
                self._check_durability(connection)
                if self._evaluate(connection, "ping", self._hasher.fingerprint.hex()) == "1":
                    log.warning(KEY_CHANGED_WARNING)
                self._checked = True
        finally:
            self._first.release()

    def _check_durability(self, connection: DeadlineConnection) -> None:
        try:
            for name, wanted in _WANTED.items():
                found = _command(connection, "CONFIG", "GET", name)
                if len(found) == 2 and found[1] not in wanted:
                    log.warning(
                        "LEDGER_URL: this Redis may forget what it was told; set %s to %s, not %s",
                        name, wanted[0], found[1],
                    )  # fmt: skip
        except ResponseError:
            log.info(
                "LEDGER_URL: this Redis does not say whether it forgets; docs/semantics.md names what it must have"
            )

    def _evaluate(self, connection: DeadlineConnection, verb: str, *arguments: str) -> Any:
        rest = ("1", PREFIX, verb, *self._policy_args, *arguments)
        try:
            return _command(connection, "EVALSHA", self._sha, *rest)
        except NoScriptError:
            return _command(connection, "EVAL", self._script, *rest)


def _command(connection: DeadlineConnection, *command: str) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _close(idle: list[tuple[DeadlineConnection, Stopwatch]]) -> None:
    while idle:
        idle.pop()[0].disconnect()


def _flag(value: bool) -> str:  # noqa: FBT001  it is what is written
    return "1" if value else "0"


_BARE_CLAIMS: dict[str, Claim] = {"in-flight": InFlight(), "contact-busy": ContactBusy(), "key-mismatch": KeyMismatch()}


def _claim(reply: list[Any]) -> Claim:
    kind, *rest = reply
    match kind:
        case "acquired":
            return _acquired(*rest)
        case "replay":
            return Replay(_record(rest[0]))
        case "short-circuited":
            return ShortCircuited(_record(rest[0]))
        case "rate-limited":
            return RateLimited(float(rest[0]))
        case "send-limited":
            return SendLimited(float(rest[0]), rest[1])
    return _BARE_CLAIMS[kind]


def _acquired(wait: str, release_pending: str, unknown: list[Any]) -> Acquired:
    if not unknown:
        return Acquired(float(wait), release_pending=release_pending == "1")
    now, calls, competing_calls, has_more_calls = unknown
    unknown_outcome = UnknownOutcome(
        float(now), _intervals(calls), _intervals(competing_calls), has_more_calls=has_more_calls == "1"
    )
    return Acquired(float(wait), release_pending=release_pending == "1", unknown_outcome=unknown_outcome)


def _slot(reply: list[str]) -> Slot:
    return Slot(float(reply[0]), fits=reply[1] == "1")


def _record(reply: list[str]) -> Record:
    outcome, request_id, resolved, contact_type = reply
    return Record(outcome, request_id or None, resolved == "1", int(contact_type))


def _intervals(times: list[str]) -> tuple[CallWindow, ...]:
    return tuple(CallWindow(float(sent), float(gave_up)) for sent, gave_up in zip(times[::2], times[1::2], strict=True))
