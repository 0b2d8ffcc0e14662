"""The whole way of a code that is to be sent, and the only module that knows it.

In comes a `SendRequest` and its deadline, out comes a `Verdict`: let the guards look, claim it, call the API in its
slot, remember what the reply means. What may have been sent is never sent again inside the bridge: a second message is
worse than a late one.
"""

from __future__ import annotations

from signup_bridge.core import outcomes
from signup_bridge.core.actions import SEND
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.outcomes import Outcome
from signup_bridge.inbound.body import SendRequest
from signup_bridge.ledger import CONTENT_REPLAY, GUARD_WINDOW, Claim, Ledger, Settlement
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import Caller, Made
from signup_bridge.upstream.reply import Verdict

from .admission import Places
from .idempotency import Once, Owner
from .send_limits import NOT_ALLOWED, Limits

_MEANS = {
    outcomes.OUTCOME_UNKNOWN: outcomes.SEND_UNKNOWN,
    outcomes.UPSTREAM_FAILED: outcomes.SEND_UNUSABLE,
}
"""What a reply means where it is about a message."""


class Sending(Once[SendRequest]):
    """Has codes sent. ``reveal``: it may be told that a contact was verified before."""

    _action = SEND

    def __init__(
        self, ledger: Ledger, caller: Caller, clock: Clock, *, places: Places, limits: Limits, reveal: bool
    ) -> None:
        super().__init__(ledger, caller, clock, places)
        self._limits = limits
        self._reveal = reveal

    def send(self, request: SendRequest, deadline: Deadline) -> Verdict:
        """Have a code sent to the contact, once, over by the deadline."""
        if not self._limits.allow(request.contact):
            return Verdict(outcomes.SEND_LIMITED, retry_after=GUARD_WINDOW, guard=NOT_ALLOWED)
        return self._process(request, deadline)

    def _claim_of(
        self, delivery: SendRequest, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline
    ) -> Claim:
        guards = self._limits.guards(delivery.contact, self._ledger.hasher())
        return self._ledger.claim_send(keys, token, guards=guards, lease=lease, max_wait=max_wait, deadline=deadline)

    def _made(self, delivery: SendRequest, owner: Owner, deadline: Deadline) -> Made:
        made = self._caller.send(delivery.contact, owner.turn, deadline)
        return made._replace(verdict=made.verdict._replace(outcome=self._outcome(made.verdict)))

    def _outcome(self, verdict: Verdict) -> Outcome:
        if verdict.outcome is outcomes.ALREADY_VERIFIED and not self._reveal:
            return outcomes.SENT
        if verdict.outcome is outcomes.UPSTREAM_THROTTLED and verdict.api_code:
            return outcomes.SEND_LIMITED  # the API has refused it: here the quota is that of who asks
        return _MEANS.get(verdict.outcome, verdict.outcome)

    def _settlement(self, owner: Owner, made: Made) -> Settlement:
        # A body without an id that comes again after the interval asks for another message.
        return super()._settlement(owner, made)._replace(content_replay=self._limits.interval or CONTENT_REPLAY)
