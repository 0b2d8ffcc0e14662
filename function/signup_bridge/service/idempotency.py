"""Process each delivery once: admission, claim, work, settlement.

Only the owner of a claim does the work, and the outcome of each call is stored. `Work` contains the differences between
verifications (`verification`) and codes (`code_sending`).
"""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import Literal, NamedTuple, Protocol

from signup_bridge import ledger
from signup_bridge.core import outcomes
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.delivery import CodeRequest, Delivery
from signup_bridge.core.outcomes import Result
from signup_bridge.ledger import Claim, Ledger, LedgerUnavailable, Record, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.telemetry.logs import log
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi, SlotReservation

from .admission import ConcurrencyLimiter

LEASE_MARGIN = 2.0
"""Seconds by which a lease exceeds the delivery's budget."""

RESPONSE_RESERVE = 0.25
"""Seconds reserved for the settlement and the response; at most a twentieth of the remaining time."""

PERMIT_TIMEOUT = 0.5
"""Seconds that a delivery waits for a permit: retries arrive in bursts a second apart, and the API must stay busy
between them."""

SETTLE_TIMEOUT = 0.5
"""Seconds for the settlement, even after the end of the budget. Less than `LEASE_MARGIN`."""

POLL_INTERVAL_MIN, POLL_INTERVAL_MAX = 0.02, 0.2
"""Seconds between two polls of the ledger."""

MIN_POLL_TIME = 0.1
"""Seconds of the budget below which polling ends, because with less time the ledger would seem unavailable."""


class ClaimedDelivery(NamedTuple):
    """A delivery that this thread owns.

    ``token`` proves the claim, ``requested`` runs since the claim was requested, and the call may start in ``slot``.
    """

    keys: Keys
    token: str
    claim: ledger.Acquired
    requested: Stopwatch
    slot: SlotReservation


