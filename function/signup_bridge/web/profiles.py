"""The response formats for each kind of sender.

Sources: the senders' documentation of responses; for Supabase, the documentation of its hooks on retries and errors.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

ResponseFormat = Literal["problem", "acknowledged", "hook"]
"""``problem``: the outcome's own status and a problem document (RFC 9457). ``acknowledged``: 200 and a body with
``"verified": false``. ``hook``: Supabase's format, 200 with a final error, or 503 for an immediate retry."""


class Profile(NamedTuple):
    """One value of ``SENDER_PROFILE``.

    ``permanent`` and ``retryable`` are the formats of these kinds of outcomes (`outcomes.Outcome.kind`); all others are
    the same in every profile. ``budget`` is the default of ``REQUEST_BUDGET``, and ``longest_budget`` its maximum, in
    seconds. ``content_key``: each retry has a new id, so that the content identifies a delivery.
    """

    name: str
    permanent: ResponseFormat = "problem"
    retryable: ResponseFormat = "problem"
    budget: float = 8
    longest_budget: float = math.inf
    content_key: bool = False


STATUS = Profile("status")
ACK = Profile("ack", permanent="acknowledged")
# Supabase gives up 5 s after the start of its first attempt. The settlement may exceed the budget by half a second.
SUPABASE = Profile("supabase", permanent="hook", retryable="hook", budget=4, longest_budget=4, content_key=True)

PROFILES = {profile.name: profile for profile in (STATUS, ACK, SUPABASE)}
