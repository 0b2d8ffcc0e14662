"""The request of one webhook, and the key that identifies it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from signup_bridge.core.contact import Contact


@dataclass(frozen=True)
class IdempotencyKey:
    """Identifies a delivery by a ``value`` that is unique within its ``source``.

    The value is the sender's id, or the whole body if there is no id that can be trusted.
    """

    source: Literal["signed", "direct", "ckafka", "event-bus", "idempotency-key", "cloudevents", "content"]
    value: str | bytes = field(repr=False)

    @property
    def is_body_hash(self) -> bool:
        return self.source == "content"


@dataclass(frozen=True)
class Delivery:
    """A webhook that requests the verification of a contact."""

    contact: Contact
    verify_code: str = field(repr=False)
    key: IdempotencyKey


@dataclass(frozen=True)
class CodeRequest:
    """A webhook that requests a verification code."""

    contact: Contact
    key: IdempotencyKey
