"""The request in a webhook, the key that identifies it, and its result."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from signup_bridge.core import Value
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.outcomes import Result

KeySource = Literal["signed", "direct", "ckafka", "event-bus", "idempotency-key", "cloudevents", "content"]


class IdempotencyKey(Value):
    """Identifies a delivery by a ``value`` that is unique within its ``source``.

    The value is the sender's id, or the whole body if there is no trusted id.
    """

    hidden = ("value",)

    def __init__(self, source: KeySource, value: str | bytes) -> None:
        self.source: Final = source
        self.value: Final = value

    @property
    def is_body_hash(self) -> bool:
        return self.source == "content"

    @property
    def sender_id(self) -> str | None:
        """The id that the sender gave the delivery; None for an event, whose id is unique only within its source."""
        return str(self.value) if self.source in ("signed", "direct", "idempotency-key") else None


class Delivery(Value):
    """A webhook that requests the verification of a contact."""

    hidden = ("verify_code",)

    def __init__(self, contact: Contact, verify_code: str, key: IdempotencyKey) -> None:
        self.contact: Final = contact
        self.verify_code: Final = verify_code
        self.key: Final = key


class CodeRequest(Value):
    """A webhook that requests a verification code."""

    def __init__(self, contact: Contact, key: IdempotencyKey) -> None:
        self.contact: Final = contact
        self.key: Final = key


class DeliveryResult(NamedTuple):
    """The result of one request, and the ``public_result`` that the sender may see.

    ``action`` is the API's, ``id`` the sender's id of the delivery. ``contact`` is None for a lookup, because the
    ledger does not store contacts; ``contact_type`` is None if the ledger does not store it either.
    """

    result: Result
    public_result: Result
    action: str
    contact_type: ContactType | None
    contact: Contact | None
    id: str | None = None
