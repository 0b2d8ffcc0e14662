"""Derive the keys under which a ledger stores a delivery: keyed hashes, which reveal no contact and no code.

A million attempts are enough to reverse an unkeyed hash of a six-digit code.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, Delivery, IdempotencyKey
from signup_bridge.inbound import spelling

from . import LedgerUnavailable

DIGEST_SIZE = 16
"""Bytes of each hash."""


class Keys(NamedTuple):
    """A delivery's keys in the ledger, each of `DIGEST_SIZE` bytes.

    ``delivery`` hashes its id, or its body if it has none: then it is ``body_keyed``, and a definitive outcome is
    replayed for a short time only. ``content`` hashes contact and code, ``contact_exact`` the contact as received,
    ``contact`` the normalized contact. ``contact_type`` is the API's ``Type``. The content and contact of a request to
    send a code differ from those of a verification, so that the ledger never confuses them.
    """

    delivery: bytes
    content: bytes
    contact: bytes
    contact_exact: bytes
    body_keyed: bool
    contact_type: int


class Hasher:
    """HMAC-SHA256 under the ledger's key."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    @property
    def fingerprint(self) -> bytes:
        """A hash that shows the ledger whether its key has changed."""
        return self._hash("key check")

    def keys(self, delivery: Delivery | CodeRequest) -> Keys:
        """Return all keys of a delivery."""
        contact = delivery.contact
        kind = contact.type.label
        if isinstance(delivery, CodeRequest):
            content, contact_label = self._hash("send", kind, contact.value), "send to"
        else:
            content, contact_label = self._hash("content", kind, contact.value, delivery.verify_code), "contact"
        return Keys(
            delivery=self.delivery(delivery.key),
            content=content,
            contact=self._hash(contact_label, kind, normalized(contact)),
            contact_exact=self._hash("exact", kind, contact.value),
            body_keyed=delivery.key.is_body_hash,
            contact_type=contact.type.value,
        )

    def counter_key(self, *parts: str) -> bytes:
        """Return the key of a counter of messages."""
        return self._hash("series", *parts)

    def delivery(self, key: IdempotencyKey) -> bytes:
        """Return the key of the delivery itself."""
        return self._hash("delivery", key.source, key.value)

    def _hash(self, *parts: str | bytes) -> bytes:
        """Hash each part after its length, so that different lists of parts never result in the same bytes."""
        encoded = [part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts]
        mac = self._keyed.copy()  # unlike hmac.digest, this does not release the interpreter lock
        mac.update(b"".join(b"%d:%b" % (len(part), part) for part in encoded))
        return mac.digest()[:DIGEST_SIZE]


def normalized(contact: Contact) -> str:
    """Return the same string for all spellings of a contact, so that they share one lock and one count of wrong codes.

    For a phone number, these are the last 9 digits, which contain neither country code nor trunk prefix.
    """
    if contact.type is ContactType.EMAIL:
        return spelling.folded_email(contact.value)
    return "".join(digit for digit in contact.value if digit.isdigit())[-9:]


def load_or_create_key(file: Path) -> bytes:
    """Return the key in the file next to a SQLite ledger; create a missing file. Raises LedgerUnavailable."""
    path = file.with_name(file.name + ".key")
    try:
        if not path.exists():
            _create(path, secrets.token_hex(32).encode())
        key = path.read_bytes()
    except OSError as error:
        raise LedgerUnavailable(
            f"LEDGER_URL: the key file {path} cannot be read or created ({error.strerror}); "
            "its folder must exist and be writable"
        ) from None
    if len(key) < 32:
        raise LedgerUnavailable(
            f"LEDGER_KEY: the key file {path} has less than 32 bytes; remove the file, or set LEDGER_KEY"
        )
    return key


def _create(path: Path, key: bytes) -> None:
    """Link a complete file to the path, so that no reader sees a partial key and the first of several workers wins."""
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.") as draft:
        draft.write(key)
        draft.flush()
        os.fsync(draft.fileno())
        with suppress(FileExistsError):
            os.link(draft.name, path)
