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
from signup_bridge.inbound.body import Delivery, SendRequest
from signup_bridge.ledger import Claim, Ledger, LedgerUnavailable, Record, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.telemetry.logs import log
from signup_bridge.upstream.calls import Caller, Made, Turn
from signup_bridge.upstream.reply import Verdict

from .admission import Places

LEASE_MARGIN = 2.0
"""Seconds by which a lease outlives the delivery's budget."""

ANSWER_TIME = 0.25
"""Seconds that are kept for recording and answering, a twentieth of the budget at most."""

PATIENCE = 0.5
"""Seconds for which one too many waits for a place: those who come again come in clumps, a second apart, and between
them there must be work."""

SETTLE_TIME = 0.5
"""Seconds that recording an outcome may take, even if the budget is over: less than `LEASE_MARGIN`."""

_FIRST_LOOK, _LAST_LOOK = 0.02, 0.2
"""Seconds between two looks at what is waited for."""

_LOOK_TIME = 0.1
"""Seconds without which it is not looked any more: a ledger that is asked too late seems unavailable."""

Remembered = Literal["yes", "no", "by another"]
D = TypeVar("D", Delivery, SendRequest)


class Owner(NamedTuple):
    """Whoever works on a delivery of these keys: its claim, the token that proves it, when it was asked for, and its
    call's turn.
    """

    keys: Keys
    token: str
    claim: Claim
    asked: Stopwatch
    turn: Turn


