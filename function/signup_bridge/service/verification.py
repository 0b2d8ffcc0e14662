"""The whole way of a verification, and the only module that knows it.

In comes a `Delivery` and its deadline, out comes a `Verdict`: claim it in the ledger, call the API in its slot,
remember what the reply means.
"""

from __future__ import annotations

import hashlib
import uuid

from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.inbound.body import ContactType, Delivery, DeliveryKey
from signup_bridge.ledger import Claim, Ledger, LedgerUnavailable, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import Caller, Made, Turn
from signup_bridge.upstream.reply import Verdict

from .admission import Places
from .contact_release import LOCK, Removal
from .idempotency import Once, Owner, remembered, unavailable
from .reconciliation import Resolution

_COUNTING = (outcomes.CODE_INCORRECT, outcomes.OUTCOME_UNRESOLVED)


class Verification(Once[Delivery]):
    """Verifies deliveries. ``describe``: the account's list is asked about unknown outcomes. ``release``: verified
    contacts are taken off it. ``reveal``: it may be told that a contact was verified before.
    """

    _action = CREATE

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
        super().__init__(ledger, caller, clock, places)
        self._reveal = reveal
        self._resolution = Resolution(caller, ledger, clock, describe=describe, reveal=reveal)
        self._removal = Removal(caller, ledger)
        self._release = release
        self._counting = _COUNTING if reveal else (*_COUNTING, outcomes.ALREADY_VERIFIED)

    def verify(self, delivery: Delivery, deadline: Deadline) -> Verdict:
        """Verify the delivery's code for its contact, once, over by the deadline."""
        return self._with_placeholder_id(self._process(delivery, deadline), delivery.key)

    def look(self, keys: list[DeliveryKey], deadline: Deadline) -> tuple[Verdict, ContactType | None] | None:
        """What became of the delivery under one of these keys, and its contact's type; None when nothing is known."""
        try:
            for key in keys:
                found = self._ledger.look(self._ledger.hasher().delivery(key), deadline=deadline)
                if found is None:
                    continue
                if found.record is not None:
                    verdict = self._with_placeholder_id(remembered(found.record), key)
                    return verdict, ContactType(found.record.contact_type)
                outcome = outcomes.OUTCOME_UNKNOWN if found.state == "unknown" else outcomes.IN_PROGRESS
                return Verdict(outcome), None
        except LedgerUnavailable as error:
            return unavailable(error), None
        return None

    def _claim_of(
        self,
        delivery: Delivery,  # noqa: ARG002  its keys say all
        keys: Keys,
        token: str,
        *,
        lease: float,
        max_wait: float,
        deadline: Deadline,
    ) -> Claim:
        return self._ledger.claim(keys, token, lease=lease, max_wait=max_wait, deadline=deadline)

    def _made(self, delivery: Delivery, owner: Owner, deadline: Deadline) -> Made:
        """Call the API, as often as this claim needs."""
        keys, claim, turn = owner.keys, owner.claim, owner.turn
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
                    return Made(Verdict(self._caller.no_slot(CREATE, deadline), retry_after=other))
                turn = other
        except LedgerUnavailable as error:  # nothing was called whose outcome is not remembered
            return Made(unavailable(error))
        return self._caller.create(delivery, turn, deadline)

    def _settlement(self, owner: Owner, made: Made) -> Settlement:
        settlement = super()._settlement(owner, made)
        counts, lock = made.verdict.outcome in self._counting, LOCK if self._removes(made) else 0.0
        return settlement._replace(counts=counts, removal=lock)

    def _after(self, delivery: Delivery, owner: Owner, made: Made, deadline: Deadline) -> None:
        if self._removes(made):
            self._removal.after(delivery.contact, owner.keys, owner.token, deadline)

    def _removes(self, made: Made) -> bool:
        return self._release and made.verdict.outcome is outcomes.VERIFIED

    def _with_placeholder_id(self, verdict: Verdict, key: DeliveryKey) -> Verdict:
        """Add the id that stands for the API's in a response that must not show that there was no call.

        It is the same each time for one delivery, and made from its keyed hash. Both outcomes that look alike get one:
        else the time of a response would tell which of them it was.
        """
        if self._reveal or verdict.outcome not in (outcomes.ALREADY_VERIFIED, outcomes.CODE_INCORRECT):
            return verdict
        digest = hashlib.sha256(b"stand-in " + self._ledger.hasher().delivery(key)).digest()[:16]
        return verdict._replace(stand_in=str(uuid.UUID(bytes=digest, version=4)))
