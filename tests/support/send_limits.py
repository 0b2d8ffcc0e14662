"""Claim requests for codes in a ledger, with send limits."""

from __future__ import annotations

import secrets

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, IdempotencyKey
from signup_bridge.ledger import (
    Acquired,
    Claim,
    Record,
    SendLimit,
    SendLimited,
)
from signup_bridge.ledger.keys import Hasher, Keys
from signup_bridge.service.send_limits import SendLimits

from tests.support.bridge.signed_requests import PHONE
from tests.support.ledgers import KEY, Engine

SENT = Record("sent", "r-1", contact_type=1)
LIMITS = SendLimits(interval=60, per_contact=5, per_prefix=100, per_hour=0, allowed=())


def contact(value: str = PHONE) -> Contact:
    return Contact(ContactType.EMAIL if "@" in value else ContactType.PHONE, value)


def request(name: str, to: str = PHONE) -> Keys:
    return Hasher(KEY).keys(CodeRequest(contact(to), IdempotencyKey("signed", name)))


def limits_for(to: str = PHONE, limits: SendLimits = LIMITS) -> list[SendLimit]:
    return limits.limits_for(contact(to), Hasher(KEY))


def claim(
    engine: Engine,
    name: str,
    to: str = PHONE,
    *,
    limits: SendLimits = LIMITS,
    token: str | None = None,
    wait: float = 6.0,
) -> Claim:
    return engine.ledger.claim_send(
        request(name, to),
        token or secrets.token_hex(8),
        limits=limits_for(to, limits),
        lease=10,
        max_wait=wait,
        deadline=engine.deadline,
    )


def send(engine: Engine, name: str, to: str = PHONE, *, limits: SendLimits = LIMITS) -> None:
    token = secrets.token_hex(8)
    assert isinstance(claim(engine, name, to, limits=limits, token=token), Acquired)
    assert engine.settle(token, SENT, request(name, to))


def refusal(engine: Engine, name: str, to: str = PHONE, *, limits: SendLimits = LIMITS) -> tuple[str, float]:
    """Return the limit that rejects a message, and the seconds to wait, rounded to tens."""
    limited = claim(engine, name, to, limits=limits)
    assert isinstance(limited, SendLimited)
    return limited.limit, round(limited.wait, -1)
