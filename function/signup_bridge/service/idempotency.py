"""Process each delivery once: admission, claim, work, settlement.

It never works on a delivery that it does not own, and never loses a call that was made. `Work` is what differs between
verifications (`verification`) and codes (`code_sending`).
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.delivery import CodeRequest, Delivery
from signup_bridge.core.outcomes import Result
from signup_bridge.ledger import (
    Acquired,
    Claim,
    ContactBusy,
    InFlight,
    KeyMismatch,
    Ledger,
    LedgerUnavailable,
    RateLimited,
    Record,
    Replay,
    SendLimited,
    Settlement,
    ShortCircuited,
    assert_never,
)
from signup_bridge.ledger.keys import Keys
from signup_bridge.telemetry.logs import log
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi, SlotReservation

from .admission import ConcurrencyLimiter

LEASE_MARGIN = 2.0
"""Seconds by which a lease outlives the delivery's budget."""

RESPONSE_RESERVE = 0.25
"""Seconds that are kept for the settlement and the response, a twentieth of the budget at most."""

PERMIT_TIMEOUT = 0.5
"""Seconds that a delivery waits for a permit: retries arrive in clumps, a second apart, and between them there must be
work."""

SETTLE_TIMEOUT = 0.5
"""Seconds that the settlement may take, even if the budget is over: less than `LEASE_MARGIN`."""

POLL_INTERVAL_MIN, POLL_INTERVAL_MAX = 0.02, 0.2
"""Seconds between two polls of the ledger."""

MIN_POLL_TIME = 0.1
"""Seconds of the budget without which polling ends: a ledger that has too little time seems unavailable."""

SettleStatus = Literal["settled", "failed", "lost"]
"""``lost``: the delivery has another owner by now."""


class ClaimedDelivery(NamedTuple):
    """A delivery of these keys that this thread owns.

    ``token`` proves the claim, which was ``requested`` a while ago; its call may leave in ``slot``.
    """

    keys: Keys
    token: str
    claim: Acquired
    requested: Stopwatch
    slot: SlotReservation


