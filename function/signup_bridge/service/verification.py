"""Verify the codes of contacts, once for each delivery."""

from __future__ import annotations

import hashlib
import uuid
from typing import NamedTuple

from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery, DeliveryResult, IdempotencyKey
from signup_bridge.core.outcomes import Result
from signup_bridge.ledger import Claim, Ledger, LedgerUnavailable, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi
from signup_bridge.upstream.credentials import Credentials

from . import idempotency
from .contact_release import LOCK_TIMEOUT, ContactRelease
from .idempotency import ClaimedDelivery, IdempotentProcessor
from .reconciliation import Reconciler

COUNTED_OUTCOMES = (outcomes.CODE_INCORRECT, outcomes.OUTCOME_UNRESOLVED)
"""The outcomes that count as a wrong code."""


class Verification(NamedTuple):
    """Verifies deliveries.

    ``describe``: read the account's contact list to reconcile unknown outcomes. ``release``: remove verified contacts
    from it. ``reveal``: senders may learn that a contact was verified before.
    """

    processor: IdempotentProcessor
    ledger: Ledger
    api: RateLimitedApi
    clock: Clock
    describe: bool
    release: bool
    reveal: bool

    def verify(self, delivery: Delivery, deadline: Deadline, credentials: Credentials | None = None) -> DeliveryResult:
        """Verify the delivery's code, once, by the deadline. ``credentials`` are those of the request, if any."""
        bound = self._replace(api=self.api.with_credentials(credentials)) if credentials else self
        result = self.processor.process(_VerificationWork(delivery, bound), deadline)
        return self._conceal(result, delivery.key, delivery.contact.type, delivery.contact)

    def lookup(self, keys: list[IdempotencyKey], deadline: Deadline) -> DeliveryResult | None:
        """Return the stored result of the delivery with one of these keys, or None if there is none."""
        try:
            for key in keys:
                stored = self.ledger.get(self.ledger.hasher().delivery(key), deadline=deadline)
                if stored is None:
                    continue
                if record := stored.record:
                    result = idempotency.result_from_record(record)
                    return self._conceal(result, key, ContactType(record.contact_type))
                outcome = outcomes.OUTCOME_UNKNOWN if stored.state == "unknown" else outcomes.IN_PROGRESS
                return self._conceal(Result(outcome), key)
        except LedgerUnavailable as error:
            return self._conceal(idempotency.ledger_unavailable_result(error), keys[0])
        return None

    def _conceal(
        self,
        result: Result,
        key: IdempotencyKey,
        contact_type: ContactType | None = None,
        contact: Contact | None = None,
    ) -> DeliveryResult:
        """Return the result and the one that the sender may see. A delivery always has the same placeholder."""

        def placeholder_id() -> str:
            digest = hashlib.sha256(b"stand-in " + self.ledger.hasher().delivery(key)).digest()[:16]
            return str(uuid.UUID(bytes=digest, version=4))

        public_result = result if self.reveal else outcomes.conceal_in_result(result, placeholder_id)
        return DeliveryResult(result, public_result, CREATE, contact_type, contact, key.sender_id)


class _VerificationWork(NamedTuple):
    """The work for one delivery, as `idempotency.Work` describes it."""

    delivery: Delivery
    verification: Verification
    action: str = CREATE

    def acquire_claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        return self.verification.ledger.claim(keys, token, lease=lease, max_wait=max_wait, deadline=deadline)

    def execute(self, claimed: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        api, ledger, clock = self.verification.api, self.verification.ledger, self.verification.clock
        keys, token, claim, slot = claimed.keys, claimed.token, claimed.claim, claimed.slot
        try:
            if claim.release_pending:
                failure = ContactRelease(api, ledger).retry_pending(self.delivery.contact, keys, token, deadline)
                if failure is not None:
                    return CallAttempt(failure)
            if claim.unknown_outcome is not None:
                reconciler = Reconciler(api, ledger, clock, self.verification.describe, self.verification.reveal)
                return reconciler.reconcile(self.delivery, keys, token, claim.unknown_outcome, deadline)
            if claim.release_pending:  # the claim's slot has passed
                reserved = api.reserve_slot(CREATE, deadline)
                if isinstance(reserved, Result):
                    return CallAttempt(reserved)
                slot = reserved
        except LedgerUnavailable as error:  # the outcome of every call so far is stored
            return CallAttempt(idempotency.ledger_unavailable_result(error))
        return api.create(self.delivery, slot, deadline)

    def build_settlement(self, claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
        outcome = attempt.result.outcome
        is_concealed = outcome is outcomes.ALREADY_VERIFIED and not self.verification.reveal
        return idempotency.settlement(claimed, attempt)._replace(
            counts_as_wrong=outcome in COUNTED_OUTCOMES or is_concealed,
            release_lock=LOCK_TIMEOUT if self._should_release(attempt) else 0.0,
        )

    def on_settled(self, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline) -> None:
        if self._should_release(attempt):
            contact_release = ContactRelease(self.verification.api, self.verification.ledger)
            contact_release.release(self.delivery.contact, claimed.keys, claimed.token, deadline)

    def _should_release(self, attempt: CallAttempt) -> bool:
        return self.verification.release and attempt.result.outcome is outcomes.VERIFIED
