"""Send verification codes, each once, within the send limits.

A call that may have sent a message is never repeated inside the bridge: a second message is worse than a late one.
"""

from __future__ import annotations

from signup_bridge.core import outcomes
from signup_bridge.core.actions import SEND
from signup_bridge.core.clock import Deadline
from signup_bridge.core.delivery import CodeRequest
from signup_bridge.core.outcomes import Outcome, Result
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
"""The outcomes with a text of their own for messages."""


class CodeSender:
    """Sends codes. ``reveal``: senders may learn that a contact was verified before."""

    def __init__(
        self,
        processor: IdempotentProcessor,
        ledger: Ledger,
        api: RateLimitedApi,
        *,
        limits: SendLimits,
        reveal: bool,
    ) -> None:
        self._processor = processor
        self._ledger = ledger
        self._api = api
        self._limits = limits
        self._reveal = reveal

    def send(self, request: CodeRequest, deadline: Deadline, credentials: Credentials | None = None) -> Result:
        """Send a code to the contact, once, by the deadline. ``credentials`` are the request's own, if it has any."""
        if not self._limits.allow(request.contact):
            return Result(outcomes.SEND_LIMITED, retry_after=SEND_LIMIT_WINDOW, limit=PREFIX_NOT_ALLOWED)
        api = self._api.with_credentials(credentials) if credentials else self._api
        work = _SendWork(request, self._ledger, api, self._limits, reveal=self._reveal)
        result = self._processor.process(work, deadline)
        if result.outcome is outcomes.ALREADY_VERIFIED and not self._reveal:  # stored while it was revealed
            return result._replace(outcome=outcomes.SENT)
        return result


class _SendWork:
    """The work for one code, as `idempotency.Work` describes it."""

    action = SEND

    def __init__(
        self, delivery: CodeRequest, ledger: Ledger, api: RateLimitedApi, limits: SendLimits, *, reveal: bool
    ) -> None:
        self.delivery = delivery
        self._ledger = ledger
        self._api = api
        self._limits = limits
        self._reveal = reveal

    def acquire_claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        limits = self._limits.limits_for(self.delivery.contact, self._ledger.hasher())
        return self._ledger.claim_send(keys, token, limits=limits, lease=lease, max_wait=max_wait, deadline=deadline)

    def execute(self, claimed: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        attempt = self._api.send(self.delivery.contact, claimed.slot, deadline)
        return attempt._replace(result=attempt.result._replace(outcome=self._outcome(attempt.result)))

    def _outcome(self, result: Result) -> Outcome:
        if result.outcome is outcomes.ALREADY_VERIFIED and not self._reveal:
            return outcomes.SENT
        if result.outcome is outcomes.UPSTREAM_THROTTLED and result.api_code:
            return outcomes.SEND_LIMITED  # the API rejected it: the quota of messages belongs to the person who asks
        return _SEND_OUTCOMES.get(result.outcome, result.outcome)

    def build_settlement(self, claimed: ClaimedDelivery, attempt: CallAttempt) -> Settlement:
        # A body without an id that arrives again after the interval requests another message.
        return settlement(claimed, attempt)._replace(content_replay=self._limits.interval or CONTENT_REPLAY)

    def on_settled(self, claimed: ClaimedDelivery, attempt: CallAttempt, deadline: Deadline) -> None:
        """Nothing follows a message."""