class Work(Protocol):
    """The work for one delivery. ``action`` is the API's."""

    @property
    def action(self) -> str: ...

    @property
    def delivery(self) -> Delivery | CodeRequest: ...

    def acquire_claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        """Claim the delivery in the ledger. Raises LedgerUnavailable."""

    def execute(self, claimed: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        """Do the work by the deadline. Raises nothing."""

    def build_settlement(self, claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
        """Return the settlement that the ledger must store."""

    def on_settled(self, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline) -> None:
        """Act after the settlement is stored."""


class IdempotentProcessor(NamedTuple):
    """Runs the work of a delivery once. ``permits`` limit how many run at the same time."""

    ledger: Ledger
    api: RateLimitedApi
    clock: Clock
    permits: ConcurrencyLimiter

    def process(self, work: Work, deadline: Deadline) -> Result:
        """Return the result by the deadline: that of the work, or the stored one if the work was done before."""
        if not deadline.remaining():  # the budget passed in the server's queue
            return self._overloaded()
        try:
            keys = self.ledger.hasher().keys(work.delivery)
            with self.permits.acquire(keys.delivery) as acquired:
                result = self._try_claim(work, keys, deadline) if acquired else Result(outcomes.OVERLOADED)
            if result is None or result.outcome is outcomes.OVERLOADED:
                with self.permits.queue() as queued:
                    result = self._wait_in_queue(work, keys, deadline, result) if queued else None
            if result is None or result.outcome is outcomes.OVERLOADED:
                return self._overloaded()
        except LedgerUnavailable as error:
            return ledger_unavailable_result(error)
        return result

    def _overloaded(self) -> Result:
        return Result(outcomes.OVERLOADED, retry_after=self.permits.next_retry_after())

    def _try_claim(  # noqa: PLR0911  one for each kind of claim
        self, work: Work, keys: Keys, deadline: Deadline
    ) -> Result | None:
        """Claim the delivery and do its work; None if it, or its contact, is in progress. The caller has a permit."""
        token, requested = secrets.token_hex(16), Stopwatch(self.clock)
        lease = deadline.remaining() + LEASE_MARGIN
        max_wait = self.api.max_slot_wait(work.action, deadline)
        claim = work.acquire_claim(keys, token, lease=lease, max_wait=max_wait, deadline=deadline)
        match claim:
            case ledger.Acquired():
                slot = SlotReservation.from_ledger(claim.wait, requested, self.clock)
                return self._execute_and_settle(work, ClaimedDelivery(keys, token, claim, requested, slot), deadline)
            case ledger.Replay(record=record):
                return result_from_record(record, replayed=True)
            case ledger.ShortCircuited(record=record):
                return result_from_record(record)
            case ledger.InFlight() | ledger.ContactBusy():
                return None
            case ledger.KeyMismatch():
                return Result(outcomes.IDEMPOTENCY_KEY_REUSED)
            case ledger.RateLimited(wait=wait):
                is_late = max_wait < 0  # no slot was requested
                return Result(outcomes.IN_PROGRESS if is_late else outcomes.UPSTREAM_THROTTLED, retry_after=wait)
            case ledger.SendLimited(wait=wait, limit=limit):
                return Result(outcomes.SEND_LIMITED, retry_after=wait, limit=limit)
            case _ as never:
                return ledger.assert_never(never)

    def _wait_in_queue(self, work: Work, keys: Keys, deadline: Deadline, result: Result | None) -> Result | None:
        """Wait for a permit, or for the delivery's owner.

        Only a delivery with a permit or a place in the queue may block a thread.
        """
        if result is not None:
            result = self._try_once(work, keys, deadline)
            timeout = deadline.within(PERMIT_TIMEOUT)
            while result and result.outcome is outcomes.OVERLOADED and self.permits.wait(timeout.remaining()):
                result = self._try_once(work, keys, deadline)
        return result or self._wait_for_first_response(work, keys, deadline)

    def _try_once(self, work: Work, keys: Keys, deadline: Deadline) -> Result | None:
        """Claim the delivery or, without a permit, return its stored result; None if it is in progress."""
        with self.permits.acquire(keys.delivery) as acquired:
            if acquired:
                return self._try_claim(work, keys, deadline)
        if self.permits.is_in_flight(keys.delivery):
            return None
        stored = self.ledger.get(keys.delivery, deadline=deadline)
        if stored is None or stored.state == "unknown":
            return Result(outcomes.OVERLOADED)
        if stored.content != keys.content:
            return Result(outcomes.IDEMPOTENCY_KEY_REUSED)
        return result_from_record(stored.record, replayed=True) if stored.record else None

    def _wait_for_first_response(self, work: Work, keys: Keys, deadline: Deadline) -> Result:
        """Poll until the delivery's owner has settled it, and return the same result."""
        waited = Stopwatch(self.clock)
        pause = POLL_INTERVAL_MIN
        while deadline.remaining() > pause + MIN_POLL_TIME:
            self.clock.sleep(pause)
            pause = min(POLL_INTERVAL_MAX, pause * 1.5)
            result = self._try_once(work, keys, deadline)
            if result is not None and result.outcome is not outcomes.OVERLOADED:
                return result
        return Result(outcomes.IN_PROGRESS).with_queue_time(waited.seconds())

    def _execute_and_settle(self, work: Work, claimed: ClaimedDelivery, deadline: Deadline) -> Result:
        attempt = work.execute(claimed, deadline.earlier(min(RESPONSE_RESERVE, deadline.remaining() / 20)))
        status = self._settle_with_retry(work, claimed, attempt, deadline)
        if status == "lost":
            return self._result_of_new_owner(claimed.keys, attempt.result, deadline)
        if status == "settled":
            work.on_settled(claimed, attempt, deadline)
        return attempt.result

    def _settle_with_retry(
        self, work: Work, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline
    ) -> Literal["settled", "failed", "lost"]:
        """Store the result, or release a claim without a call. If the ledger fails, retry until the deadline.

        ``failed``: the sender receives the API's result, and the claim becomes an unknown outcome in the ledger.
        ``lost``: the delivery now has another owner.
        """
        keys, token = claimed.keys, claimed.token
        is_certainly_unprocessed = attempt.result.outcome.stored != "definitive" and attempt.started is None
        to_store = None if is_certainly_unprocessed else work.build_settlement(claimed, attempt)
        pause = POLL_INTERVAL_MIN
        settle_deadline = deadline if deadline.remaining() > SETTLE_TIMEOUT else Deadline(self.clock, SETTLE_TIMEOUT)
        while True:
            try:
                if to_store is None:
                    self.ledger.release(keys, token, deadline=settle_deadline)
                    return "settled"
                return "settled" if self.ledger.settle(keys, token, to_store, deadline=settle_deadline) else "lost"
            except LedgerUnavailable as error:
                if deadline.remaining() <= pause:
                    fields = {"outcome": attempt.result.outcome.code, "reason": str(error)}
                    log.error("ledger unavailable after the API call, outcome not stored", extra={"fields": fields})
                    return "failed"
            self.clock.sleep(pause)

    def _result_of_new_owner(self, keys: Keys, result: Result, deadline: Deadline) -> Result:
        """Return the stored result of a delivery that another owner took over after the lease expired."""
        with suppress(LedgerUnavailable):
            stored = self.ledger.get(keys.delivery, deadline=deadline)
            if stored is not None and stored.record is not None:
                return result_from_record(stored.record, replayed=True)
        return result._replace(outcome=outcomes.OUTCOME_UNKNOWN, retry_after=None)


def settlement(claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
    """Return the settlement that all kinds of work share: a definitive result, and the time of the call."""
    result, record = attempt.result, None
    if result.outcome.stored == "definitive":
        record = Record(result.outcome.code, result.api_request_id, result.resolved, claimed.keys.contact_type)
    return Settlement(record, sent_at=attempt.started, gave_up_at=attempt.finished, requested=claimed.requested)


def result_from_record(record: Record, *, replayed: bool = False) -> Result:
    """Return the result that the ledger stores."""
    outcome = outcomes.BY_CODE[record.outcome]
    return Result(
        outcome, record.api_request_id, retry_after=record.retry_after, resolved=record.resolved, replayed=replayed
    )


def ledger_unavailable_result(error: LedgerUnavailable) -> Result:
    """Log the error and return its result."""
    log.error("ledger unavailable", extra={"fields": {"reason": str(error)}})
    return Result(outcomes.LEDGER_UNAVAILABLE, error=str(error))
