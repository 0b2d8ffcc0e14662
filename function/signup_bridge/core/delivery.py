"""The request of one webhook, and the key that identifies it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from signup_bridge.core.contact import Contact


@dataclass(frozen=True)
class IdempotencyKey:
    """What tells a delivery from others: a ``value`` that is unique within its ``source``.

    A sender's id, or the whole body of a delivery that has none that can be trusted.
    """

    source: Literal["signed", "direct", "ckafka", "event-bus", "idempotency-key", "cloudevents", "content"]
    value: str | bytes = field(repr=False)

    @property
    def is_body_hash(self) -> bool:
        return self.source == "content"


@dataclass(frozen=True)
class Delivery:
    """One webhook that asks for one verification."""

    contact: Contact
    verify_code: str = field(repr=False)
    key: IdempotencyKey


@dataclass(frozen=True)
class CodeRequest:
    """One webhook that asks for a code to be sent."""

    contact: Contact
    key: IdempotencyKey
