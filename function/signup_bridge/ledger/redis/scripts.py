"""Build the scripts that run in Redis. They contain the policy, so that steps do not pass constant arguments.

Redis runs a script from its first line each time, and creating its functions costs as much as the commands of a step.
Therefore, the two steps of a typical delivery have separate scripts that start with the typical case, which needs no
functions.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from signup_bridge.core import outcomes, rate_limit
from signup_bridge.ledger import COMPETING_MARGIN, CONTENT_REPLAY, LEASE_LIMIT, MAX_COMPETING_CALLS, Policy

SERVER_TIME = "redis.call('TIME')"
"""The Lua expression of the time: seconds and microseconds."""

_FILES = {
    "claim": ("layout", "fast_claim", "records", "contacts", "rate", "claim"),
    "settle": ("layout", "fast_settle", "records", "contacts", "settle"),
    "convert": ("layout", "records", "contacts", "rate", "convert"),
    "": ("layout", "records", "contacts", "rate", "other"),
}
"""The files of each step's script. The empty name stands for all other steps."""


class Script(NamedTuple):
    """A script and its name in Redis."""

    text: str
    sha: str


def build(policy: Policy, time: str = SERVER_TIME) -> dict[str, Script]:
    """Return the scripts by step; the script of all other steps has an empty name."""
    constants = {
        "ttl": policy.ttl,
        "wrong_codes": policy.wrong_codes,
        "window": policy.wrong_code_window,
        "interval": policy.interval,
        "retention": policy.retention,
        "lease_limit": LEASE_LIMIT,
        "content_replay": CONTENT_REPLAY,
        "backoff_factor": rate_limit.BACKOFF_FACTOR,
        "min_rate_factor": rate_limit.MIN_RATE_FACTOR,
        "recovery": rate_limit.RECOVERY_PER_SECOND,
        "max_competing": MAX_COMPETING_CALLS,
        "competing_margin": COMPETING_MARGIN,
        "conceal": policy.conceal,
        "verified": outcomes.VERIFIED.code,
        "already_verified": outcomes.ALREADY_VERIFIED.code,
        "attempts_exhausted": outcomes.ATTEMPTS_EXHAUSTED.code,
    }
    head = f"local {', '.join(constants)} = {', '.join(map(json.dumps, constants.values()))}\nlocal time = {time}\n"
    folder = Path(__file__).parent
    scripts = {}
    for step, names in _FILES.items():
        text = head + "".join((folder / f"{name}.lua").read_text() for name in names)
        scripts[step] = Script(text, hashlib.sha1(text.encode()).hexdigest())  # noqa: S324  Redis requires it
    return scripts
