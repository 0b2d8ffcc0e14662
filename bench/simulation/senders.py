"""Who sends, and when again: the same rules for the simulated senders and for those of the real run."""

from __future__ import annotations

import math
from typing import NamedTuple

from tests.support.builders import Answer
from tests.support.sender_policies import POLICIES, Policy, of_svix

PAUSE = 0.5
"""Seconds after which one that obeys `Retry-After` sends again when it was not told when."""


class Sender(NamedTuple):
    """One that sends again by its ``policy``'s schedule, whatever `Retry-After` says; without one it obeys that.

    ``patience`` is the seconds after which nobody waits for an answer any more, all tries together.
    """

    name: str
    policy: Policy | None = None
    profile: str = "status"
    budget: float = 8.0
    patience: float = math.inf

    def again(self, answer: Answer, attempt: int) -> float | None:
        """The seconds until it sends again after an answer to its nth try, from 0 on; None: it is over."""
        if self.policy is None:
            return float(answer.headers.get("retry-after", PAUSE)) if of_svix(answer) == "again" else None
        if self.policy.judge(answer) != "again" or attempt >= len(self.policy.waits):
            return None
        return self.policy.waits[attempt]


OBEYING = Sender("obeys `Retry-After`")
"""What docs/senders.md asks of an own system, and the Standard Webhooks specification of all."""

_OF = {policy.name.partition(",")[0]: policy for policy in POLICIES}
BY_SCHEDULE = (
    Sender("Standard Webhooks", _OF["Standard Webhooks"]),
    Sender("Svix, Clerk", _OF["Svix"]),
    Sender("Supabase", _OF["Supabase"], profile="supabase", budget=4.0, patience=5.0),  # docs/senders.md
    Sender("Auth0", _OF["Auth0"], profile="ack"),
    Sender("GitHub", _OF["GitHub"]),
    Sender("Zapier", _OF["Zapier"]),
    Sender("Brevo", _OF["Brevo"]),
)
