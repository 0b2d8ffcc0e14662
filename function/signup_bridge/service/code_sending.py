"""Send verification codes, each once, within the send limits.

The bridge never repeats a call that may have sent a message, because a second message is worse than a late one.
"""

from __future__ import annotations

from typing import NamedTuple

from signup_bridge.core import outcomes
from signup_bridge.core.actions import SEND
from signup_bridge.core.clock import Deadline
from signup_bridge.core.delivery import CodeRequest, DeliveryResult
from signup_bridge.core.outcomes import Result
from signup_bridge.ledger import CONTENT_REPLAY, SEND_LIMIT_WINDOW, Claim, Ledger, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi
from signup_bridge.upstream.credentials import Credentials

from .idempotency import ClaimedDelivery, IdempotentProcessor, settlement
from .send_limits import PREFIX_NOT_ALLOWED, SendLimits

_SEND_OUTCOMES = {
    outcomes.OUTCOME_UNKNOWN: outcomes.SEND_UNKNOWN,
    outcomes.UPSTREAM_FAILED: outcomes.SEND_REPLY_UNUSABLE,
}
"""The outcomes with a separate text for messages."""


class CodeSender(NamedTuple):
    """Sends codes. ``reveal``: senders may learn that a contact was verified before."""

    processor: IdempotentProcessor
    ledger: Ledger
    api: RateLimitedApi
    limits: SendLimits
    reveal: bool

    def send(self, request: CodeRequest, deadline: Deadline, credentials: Credentials | None = None) -> DeliveryResult:
        """Send a code to the contact, once, by the deadline. ``credentials`` are those of the request, if any."""
        contact = request.contact
        if self.limits.allow(contact):
            bound = self._replace(api=self.api.with_credentials(credentials)) if credentials else self
            result = self.processor.process(_SendWork(request, bound), deadline)
        else:
            result = Result(outcomes.SEND_LIMITED, retry_after=SEND_LIMIT_WINDOW, limit=PREFIX_NOT_ALLOWED)
        if not self.reveal:  # the ledger may have stored the outcome before the setting was changed
            result = result._replace(outcome=outcomes.conceal_already_verified(result.outcome, SEND))
        return DeliveryResult(result, result, SEND, contact.type, contact, request.key.sender_id)


class _SendWork(NamedTuple):
    """The work for one code, as `idempotency.Work` describes it."""

    delivery: CodeRequest
    sender: CodeSender
    action: str = SEND

    def acquire_claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        ledger = self.sender.ledger
        limits = self.sender.limits.limits_for(self.delivery.contact, ledger.hasher())
        return ledger.claim_send(keys, token, limits=limits, lease=lease, max_wait=max_wait, deadline=deadline)

    def execute(self, claimed: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        attempt = self.sender.api.send(self.delivery.contact, claimed.slot, deadline)
        result = attempt.result
        outcome = _SEND_OUTCOMES.get(result.outcome, result.outcome)
        if not self.sender.reveal:
            outcome = outcomes.conceal_already_verified(outcome, SEND)
        if outcome is outcomes.UPSTREAM_THROTTLED and result.api_code:
            outcome = outcomes.SEND_LIMITED  # the API's limit of messages for this contact
        return attempt._replace(result=result._replace(outcome=outcome))

    def build_settlement(self, claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
        # After the interval, the same body without an id requests another message.
        return settlement(claimed, attempt)._replace(content_replay=self.sender.limits.interval or CONTENT_REPLAY)

    def on_settled(self, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline) -> None:
        """Do nothing."""
