"""The ledger in a SQLite file: the embedded default, shared by the threads and workers of one instance.

A write-ahead log, so that what a verb wrote survives `kill -9`. SQL lives here and in the modules named `sqlite_…`,
nowhere else. It must never let a delivery through unremembered.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.rate_limit import RateLimiterState
from signup_bridge.ledger import (
    CONTENT_REPLAY,
    LEASE_LIMIT,
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

from . import queries as rows
from . import send_counts as sends
from .database import CLAIMED, REFUSED, UNKNOWN, VERIFIED, Database
from .retention import SIZE_LIMIT, Retention


class SqliteLedger:
    """A `Ledger` in one file, which need not exist yet; its folder must. Without a ``key`` there is one beside it."""

    reach: Literal["instance"] = "instance"
    engine = "sqlite"

    def __init__(
        self, file: Path, policy: Policy, clock: Clock, *, key: bytes = b"", size_limit: int = SIZE_LIMIT
    ) -> None:
        self._path = file
        self._policy = policy
        self._clock = clock
        self._hasher = Hasher(key) if key else None
        self._forgetting = Retention(policy, clock, size_limit)
        self.database = Database(file, self.hasher)

    def hasher(self) -> Hasher:
        if self._hasher is None:
            self._hasher = Hasher(load_or_create_key(self._path))
        return self._hasher

    # -- the verbs --

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        def claim(db: sqlite3.Connection) -> Claim:
            now = self._clock.time()
            met = self._meet(db, keys, now)
            if met.ahead:
                rows.bring_back(db, keys, now)
                met = self._meet(db, keys, now)
            answer = None if met.row is None else rows.existing_claim(db, keys, now)
            return answer or self._claim(db, now, met, keys, token=token, lease=lease, max_wait=max_wait)

        return self._unless_known(keys, claim, deadline)

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
        def claim(db: sqlite3.Connection) -> Claim:
            now = self._clock.time()
            if answer := rows.existing_claim(db, keys, now):
                return answer
            if limit := sends.blocking_limit(db, guards, now):
                return SendLimited(*limit)
            slot = self._slot(db, SEND, rows.pace(db, SEND), now, max_wait)
            if not slot.fits:
                return RateLimited(slot.wait)
            if row := rows.find(db, keys.delivery):
                rows.detach(db, row)
            self._insert(db, keys, now, token=token, lease=now + lease, sent=now + slot.wait)
            sends.add(db, guards, token, now)
            return Acquired(slot.wait)

        return self._unless_known(keys, claim, deadline)

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        def attempt(db: sqlite3.Connection) -> Slot | None:
            row = rows.owned(db, keys, token)
            if row is None or row["sent2"] is not None:
                return None
            now = self._clock.time()
            slot = self._slot(db, CREATE, rows.pace(db, CREATE), now, max_wait)
            if slot.fits:
                again = "UPDATE deliveries SET sent2 = :at, counted = coalesce(counted, :at) WHERE id = :id"
                db.execute(again, {"at": now + slot.wait, "id": row["id"]})
            return slot

        return self.database.write(attempt, deadline)

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        return self.database.write(lambda db: self._settle(db, keys, token, settlement), deadline)

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        def release(db: sqlite3.Connection) -> None:
            row = rows.owned(db, keys, token)
            if row is None:
                return
            sends.remove(db, token)
            if row["sent"] is not None and row["gave_up"] is None:
                claimed = min(row["claimed"], self._clock.time())
                if row["counted"] is not None and row["counted"] < claimed:
                    # The wrong code of its first time stays counted.
                    db.execute(
                        "UPDATE deliveries SET delivery = randomblob(16), state = ?, token = NULL, lease = NULL, "
                        "sent = NULL WHERE id = ?",
                        (REFUSED, row["id"]),
                    )
                    return
                db.execute("DELETE FROM deliveries WHERE id = ?", (row["id"],))
                return
            db.execute(
                "UPDATE deliveries SET state = ?, token = NULL, lease = NULL, until = ?, "
                "sent2 = CASE WHEN gave_up2 IS NULL THEN NULL ELSE sent2 END WHERE id = ?",
                (UNKNOWN, self._clock.time() + self._policy.ttl, row["id"]),
            )

        self.database.write(release, deadline)

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        def unlock(db: sqlite3.Connection) -> None:
            row = rows.find(db, keys.delivery)
            if row is None or row["token"] != token or not rows.is_live(row, self._clock.time()):
                return
            if removed:
                db.execute("DELETE FROM removals WHERE exact = ?", (keys.exact,))
            if row["state"] >= VERIFIED:
                db.execute("UPDATE deliveries SET token = NULL, lease = NULL WHERE id = ?", (row["id"],))

        self.database.write(unlock, deadline)

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        def reserve(db: sqlite3.Connection) -> Slot:
            return self._slot(db, action, rows.pace(db, action), self._clock.time(), max_wait)

        return self.database.write(reserve, deadline)

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        self.database.write(
            lambda db: rows.save(db, action, rows.pace(db, action).after_throttle(self._clock.time())), deadline
        )

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        row = self.database.read(lambda db: rows.find(db, delivery), deadline)
        now = self._clock.time()
        if row is None or row["until"] <= now:
            return None
        if row["state"] >= VERIFIED:
            return StoredState("settled", row["content"], rows.record(row))
        return StoredState("in-flight" if rows.is_live(row, now) else "unknown", row["content"])

    def count_unknown(self, *, deadline: Deadline) -> int:
        count = (
            f"SELECT count(*) FROM deliveries WHERE state <= {UNKNOWN} AND until > :now "
            "AND (lease IS NULL OR lease <= :now OR lease > :now + :limit)"
        )
        given = {"now": self._clock.time(), "limit": LEASE_LIMIT}
        return int(self.database.read(lambda db: db.execute(count, given).fetchone()[0], deadline))

    def ping(self, *, deadline: Deadline) -> None:
        self.database.write(lambda db: db.execute("UPDATE meta SET value = value"), deadline)

    def prune(self, *, deadline: Deadline) -> int:
        return self._forgetting.prune(self.database, deadline)

    def close(self) -> None:
        self.database.close()

    # -- what the verbs consist of, inside their transaction --

    def _unless_known(self, keys: Keys, claim: Callable[[sqlite3.Connection], Claim], deadline: Deadline) -> Claim:
        """What is known of the delivery; else claim it, if it is not known by then."""

        def known(db: sqlite3.Connection) -> Claim | None:
            return rows.existing_claim(db, keys, self._clock.time())

        # Most of what comes again costs no write.
        return self.database.read(known, deadline) or self.database.write(claim, deadline)

    def _meet(self, db: sqlite3.Connection, keys: Keys, now: float) -> rows.ClaimContext:
        since = now - self._policy.wrong_code_window
        return rows.load_claim_context(db, keys, CREATE, now, counted_since=since, enough=self._policy.wrong_codes)

    def _claim(
        self,
        db: sqlite3.Connection,
        now: float,
        met: rows.ClaimContext,
        keys: Keys,
        *,
        token: str,
        lease: float,
        max_wait: float,
    ) -> Claim:
        counted, row = None, met.row
        if row is not None and row["until"] <= now:
            if row["content"] == keys.content and (row["counted"] or 0) > now - self._policy.wrong_code_window:
                counted = row["counted"]
            rows.detach(db, row)
            row = None
        if met.busy:
            return ContactBusy()
        if met.unknown:
            unknown = db.execute(
                f"SELECT * FROM deliveries WHERE content = ? AND state <= {UNKNOWN} AND until > ?", (keys.content, now)
            ).fetchall()
            self._take_over(db, keys, token, row, now, lease)
            calls = tuple(call for one in unknown for call in rows.calls(one))
            competing = rows.rivals(db, keys, calls, now - self._policy.retention)
            unknown_outcome = UnknownOutcome(now, calls, competing or (), has_more_calls=competing is None)
            return Acquired(release_pending=met.removal, unknown_outcome=unknown_outcome)
        decided = self._decided(met, keys)
        if decided:
            counts = self._policy.conceal and decided.outcome == outcomes.ALREADY_VERIFIED.code
            at = rows.move_count(db, keys, counted, now) if counts else None
            self._insert(db, keys, now, state=REFUSED, outcome=decided.outcome, counted=at)
            return ShortCircuited(decided)
        slot = self._slot(db, CREATE, met.pace, now, max_wait)
        if not slot.fits:
            return RateLimited(slot.wait)
        sent = now + slot.wait
        at = rows.move_count(db, keys, counted, sent)
        self._insert(db, keys, now, token=token, lease=now + lease, sent=sent, counted=at)
        return Acquired(slot.wait, release_pending=met.removal)

    def _take_over(
        self, db: sqlite3.Connection, keys: Keys, token: str, row: sqlite3.Row | None, now: float, lease: float
    ) -> None:
        """Make the token the owner of a delivery whose outcome is unknown, or of a new one with the same content."""
        if row is None:
            self._insert(db, keys, now, token=token, lease=now + lease)
            return
        db.execute(
            "UPDATE deliveries SET state = ?, token = ?, claimed = ?, lease = ?, until = ?, "
            "gave_up = CASE WHEN sent IS NULL THEN NULL ELSE coalesce(gave_up, lease) END, "
            "gave_up2 = CASE WHEN sent2 IS NULL THEN NULL ELSE coalesce(gave_up2, lease) END WHERE id = ?",
            (CLAIMED, token, now, now + lease, now + lease + self._policy.ttl, row["id"]),
        )

    def _decided(self, met: rows.ClaimContext, keys: Keys) -> Record | None:
        """What a new delivery ends in without a call."""
        exhausted = 0 < self._policy.wrong_codes <= met.wrong
        if met.spent and not (exhausted and self._policy.conceal):
            return Record(outcomes.ALREADY_VERIFIED.code, contact_type=keys.contact_type)
        return Record(outcomes.ATTEMPTS_EXHAUSTED.code, contact_type=keys.contact_type) if exhausted else None

    def _insert(
        self,
        db: sqlite3.Connection,
        keys: Keys,
        now: float,
        *,
        state: int = CLAIMED,
        token: str | None = None,
        lease: float | None = None,
        sent: float | None = None,
        counted: float | None = None,
        outcome: str | None = None,
    ) -> None:
        until = (
            now + (CONTENT_REPLAY if keys.transient else self._policy.ttl)
            if lease is None
            else (lease + self._policy.ttl)
        )
        db.execute(
            "INSERT INTO deliveries (delivery, content, contact, contact_type, transient, state, until, claimed, "
            "token, lease, counted, sent, outcome) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (keys.delivery, keys.content, keys.contact, keys.contact_type, keys.transient, state, until, now, token,
             lease, counted, sent, outcome),
        )  # fmt: skip
        self._forgetting.sweep(db, now)

    def _settle(self, db: sqlite3.Connection, keys: Keys, token: str, settlement: Settlement) -> bool:
        now, record = self._clock.time(), settlement.record
        verified = record is not None and record.outcome in (outcomes.VERIFIED.code, outcomes.SENT.code)
        ended = {
            "sent": settlement.sent_at and now - settlement.sent_at.seconds(),
            "gave_up": settlement.gave_up_at and now - settlement.gave_up_at.seconds(),
            "counts": record is None or (settlement.counts_as_wrong and not verified),
            "state": UNKNOWN if record is None else VERIFIED if verified else REFUSED,
            "outcome": record and record.outcome,
            "request_id": record and record.request_id,
            "resolved": record and record.resolved,
            "now": now,
            "transient": settlement.content_replay if record else self._policy.ttl,
            "ttl": self._policy.ttl,
            "content": keys.content,
            "delivery": keys.delivery,
            "token": token,
        }
        if not rows.SETTLE.execute(db, ended).rowcount:
            if rows.find(db, keys.delivery) is not None:
                return False
            # The file was moved away, say.
            self._insert(db, keys, now, token=token, lease=now, sent=now, counted=now)
            rows.SETTLE.execute(db, ended)
        if record is None:
            return True
        if verified:
            rows.clear_wrong(db, keys, now - self._policy.retention, max(self._policy.wrong_codes, MAX_COMPETING_CALLS))
        rows.SETTLE_DUPLICATES.execute(db, ended)
        if settlement.release_lock:
            locked = "UPDATE deliveries SET token = ?, lease = ? WHERE delivery = ?"
            db.execute(locked, (token, now + settlement.release_lock, keys.delivery))
            db.execute("INSERT OR IGNORE INTO removals VALUES (?)", (keys.exact,))
            db.execute(
                "INSERT OR REPLACE INTO spent (content, until) VALUES (?, ?)", (keys.content, now + self._policy.ttl)
            )
        return True

    def _slot(self, db: sqlite3.Connection, action: str, pace: RateLimiterState, now: float, max_wait: float) -> Slot:
        wait = pace.next_slot(now) - now
        if wait > max_wait:
            return Slot(wait, fits=False)
        rows.save(db, action, pace.after_reserve(now, self._policy.interval))
        return Slot(wait, fits=True)
