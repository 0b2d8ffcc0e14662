"""The whole way of a verification, and the only module that knows it.

In comes a `Delivery` and its deadline, out comes a `Verdict`: claim it in the ledger, call the API in its slot,
remember what the reply means.
"""

from __future__ import annotations

import hashlib
import uuid
from typing import NamedTuple

from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.contact import ContactType
from signup_bridge.core.delivery import Delivery, IdempotencyKey
from signup_bridge.core.outcomes import Result
from signup_bridge.ledger import Claim, Ledger, LedgerUnavailable, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi, SlotReservation

from .admission import ConcurrencyLimiter
from .contact_release import LOCK_TIMEOUT, ContactRelease
from .idempotency import ClaimedDelivery, IdempotentProcessor, ledger_unavailable_result, result_from_record
from .reconciliation import Reconciler

COUNTED_OUTCOMES = (outcomes.CODE_INCORRECT, outcomes.OUTCOME_UNRESOLVED)


class StoredResult(NamedTuple):
    """A delivery's result as the ledger has it. ``contact_type`` is None until the result is definitive."""

    result: Result
    contact_type: ContactType | None = None


class Verification(IdempotentProcessor[Delivery]):
    """Verifies deliveries. ``describe``: the account's list is asked about unknown outcomes. ``release``: verified
    contacts are taken off it. ``reveal``: it may be told that a contact was verified before.
    """

    _action = CREATE

    def __init__(
        self,
        ledger: Ledger,
        caller: RateLimitedApi,
        clock: Clock,
        *,
        places: ConcurrencyLimiter,
        describe: bool,
        release: bool,
        reveal: bool,
    ) -> None:
        super().__init__(ledger, caller, clock, places)
        self._reveal = reveal
        self._resolution = Reconciler(caller, ledger, clock, describe=describe, reveal=reveal)
        self._removal = ContactRelease(caller, ledger)
        self._release = release
        self._counting = COUNTED_OUTCOMES if reveal else (*COUNTED_OUTCOMES, outcomes.ALREADY_VERIFIED)

    def verify(self, delivery: Delivery, deadline: Deadline) -> Result:
        """Verify the delivery's code for its contact, once, over by the deadline."""
        return self._with_placeholder_id(self.process(delivery, deadline), delivery.key)

    def lookup(self, keys: list[IdempotencyKey], deadline: Deadline) -> StoredResult | None:
        """Return what the ledger stores about the delivery of one of these keys, None if it stores nothing."""
        try:
            for key in keys:
                found = self._ledger.get(self._ledger.hasher().delivery(key), deadline=deadline)
                if found is None:
                    continue
                if found.record is not None:
                    result = self._with_placeholder_id(result_from_record(found.record), key)
                    return StoredResult(result, ContactType(found.record.contact_type))
                outcome = outcomes.OUTCOME_UNKNOWN if found.state == "unknown" else outcomes.IN_PROGRESS
                return StoredResult(Result(outcome))
        except LedgerUnavailable as error:
            return StoredResult(ledger_unavailable_result(error))
        return None

    def acquire_claim(
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

    def execute(self, delivery: Delivery, owner: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        """Call the API, as often as this claim needs."""
        keys, claim, turn = owner.keys, owner.claim, owner.turn
        try:
            if claim.release_pending:
                hindrance = self._removal.retry_pending(delivery.contact, keys, owner.token, deadline)
                if hindrance is not None:
                    return CallAttempt(hindrance)
            if claim.unknown_outcome is not None:
                return self._resolution.reconcile(delivery, keys, owner.token, claim.unknown_outcome, deadline)
            if claim.release_pending:  # its own turn has gone by
                other = self._caller.reserve_slot(CREATE, deadline)
                if not isinstance(other, SlotReservation):
                    return CallAttempt(Result(self._caller.no_slot(CREATE, deadline), retry_after=other))
                turn = other
        except LedgerUnavailable as error:  # nothing was called whose outcome is not remembered
            return CallAttempt(ledger_unavailable_result(error))
        return self._caller.create(delivery, turn, deadline)

    def build_settlement(self, owner: ClaimedDelivery, made: CallAttempt) -> Settlement:
        settlement = super().build_settlement(owner, made)
        counts, lock = made.result.outcome in self._counting, LOCK_TIMEOUT if self._should_release(made) else 0.0
        return settlement._replace(counts_as_wrong=counts, release_lock=lock)

    def on_settled(self, delivery: Delivery, owner: ClaimedDelivery, made: CallAttempt, deadline: Deadline) -> None:
        if self._should_release(made):
            self._removal.release(delivery.contact, owner.keys, owner.token, deadline)

    def _should_release(self, made: CallAttempt) -> bool:
        return self._release and made.result.outcome is outcomes.VERIFIED

    def _with_placeholder_id(self, verdict: Result, key: IdempotencyKey) -> Result:
        """Add the id that stands for the API's in a response that must not show that there was no call.

        It is the same each time for one delivery, and made from its keyed hash. Both outcomes that look alike get one:
        else the time of a response would tell which of them it was.
        """
        if self._reveal or verdict.outcome not in (outcomes.ALREADY_VERIFIED, outcomes.CODE_INCORRECT):
            return verdict
        digest = hashlib.sha256(b"stand-in " + self._ledger.hasher().delivery(key)).digest()[:16]
        return verdict._replace(placeholder_request_id=str(uuid.UUID(bytes=digest, version=4)))
