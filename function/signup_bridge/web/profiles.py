"""What each kind of sender must hear, so that it does the right thing: plain data, beside the outcome table.

Sources: how each sender is documented to read an answer; for Supabase its hooks' documentation on retries and errors.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

ResponseFormat = Literal["problem", "acknowledged", "hook"]
"""``problem``: the outcome's own status and a problem document (RFC 9457). ``acknowledged``: 200, and a body that says
that nothing was verified. ``hook``: Supabase's, 200 with an error that is final, or 503 to be asked again at once."""


class Profile(NamedTuple):
    """One value of ``SENDER_PROFILE``.

    ``refused`` and ``retryable`` are the forms of such outcomes (`outcomes.Outcome.kind`); all others are the same in
    every profile. ``budget`` is ``REQUEST_BUDGET``'s default and ``longest_budget`` what it may be, in seconds.
    ``content_key``: each retry has an id of its own, so that a delivery is known by its content.
    """

    name: str
    refused: ResponseFormat = "problem"
    retryable: ResponseFormat = "problem"
    budget: float = 8
    longest_budget: float = math.inf
    content_key: bool = False


STATUS = Profile("status")
ACK = Profile("ack", refused="acknowledged")
# It gives up 5 s after the first of its tries began. What is remembered may take half a second beyond the budget.
SUPABASE = Profile("supabase", refused="hook", retryable="hook", budget=4, longest_budget=4, content_key=True)

PROFILES = {profile.name: profile for profile in (STATUS, ACK, SUPABASE)}
