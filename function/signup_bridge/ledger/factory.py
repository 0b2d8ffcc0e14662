"""Open the ledger at a URL, and import only the engine that the URL selects."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from signup_bridge.core.clock import Clock

from . import Ledger, Policy
from . import url as ledger_url


def open_ledger(url: str, policy: Policy, clock: Clock, *, key: str | None, make_folder: bool = False) -> Ledger:
    """Return the ledger at ``url``, even if it is not reachable yet. ``make_folder``: create a SQLite file's folder."""
    encoded = key.encode("utf-8", "surrogatepass") if key else b""
    location = ledger_url.parse(url)
    if isinstance(location, Path):
        from .sqlite.ledger import SqliteLedger  # noqa: PLC0415  the other engine would lengthen cold starts

        if make_folder:
            with suppress(OSError):
                location.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return SqliteLedger(location, policy, clock, key=encoded)
    from .redis.ledger import RedisLedger  # noqa: PLC0415  as above

    return RedisLedger(url, policy, clock, key=encoded)
