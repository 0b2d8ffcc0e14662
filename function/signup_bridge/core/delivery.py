"""The request of one webhook, the key that identifies it, and its result."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.outcomes import Result


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


class DeliveryResult(NamedTuple):
    """The end of one request: its ``result``, and the ``public_result`` that the sender may see.

    ``action`` is the API's. ``contact`` is None if only the ledger was read, which does not store it; its type is None
    if that is unknown, too.
    """

    result: Result
    public_result: Result
    action: str
    contact_type: ContactType | None
    contact: Contact | None
