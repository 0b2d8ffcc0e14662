"""The whole way of a code that is to be sent, and the only module that knows it.

In comes a `SendRequest` and its deadline, out comes a `Verdict`: let the guards look, claim it, call the API in its
slot, remember what the reply means. What may have been sent is never sent again inside the bridge: a second message is
worse than a late one.
"""

from __future__ import annotations

from signup_bridge.core import outcomes
from signup_bridge.core.actions import SEND
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.delivery import CodeRequest
from signup_bridge.core.outcomes import Outcome, Result
from signup_bridge.ledger import CONTENT_REPLAY, SEND_LIMIT_WINDOW, Claim, Ledger, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi

from .admission import ConcurrencyLimiter
from .idempotency import ClaimedDelivery, IdempotentProcessor
from .send_limits import PREFIX_NOT_ALLOWED, SendLimits

_SEND_OUTCOMES = {
    outcomes.OUTCOME_UNKNOWN: outcomes.SEND_UNKNOWN,
    outcomes.UPSTREAM_FAILED: outcomes.SEND_REPLY_UNUSABLE,
}
"""What a reply means where it is about a message."""


class CodeSender(IdempotentProcessor[CodeRequest]):
    """Has codes sent. ``reveal``: it may be told that a contact was verified before."""

    _action = SEND

    def __init__(
        self,
        ledger: Ledger,
        caller: RateLimitedApi,
        clock: Clock,
        *,
        places: ConcurrencyLimiter,
        limits: SendLimits,
        reveal: bool,
    ) -> None:
        super().__init__(ledger, caller, clock, places)
        self._limits = limits
        self._reveal = reveal

    def send(self, request: CodeRequest, deadline: Deadline) -> Result:
        """Have a code sent to the contact, once, over by the deadline."""
        if not self._limits.allow(request.contact):
            return Result(outcomes.SEND_LIMITED, retry_after=SEND_LIMIT_WINDOW, limit=PREFIX_NOT_ALLOWED)
        return self.process(request, deadline)

    def acquire_claim(
        self, delivery: CodeRequest, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline
    ) -> Claim:
        guards = self._limits.limits_for(delivery.contact, self._ledger.hasher())
        return self._ledger.claim_send(keys, token, guards=guards, lease=lease, max_wait=max_wait, deadline=deadline)

    def execute(self, delivery: CodeRequest, owner: ClaimedDelivery, deadline: Deadline) -> CallAttempt:
        made = self._caller.send(delivery.contact, owner.turn, deadline)
        return made._replace(result=made.result._replace(outcome=self._outcome(made.result)))

    def _outcome(self, verdict: Result) -> Outcome:
        if verdict.outcome is outcomes.ALREADY_VERIFIED and not self._reveal:
            return outcomes.SENT
        if verdict.outcome is outcomes.UPSTREAM_THROTTLED and verdict.api_code:
            return outcomes.SEND_LIMITED  # the API has refused it: here the quota is that of who asks
        return _SEND_OUTCOMES.get(verdict.outcome, verdict.outcome)

    def build_settlement(self, owner: ClaimedDelivery, made: CallAttempt) -> Settlement:
        # A body without an id that comes again after the interval asks for another message.
        return super().build_settlement(owner, made)._replace(content_replay=self._limits.interval or CONTENT_REPLAY)
