"""The way of a delivery that is worked on once: a place, a claim, the work, and what became of it remembered.

In come a delivery and its deadline, out comes a `Verdict`. It must never work for a delivery that it does not own, nor
forget a call that was made. What the work is, `verification` and `sending` say.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Generic, Literal, NamedTuple, TypeVar

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
"""Seconds that are kept for recording and answering, a twentieth of the budget at most."""

PERMIT_TIMEOUT = 0.5
"""Seconds for which one too many waits for a place: those who come again come in clumps, a second apart, and between
them there must be work."""

SETTLE_TIMEOUT = 0.5
"""Seconds that recording an outcome may take, even if the budget is over: less than `LEASE_MARGIN`."""

POLL_INTERVAL_MIN, POLL_INTERVAL_MAX = 0.02, 0.2
"""Seconds between two looks at what is waited for."""

MIN_POLL_TIME = 0.1
"""Seconds without which it is not looked any more: a ledger that is asked too late seems unavailable."""

SettleStatus = Literal["yes", "no", "by another"]
RequestT = TypeVar("RequestT", Delivery, CodeRequest)


class ClaimedDelivery(NamedTuple):
    """Whoever works on a delivery of these keys: its claim, the token that proves it, when it was asked for, and its
    call's turn.
    """

    keys: Keys
    token: str
    claim: Acquired
    asked: Stopwatch
    turn: SlotReservation


class IdempotentProcessor(ABC, Generic[RequestT]):
    """What is done once for each delivery of a kind, by a call of the API's ``_action``.

    ``places`` are shared by all kinds.
    """

    _action: str

    def __init__(self, ledger: Ledger, caller: RateLimitedApi, clock: Clock, places: ConcurrencyLimiter) -> None:
        self._ledger = ledger
        self._caller = caller
        self._clock = clock
        self._places = places

    @abstractmethod
    def acquire_claim(
        self, delivery: RequestT, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline
    ) -> Claim:
        """Ask the ledger for a claim. Raises LedgerUnavailable."""

    @abstractmethod
    def execute(self, delivery: RequestT, owner: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        """Do the work that the claim is for."""

    def build_settlement(self, owner: ClaimedDelivery, made: CallAttempt) -> Settlement:
        """How the work is remembered."""
        verdict, record = made.result, None
        if verdict.outcome.stored == "definitive":
            record = Record(verdict.outcome.code, verdict.request_id, verdict.resolved, owner.keys.contact_type)
        return Settlement(record, sent_at=made.started, gave_up_at=made.finished, requested=owner.asked)

    def on_settled(self, delivery: RequestT, owner: ClaimedDelivery, made: CallAttempt, deadline: Deadline) -> None:
        """What is to be done once it is remembered."""

    def process(self, delivery: RequestT, deadline: Deadline) -> Result:
        """Do the delivery's work, if nobody has, over by the deadline."""
        if not deadline.remaining():  # its budget went by while it stood in the server's line
            return Result(outcomes.OVERLOADED, retry_after=self._places.next_retry_after())
        try:
            keys = self._ledger.hasher().keys(delivery)
            with self._places.acquire(keys.delivery) as taken:
                verdict = self._try_claim(delivery, keys, deadline) if taken else Result(outcomes.OVERLOADED)
            if verdict is None or verdict.outcome is outcomes.OVERLOADED:
                with self._places.queue() as seated:
                    verdict = self._wait_in_queue(delivery, keys, deadline, verdict) if seated else None
            if verdict is None or verdict.outcome is outcomes.OVERLOADED:
                return Result(outcomes.OVERLOADED, retry_after=self._places.next_retry_after())
        except LedgerUnavailable as error:
            return ledger_unavailable_result(error)
        return verdict

    def _try_claim(  # noqa: PLR0911  one for each kind of claim
        self, delivery: RequestT, keys: Keys, deadline: Deadline
    ) -> Result | None:
        """The verdict, or None when the delivery, or its contact, is being worked on. It takes a place."""
        token, asked = secrets.token_hex(16), Stopwatch(self._clock)
        lease = deadline.remaining() + LEASE_MARGIN
        max_wait = self._caller.max_slot_wait(self._action, deadline)
        claim = self.acquire_claim(delivery, keys, token, lease=lease, max_wait=max_wait, deadline=deadline)
        match claim:
            case Acquired():
                turn = SlotReservation.from_ledger(claim.wait, asked, self._clock)
                return self._execute_and_settle(delivery, ClaimedDelivery(keys, token, claim, asked, turn), deadline)
            case Replay(record):
                return result_from_record(record, replayed=True)
            case ShortCircuited(record):
                return result_from_record(record)
            case InFlight() | ContactBusy():
                return None
            case KeyMismatch():
                return Result(outcomes.IDEMPOTENCY_KEY_REUSED)
            case RateLimited(wait):
                late = max_wait < 0  # no slot was looked for
                return Result(outcomes.IN_PROGRESS if late else outcomes.UPSTREAM_THROTTLED, retry_after=wait)
            case SendLimited(wait, limit):
                return Result(outcomes.SEND_LIMITED, retry_after=wait, limit=limit)
            case _ as never:
                return assert_never(never)

    def _wait_in_queue(
        self, delivery: RequestT, keys: Keys, deadline: Deadline, verdict: Result | None
    ) -> Result | None:
        """Wait for a place, or for whoever works on it; only who has a seat or a place may hold up a thread."""
        if verdict is not None:
            verdict = self._try_once(delivery, keys, deadline)
        if verdict is not None and verdict.outcome is outcomes.OVERLOADED:
            verdict = self._wait_for_permit(delivery, keys, deadline)
        return verdict or self._wait_for_first_response(delivery, keys, deadline)

    def _try_once(self, delivery: RequestT, keys: Keys, deadline: Deadline) -> Result | None:
        """The verdict, as far as one can be had now; None when it is being worked on."""
        with self._places.acquire(keys.delivery) as taken:
            if taken:
                return self._try_claim(delivery, keys, deadline)
        return self._lookup_stored(keys, deadline)

    def _lookup_stored(self, keys: Keys, deadline: Deadline) -> Result | None:
        """What can be said when as many deliveries are worked on as may be."""
        if self._places.is_in_flight(keys.delivery):
            return None
        found = self._ledger.get(keys.delivery, deadline=deadline)
        if found is None or found.state == "unknown":
            return Result(outcomes.OVERLOADED)
        if found.content != keys.content:
            return Result(outcomes.IDEMPOTENCY_KEY_REUSED)
        return result_from_record(found.record, replayed=True) if found.record else None

    def _wait_for_permit(self, delivery: RequestT, keys: Keys, deadline: Deadline) -> Result | None:
        """Wait a moment for a place."""
        patience = deadline.within(PERMIT_TIMEOUT)
        verdict: Result | None = Result(outcomes.OVERLOADED)
        while verdict is not None and verdict.outcome is outcomes.OVERLOADED:
            if not self._places.wait(patience.remaining()):
                break
            verdict = self._try_once(delivery, keys, deadline)
        return verdict

    def _wait_for_first_response(self, delivery: RequestT, keys: Keys, deadline: Deadline) -> Result:
        """Wait for whoever works on it, look again and again, and give the same answer."""
        waited = Stopwatch(self._clock)
        pause = POLL_INTERVAL_MIN
        while deadline.remaining() > pause + MIN_POLL_TIME:
            self._clock.sleep(pause)
            pause = min(POLL_INTERVAL_MAX, pause * 1.5)
            verdict = self._try_once(delivery, keys, deadline)
            if verdict is not None and verdict.outcome is not outcomes.OVERLOADED:
                return verdict
        return Result(outcomes.IN_PROGRESS, queue_seconds=waited.seconds())

    def _execute_and_settle(self, delivery: RequestT, owner: ClaimedDelivery, deadline: Deadline) -> Result:
        """What only the owner of a claim may do."""
        calling = deadline.earlier(min(RESPONSE_RESERVE, deadline.remaining() / 20))
        made = self.execute(delivery, owner, calling)
        written = self._settle_with_retry(owner, made, deadline)
        if written == "by another":
            return self._result_of_new_owner(owner.keys, made.result, deadline)
        if written == "yes":
            self.on_settled(delivery, owner, made, deadline)
        return made.result

    def _settle_with_retry(self, owner: ClaimedDelivery, made: CallAttempt, deadline: Deadline) -> SettleStatus:
        """Write down how it ended, unless the delivery is another owner's by now.

        A ledger that fails now is tried again until the deadline. Then the answer is what the API said, and what is
        remembered is the claim, which becomes an unknown outcome.
        """
        verdict = made.result

        def remember(within: Deadline) -> SettleStatus:
            if verdict.outcome.stored != "definitive" and made.started is None:
                self._ledger.release(owner.keys, owner.token, deadline=within)
                return "yes"
            settlement = self.build_settlement(owner, made)
            return "yes" if self._ledger.settle(owner.keys, owner.token, settlement, deadline=within) else "by another"

        pause = POLL_INTERVAL_MIN
        within = deadline if deadline.remaining() > SETTLE_TIMEOUT else Deadline(self._clock, SETTLE_TIMEOUT)
        while True:
            try:
                return remember(within)
            except LedgerUnavailable as error:
                if deadline.remaining() <= pause:
                    fields = {"outcome": verdict.outcome.code, "reason": str(error)}
                    log.error(
                        "the ledger failed after the call: its outcome is not remembered", extra={"fields": fields}
                    )
                    return "no"
            self._clock.sleep(pause)

    def _result_of_new_owner(self, keys: Keys, verdict: Result, deadline: Deadline) -> Result:
        """The verdict of a delivery that was taken over, its lease being over: what the ledger says holds."""
        with suppress(LedgerUnavailable):
            found = self._ledger.get(keys.delivery, deadline=deadline)
            if found is not None and found.record is not None:
                return result_from_record(found.record, replayed=True)
        return verdict._replace(outcome=outcomes.OUTCOME_UNKNOWN, retry_after=None)


def result_from_record(record: Record, *, replayed: bool = False) -> Result:
    return Result(outcomes.BY_CODE[record.outcome], record.request_id, resolved=record.resolved, replayed=replayed)


def ledger_unavailable_result(error: LedgerUnavailable) -> Result:
    log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})
    return Result(outcomes.LEDGER_UNAVAILABLE, error=str(error))