class Work(Protocol):
    """The work for one delivery, which calls ``action`` of the API."""

    @property
    def action(self) -> str: ...

    @property
    def delivery(self) -> Delivery | CodeRequest: ...

    def acquire_claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        """Claim the delivery in the ledger. Raises LedgerUnavailable."""

    def execute(self, claimed: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        """Do the work. It ends by the deadline and raises nothing."""

    def build_settlement(self, claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
        """Return what the ledger stores about the work."""

    def on_settled(self, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline) -> None:
        """Do what follows once the settlement is stored."""


class IdempotentProcessor:
    """Runs the work of a delivery once. ``permits`` limit how many run at the same time."""

    def __init__(self, ledger: Ledger, api: RateLimitedApi, clock: Clock, permits: ConcurrencyLimiter) -> None:
        self._ledger = ledger
        self._api = api
        self._clock = clock
        self._permits = permits

    def process(self, work: Work, deadline: Deadline) -> Result:
        """Return the result of the work, or of whoever did it before, by the deadline."""
        if not deadline.remaining():  # the budget passed in the server's queue
            return self._overloaded()
        try:
            keys = self._ledger.hasher().keys(work.delivery)
            with self._permits.acquire(keys.delivery) as acquired:
                result = self._try_claim(work, keys, deadline) if acquired else Result(outcomes.OVERLOADED)
            if result is None or result.outcome is outcomes.OVERLOADED:
                with self._permits.queue() as queued:
                    result = self._wait_in_queue(work, keys, deadline, result) if queued else None
            if result is None or result.outcome is outcomes.OVERLOADED:
                return self._overloaded()
        except LedgerUnavailable as error:
            return ledger_unavailable_result(error)
        return result

    def _overloaded(self) -> Result:
        return Result(outcomes.OVERLOADED, retry_after=self._permits.next_retry_after())

    def _try_claim(  # noqa: PLR0911  one for each kind of claim
        self, work: Work, keys: Keys, deadline: Deadline
    ) -> Result | None:
        """Claim the delivery and work on it; None if it, or its contact, is in progress. The caller has a permit."""
        token, requested = secrets.token_hex(16), Stopwatch(self._clock)
        lease = deadline.remaining() + LEASE_MARGIN
        max_wait = self._api.max_slot_wait(work.action, deadline)
        claim = work.acquire_claim(keys, token, lease=lease, max_wait=max_wait, deadline=deadline)
        match claim:
            case Acquired():
                slot = SlotReservation.from_ledger(claim.wait, requested, self._clock)
                return self._execute_and_settle(work, ClaimedDelivery(keys, token, claim, requested, slot), deadline)
            case Replay(record):
                return result_from_record(record, replayed=True)
            case ShortCircuited(record):
                return result_from_record(record)
            case InFlight() | ContactBusy():
                return None
            case KeyMismatch():
                return Result(outcomes.IDEMPOTENCY_KEY_REUSED)
            case RateLimited(wait):
                is_late = max_wait < 0  # no slot was looked for
                return Result(outcomes.IN_PROGRESS if is_late else outcomes.UPSTREAM_THROTTLED, retry_after=wait)
            case SendLimited(wait, limit):
                return Result(outcomes.SEND_LIMITED, retry_after=wait, limit=limit)
            case _ as never:
                return assert_never(never)

    def _wait_in_queue(self, work: Work, keys: Keys, deadline: Deadline, result: Result | None) -> Result | None:
        """Wait for a permit, or for the delivery's owner. Only a delivery with a permit or a place in the queue may
        block a thread.
        """
        if result is not None:
            result = self._try_once(work, keys, deadline)
        if result is not None and result.outcome is outcomes.OVERLOADED:
            result = self._wait_for_permit(work, keys, deadline)
        return result or self._wait_for_first_response(work, keys, deadline)

    def _try_once(self, work: Work, keys: Keys, deadline: Deadline) -> Result | None:
        """Return the result that can be had now; None if the delivery is in progress."""
        with self._permits.acquire(keys.delivery) as acquired:
            if acquired:
                return self._try_claim(work, keys, deadline)
        return self._lookup_stored(keys, deadline)

    def _lookup_stored(self, keys: Keys, deadline: Deadline) -> Result | None:
        """Return the result that needs no permit: the stored one."""
        if self._permits.is_in_flight(keys.delivery):
            return None
        stored = self._ledger.get(keys.delivery, deadline=deadline)
        if stored is None or stored.state == "unknown":
            return Result(outcomes.OVERLOADED)
        if stored.content != keys.content:
            return Result(outcomes.IDEMPOTENCY_KEY_REUSED)
        return result_from_record(stored.record, replayed=True) if stored.record else None

    def _wait_for_permit(self, work: Work, keys: Keys, deadline: Deadline) -> Result | None:
        timeout = deadline.within(PERMIT_TIMEOUT)
        result: Result | None = Result(outcomes.OVERLOADED)
        while result is not None and result.outcome is outcomes.OVERLOADED:
            if not self._permits.wait(timeout.remaining()):
                break
            result = self._try_once(work, keys, deadline)
        return result

    def _wait_for_first_response(self, work: Work, keys: Keys, deadline: Deadline) -> Result:
        """Poll until the delivery's owner has settled it, and return the same result."""
        waited = Stopwatch(self._clock)
        pause = POLL_INTERVAL_MIN
        while deadline.remaining() > pause + MIN_POLL_TIME:
            self._clock.sleep(pause)
            pause = min(POLL_INTERVAL_MAX, pause * 1.5)
            result = self._try_once(work, keys, deadline)
            if result is not None and result.outcome is not outcomes.OVERLOADED:
                return result
        return Result(outcomes.IN_PROGRESS).with_queue_time(waited.seconds())

    def _execute_and_settle(self, work: Work, claimed: ClaimedDelivery, deadline: Deadline) -> Result:
        """Do what only the owner of a claim may do."""
        attempt = work.execute(claimed, deadline.earlier(min(RESPONSE_RESERVE, deadline.remaining() / 20)))
        status = self._settle_with_retry(work, claimed, attempt, deadline)
        if status == "lost":
            return self._result_of_new_owner(claimed.keys, attempt.result, deadline)
        if status == "settled":
            work.on_settled(claimed, attempt, deadline)
        return attempt.result

    def _settle_with_retry(
        self, work: Work, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline
    ) -> SettleStatus:
        """Store the end of the work; if the ledger fails, retry until the deadline.

        If that fails, too, the response is what the API said, and the claim that the ledger has becomes an unknown
        outcome.
        """
        is_certainly_unprocessed = attempt.result.outcome.stored != "definitive" and attempt.started is None
        to_store = None if is_certainly_unprocessed else work.build_settlement(claimed, attempt)
        pause = POLL_INTERVAL_MIN
        settle_deadline = deadline if deadline.remaining() > SETTLE_TIMEOUT else Deadline(self._clock, SETTLE_TIMEOUT)
        while True:
            try:
                return self._settle(claimed, to_store, settle_deadline)
            except LedgerUnavailable as error:
                if deadline.remaining() <= pause:
                    fields = {"outcome": attempt.result.outcome.code, "reason": str(error)}
                    log.error(
                        "the ledger failed after the call: its outcome is not remembered", extra={"fields": fields}
                    )
                    return "failed"
            self._clock.sleep(pause)

    def _settle(
        self, claimed: ClaimedDelivery, to_store: Settlement | None, deadline: Deadline
    ) -> Literal["settled", "lost"]:
        """Store the settlement, or without one give the claim back."""
        if to_store is None:
            self._ledger.release(claimed.keys, claimed.token, deadline=deadline)
            return "settled"
        return "settled" if self._ledger.settle(claimed.keys, claimed.token, to_store, deadline=deadline) else "lost"

    def _result_of_new_owner(self, keys: Keys, result: Result, deadline: Deadline) -> Result:
        """Return the result of a delivery that another owner took over after its lease: the ledger decides."""
        with suppress(LedgerUnavailable):
            stored = self._ledger.get(keys.delivery, deadline=deadline)
            if stored is not None and stored.record is not None:
                return result_from_record(stored.record, replayed=True)
        return result._replace(outcome=outcomes.OUTCOME_UNKNOWN, retry_after=None)


def settlement(claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
    """Return what every kind of work stores: a definitive result, and when its call was."""
    result, record = attempt.result, None
    if result.outcome.stored == "definitive":
        record = Record(result.outcome.code, result.request_id, result.resolved, claimed.keys.contact_type)
    return Settlement(record, sent_at=attempt.started, gave_up_at=attempt.finished, requested=claimed.requested)


def result_from_record(record: Record, *, replayed: bool = False) -> Result:
    """Return the result that the ledger stores."""
    return Result(outcomes.BY_CODE[record.outcome], record.request_id, resolved=record.resolved, replayed=replayed)


def ledger_unavailable_result(error: LedgerUnavailable) -> Result:
    """Log the error and return its result."""
    log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})
    return Result(outcomes.LEDGER_UNAVAILABLE, error=str(error))
