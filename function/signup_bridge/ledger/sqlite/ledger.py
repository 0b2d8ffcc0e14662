"""The ledger in a SQLite file: the embedded default, shared by the threads and workers of one instance.

With the write-ahead log, a completed step survives `kill -9`. Only this package contains SQL.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.outcomes import Outcome
from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.ledger import (
    CONTENT_REPLAY,
    MAX_COMPETING_CALLS,
    Acquired,
    Claim,
    ContactBusy,
    Policy,
    RateLimited,
    Record,
    SendLimit,
    SendLimited,
    Settlement,
    ShortCircuited,
    Slot,
    StoredState,
    UnknownOutcome,
)
from signup_bridge.ledger.keys import Hasher, Keys, load_or_create_key

from . import queries, send_counts, updates
from .database import CLAIMED, REFUSED, VERIFIED, Database
from .retention import SIZE_LIMIT, Retention


class _ClaimRequest(NamedTuple):
    keys: Keys
    token: str
    lease: float
    max_wait: float


class SqliteLedger:
    """A `Ledger` in one file, whose folder must exist. The default ``key`` is in a file next to it."""

    reach: Literal["instance"] = "instance"
    engine = "sqlite"

    def __init__(
        self, file: Path, policy: Policy, clock: Clock, *, key: bytes = b"", size_limit: int = SIZE_LIMIT
    ) -> None:
        self._path = file
        self._policy = policy
        self._clock = clock
        self._hasher = Hasher(key) if key else None
        self._retention = Retention(policy, clock, size_limit)
        self.database = Database(file, self.hasher)

    def hasher(self) -> Hasher:
        if self._hasher is None:
            self._hasher = Hasher(load_or_create_key(self._path))
        return self._hasher

    # -- steps --

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        request = _ClaimRequest(keys, token, lease, max_wait)
        return self._claim_unless_known(keys, lambda db: self._claim(db, request), deadline)

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
        request = _ClaimRequest(keys, token, lease, max_wait)
        return self._claim_unless_known(keys, lambda db: self._claim_send(db, request, limits), deadline)

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        def begin_retry(db: sqlite3.Connection) -> Slot | None:
            row = queries.find_owned(db, keys, token)
            if row is None or row["sent2"] is not None:
                return None
            now = self._clock.time()
            slot = self._reserve_slot(db, CREATE, now, max_wait)
            if slot.fits:
                updates.begin_second_call(db, row["id"], now + slot.wait)
            return slot

        return self.database.write(begin_retry, deadline)

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        return self.database.write(lambda db: self._settle(db, keys, token, settlement), deadline)

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        def release(db: sqlite3.Connection) -> None:
            row = queries.find_owned(db, keys, token)
            if row is not None:
                now = self._clock.time()
                send_counts.remove(db, token)
                updates.release_claim(db, row, now=now, until=now + self._policy.ttl)

        self.database.write(release, deadline)

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        def finish_release(db: sqlite3.Connection) -> None:
            row = queries.find(db, keys.delivery)
            if row is not None and row["token"] == token and queries.is_in_progress(row, self._clock.time()):
                updates.finish_release(db, row, keys, removed=removed)

        self.database.write(finish_release, deadline)

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        return self.database.write(lambda db: self._reserve_slot(db, action, self._clock.time(), max_wait), deadline)

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        def throttle(db: sqlite3.Connection) -> None:
            state = queries.rate_state(db, action)
            updates.save_rate_state(db, action, state.after_throttle(self._clock.time()))

        self.database.write(throttle, deadline)

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        row = self.database.read(lambda db: queries.find(db, delivery), deadline)
        now = self._clock.time()
        if row is None or row["until"] <= now:
            return None
        if row["state"] >= VERIFIED:
            return StoredState("settled", row["content"], queries.record(row, now))
        return StoredState("in-flight" if queries.is_in_progress(row, now) else "unknown", row["content"])

    def count_unknown(self, *, deadline: Deadline) -> int:
        return self.database.read(lambda db: queries.count_unknown(db, self._clock.time()), deadline)

    def ping(self, *, deadline: Deadline) -> None:
        self.database.write(lambda db: db.execute("UPDATE meta SET value = value"), deadline)

    def prune(self, *, deadline: Deadline) -> int:
        return self._retention.prune(self.database, deadline)

    def close(self) -> None:
        self.database.close()

    # -- parts of steps, inside a transaction --

    def _claim_unless_known(
        self, keys: Keys, claim: Callable[[sqlite3.Connection], Claim], deadline: Deadline
    ) -> Claim:
        """Return the existing claim without a write. If there is none, run ``claim``, which searches again."""
        row = self.database.read(lambda db: queries.find(db, keys.delivery), deadline)
        return queries.existing_claim(row, keys, self._clock.time()) or self.database.write(claim, deadline)

    def _claim(self, db: sqlite3.Connection, request: _ClaimRequest) -> Claim:
        keys, now = request.keys, self._clock.time()
        context = queries.load_claim_context(db, keys, self._policy, now)
        if context.has_future_times:
            updates.correct_future_times(db, keys, now)
            context = queries.load_claim_context(db, keys, self._policy, now)
        if claim := queries.existing_claim(context.row, keys, now):
            return claim
        counted = None
        if context.row is not None and context.row["until"] <= now:
            counted = self._detach_expired(db, context.row, keys, now)
            context = context._replace(row=None)
        if context.contact_busy:
            return ContactBusy()
        if context.unknown:
            return self._acquire_unknown(db, request, context, now)
        if outcome := self._outcome_without_call(context):
            return self._short_circuit(db, keys, outcome, counted, now)
        slot = self._reserve_slot(db, CREATE, now, request.max_wait, context.rate)
        if not slot.fits:
            return RateLimited(slot.wait)
        sent = now + slot.wait
        at = updates.move_count(db, keys, counted, sent)
        self._insert(db, keys, now, token=request.token, lease=now + request.lease, sent=sent, counted=at)
        return Acquired(slot.wait, release_pending=context.release_pending)

    def _detach_expired(self, db: sqlite3.Connection, row: sqlite3.Row, keys: Keys, now: float) -> float | None:
        """Detach an expired row. Return the time at which it counted as a wrong code, if it still counts."""
        updates.detach(db, row)
        counted: float | None = row["counted"]
        still_counts = row["content"] == keys.content and (counted or 0) > now - self._policy.wrong_code_window
        return counted if still_counts else None

    def _acquire_unknown(
        self, db: sqlite3.Connection, request: _ClaimRequest, context: queries.ClaimContext, now: float
    ) -> Acquired:
        """Claim a delivery with an unknown outcome, or a new one with the same content."""
        keys, lease = request.keys, now + request.lease
        calls = queries.unknown_calls(db, keys.content, now)
        if context.row is None:
            self._insert(db, keys, now, token=request.token, lease=lease)
        else:
            until = lease + self._policy.ttl
            updates.take_over(db, context.row["id"], request.token, now=now, lease=lease, until=until)
        competing = queries.competing_calls(db, keys, calls, now - self._policy.retention)
        unknown_outcome = UnknownOutcome(now, calls, competing or (), has_more_calls=competing is None)
        return Acquired(release_pending=context.release_pending, unknown_outcome=unknown_outcome)

    def _outcome_without_call(self, context: queries.ClaimContext) -> Outcome | None:
        """Return the outcome of a new delivery that needs no call."""
        exhausted = 0 < self._policy.wrong_codes <= context.wrong_codes
        if context.code_used and not (exhausted and self._policy.conceal):
            return outcomes.ALREADY_VERIFIED
        return outcomes.ATTEMPTS_EXHAUSTED if exhausted else None

    def _short_circuit(
        self, db: sqlite3.Connection, keys: Keys, outcome: Outcome, counted: float | None, now: float
    ) -> ShortCircuited:
        """Settle a new delivery that needs no call. ``counted``: the time at which its detached row counted."""
        at = retry_at = retry_after = None
        if outcome is outcomes.ATTEMPTS_EXHAUSTED:
            retry_at = queries.end_of_exhaustion(db, keys, self._policy, now)
            retry_after = retry_at - now
        elif self._policy.conceal:
            at = updates.move_count(db, keys, counted, now)
        self._insert(db, keys, now, state=REFUSED, outcome=outcome.code, counted=at, retry_at=retry_at)
        return ShortCircuited(Record(outcome.code, contact_type=keys.contact_type, retry_after=retry_after))

    def _claim_send(self, db: sqlite3.Connection, request: _ClaimRequest, limits: Sequence[SendLimit]) -> Claim:
        keys, now = request.keys, self._clock.time()
        row = queries.find(db, keys.delivery)
        if claim := queries.existing_claim(row, keys, now):
            return claim
        if blocking := send_counts.blocking_limit(db, limits, now):
            return SendLimited(*blocking)
        slot = self._reserve_slot(db, SEND, now, request.max_wait)
        if not slot.fits:
            return RateLimited(slot.wait)
        if row:
            updates.detach(db, row)
        self._insert(db, keys, now, token=request.token, lease=now + request.lease, sent=now + slot.wait)
        send_counts.add(db, limits, request.token, now)
        return Acquired(slot.wait)

    def _insert(
        self, db: sqlite3.Connection, keys: Keys, now: float, *, lease: float | None = None, **columns: Any
    ) -> None:
        ttl = self._policy.ttl
        until = now + (CONTENT_REPLAY if keys.body_keyed else ttl) if lease is None else lease + ttl
        updates.insert(db, keys, {"state": CLAIMED, "claimed": now, "lease": lease, "until": until, **columns})
        self._retention.sweep(db, now)

    def _settle(self, db: sqlite3.Connection, keys: Keys, token: str, settlement: Settlement) -> bool:
        now, policy = self._clock.time(), self._policy
        parameters = updates.settlement_parameters(keys, token, settlement, now=now, ttl=policy.ttl)
        if not db.execute(updates.SETTLE, parameters).rowcount:
            if queries.find(db, keys.delivery) is not None:
                return False
            # The record was lost, for example because the file was moved.
            self._insert(db, keys, now, token=token, lease=now, sent=now, counted=now)
            db.execute(updates.SETTLE, parameters)
        if settlement.record is None:
            return True
        if parameters["state"] == VERIFIED:
            limit = max(policy.wrong_codes, MAX_COMPETING_CALLS)
            updates.clear_wrong_codes(db, keys, now - policy.retention, limit)
        db.execute(updates.SETTLE_DUPLICATES, parameters)
        if settlement.release_lock:
            updates.begin_release(db, keys, token, lease=now + settlement.release_lock, until=now + policy.ttl)
        return True

    def _reserve_slot(
        self, db: sqlite3.Connection, action: str, now: float, max_wait: float, state: RateLimiterState | None = None
    ) -> Slot:
        state = state or queries.rate_state(db, action)
        wait = state.next_slot(now) - now
        if wait > max_wait:
            return Slot(wait, fits=False)
        updates.save_rate_state(db, action, state.after_reserve(now, self._policy.interval))
        return Slot(wait, fits=True)