class Once(ABC, Generic[D]):
    """What is done once for each delivery of a kind, by a call of the API's ``_action``.

    ``places`` are shared by all kinds.
    """

    _action: str

    def __init__(self, ledger: Ledger, caller: Caller, clock: Clock, places: Places) -> None:
        self._ledger = ledger
        self._caller = caller
        self._clock = clock
        self._places = places

    @abstractmethod
    def _claim_of(
        self, delivery: D, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline
    ) -> Claim:
        """Ask the ledger for a claim. Raises LedgerUnavailable."""

    @abstractmethod
    def _made(self, delivery: D, owner: Owner, deadline: Deadline) -> Made:
        """Do the work that the claim is for."""

    def _settlement(self, owner: Owner, made: Made) -> Settlement:
        """How the work is remembered."""
        verdict, record = made.verdict, None
        if verdict.outcome.stored == "definitive":
            record = Record(verdict.outcome.code, verdict.request_id, verdict.resolved, owner.keys.contact_type)
        return Settlement(record, sent=made.began, gave_up=made.ended, asked=owner.asked)

    def _after(self, delivery: D, owner: Owner, made: Made, deadline: Deadline) -> None:
        """What is to be done once it is remembered."""

    def _process(self, delivery: D, deadline: Deadline) -> Verdict:
        """Do the delivery's work, if nobody has, over by the deadline."""
        if not deadline.remaining():  # its budget went by while it stood in the server's line
            return Verdict(outcomes.OVERLOADED, retry_after=self._places.retry_after())
        try:
            keys = self._ledger.hasher().keys(delivery)
            with self._places.place(keys.delivery) as taken:
                verdict = self._claim(delivery, keys, deadline) if taken else Verdict(outcomes.OVERLOADED)
            if verdict is None or verdict.outcome is outcomes.OVERLOADED:
                with self._places.seat() as seated:
                    verdict = self._seated(delivery, keys, deadline, verdict) if seated else None
            if verdict is None or verdict.outcome is outcomes.OVERLOADED:
                return Verdict(outcomes.OVERLOADED, retry_after=self._places.retry_after())
        except LedgerUnavailable as error:
            return unavailable(error)
        return verdict

    def _claim(self, delivery: D, keys: Keys, deadline: Deadline) -> Verdict | None:
        """The verdict, or None when the delivery, or its contact, is being worked on. It takes a place."""
        token, asked = secrets.token_hex(16), Stopwatch(self._clock)
        lease = deadline.remaining() + LEASE_MARGIN
        max_wait = self._caller.max_slot_wait(self._action, deadline)
        claim = self._claim_of(delivery, keys, token, lease=lease, max_wait=max_wait, deadline=deadline)
        match claim.kind:
            case "owned":
                turn = Turn.told(claim.wait, asked, self._clock)
                return self._work(delivery, Owner(keys, token, claim, asked, turn), deadline)
            case "reused":
                return Verdict(outcomes.IDEMPOTENCY_KEY_REUSED)
            case "no-slot":
                late = max_wait < 0  # no slot was looked for
                return Verdict(outcomes.IN_PROGRESS if late else outcomes.UPSTREAM_THROTTLED, retry_after=claim.wait)
            case "limited":
                return Verdict(outcomes.SEND_LIMITED, retry_after=claim.wait, guard=claim.guard)
        return remembered(claim.record, replayed=claim.kind == "replay") if claim.record else None

    def _seated(self, delivery: D, keys: Keys, deadline: Deadline, verdict: Verdict | None) -> Verdict | None:
        """Wait for a place, or for whoever works on it; only who has a seat or a place may hold up a thread."""
        if verdict is not None:
            verdict = self._once(delivery, keys, deadline)
        if verdict is not None and verdict.outcome is outcomes.OVERLOADED:
            verdict = self._soon(delivery, keys, deadline)
        return verdict or self._later(delivery, keys, deadline)

    def _once(self, delivery: D, keys: Keys, deadline: Deadline) -> Verdict | None:
        """The verdict, as far as one can be had now; None when it is being worked on."""
        with self._places.place(keys.delivery) as taken:
            if taken:
                return self._claim(delivery, keys, deadline)
        return self._without_a_place(keys, deadline)

    def _without_a_place(self, keys: Keys, deadline: Deadline) -> Verdict | None:
        """What can be said when as many deliveries are worked on as may be."""
        if self._places.has(keys.delivery):
            return None
        found = self._ledger.look(keys.delivery, deadline=deadline)
        if found is None or found.state == "unknown":
            return Verdict(outcomes.OVERLOADED)
        if found.content != keys.content:
            return Verdict(outcomes.IDEMPOTENCY_KEY_REUSED)
        return remembered(found.record, replayed=True) if found.record else None

    def _soon(self, delivery: D, keys: Keys, deadline: Deadline) -> Verdict | None:
        """Wait a moment for a place."""
        patience = deadline.within(PATIENCE)
        verdict: Verdict | None = Verdict(outcomes.OVERLOADED)
        while verdict is not None and verdict.outcome is outcomes.OVERLOADED:
            if not self._places.wait(patience.remaining()):
                break
            verdict = self._once(delivery, keys, deadline)
        return verdict

    def _later(self, delivery: D, keys: Keys, deadline: Deadline) -> Verdict:
        """Wait for whoever works on it, look again and again, and give the same answer."""
        waited = Stopwatch(self._clock)
        pause = _FIRST_LOOK
        while deadline.remaining() > pause + _LOOK_TIME:
            self._clock.sleep(pause)
            pause = min(_LAST_LOOK, pause * 1.5)
            verdict = self._once(delivery, keys, deadline)
            if verdict is not None and verdict.outcome is not outcomes.OVERLOADED:
                return verdict
        return Verdict(outcomes.IN_PROGRESS, wait=waited.seconds())

    def _work(self, delivery: D, owner: Owner, deadline: Deadline) -> Verdict:
        """What only the owner of a claim may do."""
        calling = deadline.earlier(min(ANSWER_TIME, deadline.remaining() / 20))
        made = self._made(delivery, owner, calling)
        written = self._remember(owner, made, deadline)
        if written == "by another":
            return self._of_another(owner.keys, made.verdict, deadline)
        if written == "yes":
            self._after(delivery, owner, made, deadline)
        return made.verdict

    def _remember(self, owner: Owner, made: Made, deadline: Deadline) -> Remembered:
        """Write down how it ended, unless the delivery is another owner's by now.

        A ledger that fails now is tried again until the deadline. Then the answer is what the API said, and what is
        remembered is the claim, which becomes an unknown outcome.
        """
        verdict = made.verdict

        def remember(within: Deadline) -> Remembered:
            if verdict.outcome.stored != "definitive" and made.began is None:
                self._ledger.release(owner.keys, owner.token, deadline=within)
                return "yes"
            settlement = self._settlement(owner, made)
            return "yes" if self._ledger.settle(owner.keys, owner.token, settlement, deadline=within) else "by another"

        pause = _FIRST_LOOK
        within = deadline if deadline.remaining() > SETTLE_TIME else Deadline(self._clock, SETTLE_TIME)
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

    def _of_another(self, keys: Keys, verdict: Verdict, deadline: Deadline) -> Verdict:
        """The verdict of a delivery that was taken over, its lease being over: what the ledger says holds."""
        with suppress(LedgerUnavailable):
            found = self._ledger.look(keys.delivery, deadline=deadline)
            if found is not None and found.record is not None:
                return remembered(found.record, replayed=True)
        return verdict._replace(outcome=outcomes.OUTCOME_UNKNOWN, retry_after=None)


def remembered(record: Record, *, replayed: bool = False) -> Verdict:
    return Verdict(outcomes.BY_CODE[record.outcome], record.request_id, resolved=record.resolved, replayed=replayed)


def unavailable(error: LedgerUnavailable) -> Verdict:
    log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})
    return Verdict(outcomes.LEDGER_UNAVAILABLE, error=str(error))
