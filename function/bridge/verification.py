"""The whole way of one delivery, and the only module that knows it.

In comes a `Delivery` and its deadline, out comes a `Verdict`: claim it in the ledger, call the API in its slot,
remember what the reply means. It must never call for a delivery that it does not own, nor forget a call that it made.
"""

from __future__ import annotations

import hashlib
import secrets
import uuid
from contextlib import suppress
from typing import Literal, NamedTuple

from . import outcomes
from .actions import CREATE
from .calling import Caller, Made, Turn, room
from .clock import Clock, Deadline, Stopwatch
from .judge import Verdict
from .ledger import Claim, Ledger, LedgerUnavailable, Record, Settlement
from .ledger.keys import Keys
from .logs import log
from .payload import ContactType, Delivery, DeliveryKey
from .places import Places
from .removal import LOCK, Removal
from .resolution import Resolution

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

_COUNTING = (outcomes.CODE_INCORRECT, outcomes.OUTCOME_UNRESOLVED)


Remembered = Literal["yes", "no", "by another"]


class Owner(NamedTuple):
    """Whoever works on a delivery: its claim, the token that proves it, when it was asked for, and its call's turn."""

    token: str
    claim: Claim
    asked: Stopwatch
    turn: Turn


class Verification:
    """Verifies deliveries. ``describe``: the account's list is asked about unknown outcomes. ``release``: verified
    contacts are taken off it. ``reveal``: it may be told that a contact was verified before.
    """

    def __init__(
        self,
        ledger: Ledger,
        caller: Caller,
        clock: Clock,
        *,
        places: Places,
        describe: bool,
        release: bool,
        reveal: bool,
    ) -> None:
        self._ledger = ledger
        self._caller = caller
        self._clock = clock
        self._resolution = Resolution(caller, ledger, clock, describe=describe, reveal=reveal)
        self._removal = Removal(caller, ledger)
        self._release = release
        self._counting = _COUNTING if reveal else (*_COUNTING, outcomes.ALREADY_VERIFIED)
        self._places = places

    def verify(self, delivery: Delivery, deadline: Deadline) -> Verdict:
        """Verify the delivery's code for its contact, once, over by the deadline."""
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
            return _unavailable(error)
        return _with_stand_in(verdict, keys.delivery)

    def look(self, keys: list[DeliveryKey], deadline: Deadline) -> tuple[Verdict, ContactType | None] | None:
        """What became of the delivery under one of these keys, and its contact's type; None when nothing is known."""
        try:
            for key in keys:
                name = self._ledger.hasher().delivery(key)
                found = self._ledger.look(name, deadline=deadline)
                if found is None:
                    continue
                if found.record is not None:
                    return _with_stand_in(_remembered(found.record), name), ContactType(found.record.contact_type)
                outcome = outcomes.OUTCOME_UNKNOWN if found.state == "unknown" else outcomes.IN_PROGRESS
                return Verdict(outcome), None
        except LedgerUnavailable as error:
            return _unavailable(error), None
        return None

    def _claim(self, delivery: Delivery, keys: Keys, deadline: Deadline) -> Verdict | None:
        """The verdict, or None when the delivery, or its contact, is being worked on. It takes a place."""
        token, asked = secrets.token_hex(16), Stopwatch(self._clock)
        lease = deadline.remaining() + LEASE_MARGIN
        claim = self._ledger.claim(keys, token, lease=lease, max_wait=room(deadline), deadline=deadline)
        match claim.kind:
            case "owned":
                turn = Turn.told(claim.wait, asked, self._clock)
                return self._work(delivery, keys, Owner(token, claim, asked, turn), deadline)
            case "reused":
                return Verdict(outcomes.IDEMPOTENCY_KEY_REUSED)
            case "no-slot":
                return Verdict(outcomes.UPSTREAM_THROTTLED, retry_after=claim.wait)
        return _remembered(claim.record, replayed=claim.kind == "replay") if claim.record else None

    def _seated(self, delivery: Delivery, keys: Keys, deadline: Deadline, verdict: Verdict | None) -> Verdict | None:
        """Wait for a place, or for whoever works on it; only who has a seat or a place may hold up a thread."""
        if verdict is not None:
            verdict = self._once(delivery, keys, deadline)
        if verdict is not None and verdict.outcome is outcomes.OVERLOADED:
            verdict = self._soon(delivery, keys, deadline)
        return verdict or self._later(delivery, keys, deadline)

    def _once(self, delivery: Delivery, keys: Keys, deadline: Deadline) -> Verdict | None:
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
        return _remembered(found.record, replayed=True) if found.record else None

    def _soon(self, delivery: Delivery, keys: Keys, deadline: Deadline) -> Verdict | None:
        """Wait a moment for a place."""
        patience = deadline.within(PATIENCE)
        verdict: Verdict | None = Verdict(outcomes.OVERLOADED)
        while verdict is not None and verdict.outcome is outcomes.OVERLOADED:
            if not self._places.wait(patience.remaining()):
                break
            verdict = self._once(delivery, keys, deadline)
        return verdict

    def _later(self, delivery: Delivery, keys: Keys, deadline: Deadline) -> Verdict:
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

    def _work(self, delivery: Delivery, keys: Keys, owner: Owner, deadline: Deadline) -> Verdict:
        """What only the owner of a claim may do."""
        calling = deadline.earlier(min(ANSWER_TIME, deadline.remaining() / 20))
        made = self._made(delivery, keys, owner, calling)
        verdict = made.verdict
        remove = self._release and verdict.outcome is outcomes.VERIFIED
        remembered = self._remember(keys, owner, made, deadline, lock=LOCK if remove else 0.0)
        if remembered == "by another":
            return self._of_another(keys, verdict, deadline)
        if remove and remembered == "yes":
            self._removal.after(delivery.contact, keys, owner.token, deadline)
        return verdict

    def _made(self, delivery: Delivery, keys: Keys, owner: Owner, deadline: Deadline) -> Made:
        """Call the API, as often as this claim needs."""
        claim, turn = owner.claim, owner.turn
        try:
            if claim.removal:
                hindrance = self._removal.before(delivery.contact, keys, owner.token, deadline)
                if hindrance is not None:
                    return Made(hindrance)
            if claim.unknown:
                return self._resolution.resolve(delivery, keys, owner.token, claim, deadline)
            if claim.removal:  # its own turn has gone by
                other = self._caller.turn(CREATE, deadline)
                if not isinstance(other, Turn):
                    return Made(Verdict(outcomes.UPSTREAM_THROTTLED, retry_after=other))
                turn = other
        except LedgerUnavailable as error:  # nothing was called whose outcome is not remembered
            return Made(_unavailable(error))
        return self._caller.create(delivery, turn, deadline)

    def _remember(self, keys: Keys, owner: Owner, made: Made, deadline: Deadline, *, lock: float) -> Remembered:
        """Write down how it ended, unless the delivery is another owner's by now.

        A ledger that fails now is tried again until the deadline. Then the answer is what the API said, and what is
        remembered is the claim, which becomes an unknown outcome.
        """
        verdict = made.verdict
        definitive = verdict.outcome.stored == "definitive"

        def remember() -> Remembered:
            if not definitive and made.began is None:
                self._ledger.release(keys, owner.token, deadline=within)
                return "yes"
            record = Record(verdict.outcome.code, verdict.request_id, verdict.resolved, keys.contact_type)
            settlement = Settlement(
                record=record if definitive else None,
                sent=made.began,
                gave_up=made.ended,
                asked=owner.asked,
                counts=verdict.outcome in self._counting,
                removal=lock,
            )
            return "yes" if self._ledger.settle(keys, owner.token, settlement, deadline=within) else "by another"

        pause = _FIRST_LOOK
        within = deadline if deadline.remaining() > SETTLE_TIME else Deadline(self._clock, SETTLE_TIME)
        while True:
            try:
                return remember()
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
                return _remembered(found.record, replayed=True)
        return verdict._replace(outcome=outcomes.OUTCOME_UNKNOWN, retry_after=None)


def _remembered(record: Record, *, replayed: bool = False) -> Verdict:
    return Verdict(outcomes.BY_CODE[record.outcome], record.request_id, resolved=record.resolved, replayed=replayed)


def _unavailable(error: LedgerUnavailable) -> Verdict:
    log.error("the ledger is unavailable", extra={"fields": {"reason": str(error)}})
    return Verdict(outcomes.LEDGER_UNAVAILABLE, error=str(error))


def _with_stand_in(verdict: Verdict, delivery: bytes) -> Verdict:
    """The same each time for one delivery; from its name in the ledger, of which it tells nothing."""
    if verdict.outcome is not outcomes.ALREADY_VERIFIED:
        return verdict
    made_up = hashlib.sha256(b"stand-in " + delivery).digest()[:16]
    return verdict._replace(stand_in=str(uuid.UUID(bytes=made_up, version=4)))
