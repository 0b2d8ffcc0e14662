"""Open the ledger that the settings name. Only the engine that is used is imported."""

from __future__ import annotations

from contextlib import suppress

from signup_bridge.core.clock import Clock
from signup_bridge.core.rate_limit import interval
from signup_bridge.settings import Settings

from . import Ledger, Policy


def open_ledger(configured: Settings, clock: Clock) -> Ledger:
    """The ledger that ``LEDGER_URL`` names; it need not be reachable yet. Its client is imported only when wanted."""
    policy = Policy(
        ttl=configured.ledger_ttl,
        wrong_codes=configured.max_wrong_codes,
        wrong_code_window=configured.wrong_code_window,
        interval=interval(configured.domain_api_rate),
        conceal=not configured.reveal_already_verified,
    )
    key = configured.ledger_key.encode("utf-8", "surrogatepass") if configured.ledger_key else b""
    if configured.ledger_file is not None:
        from .sqlite.ledger import SqliteLedger  # noqa: PLC0415  one engine is wanted, and imports are cold start

        if configured.ledger_is_default:  # nobody else makes this one
            with suppress(OSError):
                configured.ledger_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteLedger(configured.ledger_file, policy, clock, key=key)
    from .redis.ledger import RedisLedger  # noqa: PLC0415  as above

    return RedisLedger(configured.ledger_url, policy, clock, key=key)
