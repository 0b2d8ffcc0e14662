"""Under which names a delivery is remembered: keyed hashes, from which nothing can be read back.

In comes a `Delivery` and the ledger's key, out come its `Keys`. A code of six digits under a plain hash would be found
by trying a million; under a secret key it is not. It must never let a contact or a code through.
"""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, Delivery, IdempotencyKey
from signup_bridge.inbound import spelling

from . import LedgerUnavailable

DIGEST_SIZE = 16
"""Bytes that are kept of each hash."""


class Keys(NamedTuple):
    """A delivery's names in the ledger, each of `DIGEST` bytes.

    ``delivery`` is its id, or its body when it has none: then it is ``transient``, and a definitive outcome is replayed
    for a short time only. ``content`` is contact and code, ``exact`` the contact to the letter, ``contact`` the contact
    folded, which all its spellings share. ``contact_type`` is the API's ``Type``. Of a code that is to be sent, content
    and contact are others than of one that is verified, so that neither is ever taken for the other.
    """

    delivery: bytes
    content: bytes
    contact: bytes
    exact: bytes
    transient: bool
    contact_type: int


class Hasher:
    """HMAC-SHA256 under the ledger's key. Nothing else depends on the key, and the hashes on nothing else."""

    def __init__(self, key: bytes) -> None:
        self._keyed = hmac.new(key, digestmod="sha256")

    @property
    def fingerprint(self) -> bytes:
        """Tells this key from another one, and nothing of it."""
        return self._hash("key check")

    def keys(self, delivery: Delivery | CodeRequest) -> Keys:
        contact = delivery.contact
        kind = contact.type.label
        if isinstance(delivery, CodeRequest):
            content, folding = self._hash("send", kind, contact.value), self._hash("send to", kind, normalized(contact))
        else:
            content = self._hash("content", kind, contact.value, delivery.verify_code)
            folding = self._hash("contact", kind, normalized(contact))
        return Keys(
            delivery=self.delivery(delivery.key),
            content=content,
            contact=folding,
            exact=self._hash("exact", kind, contact.value),
            transient=delivery.key.is_body_hash,
            contact_type=contact.type.value,
        )

    def counter_key(self, *what: str) -> bytes:
        """The name of what messages are counted by."""
        return self._hash("series", *what)

    def delivery(self, key: IdempotencyKey) -> bytes:
        return self._hash("delivery", key.source, key.value)

    def _hash(self, *parts: str | bytes) -> bytes:
        """Each part with its length before it, so that no two lists of parts are the same bytes."""
        encoded = [part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass") for part in parts]
        message = b"".join(b"%d:%b" % (len(part), part) for part in encoded)
        mac = self._keyed.copy()  # which lets no other thread take the interpreter, where hmac.digest does
        mac.update(message)
        return mac.digest()[:DIGEST_SIZE]


def normalized(contact: Contact) -> str:
    """What all spellings of a contact have in common, so that they share one lock and one count of wrong codes.

    An email address as `spelling.folded_email` writes it; of a phone number the last 9 digits, which no country code or
    trunk prefix reaches.
    """
    if contact.type is ContactType.EMAIL:
        return spelling.folded_email(contact.value)
    return "".join(digit for digit in contact.value if digit.isdigit())[-9:]


def load_or_create_key(file: Path) -> bytes:
    """The key in the file beside a SQLite ledger, made at the first time. Raises LedgerUnavailable."""
    path = file.with_name(file.name + ".key")
    try:
        if not path.exists():
            _create(path, secrets.token_hex(32).encode())
        key = path.read_bytes()
    except OSError as error:
        raise LedgerUnavailable(
            f"LEDGER_URL: {path}, which holds the ledger's key, cannot be read or made ({error.strerror}); "
            "its folder must exist and be writable"
        ) from None
    if len(key) < 32:
        raise LedgerUnavailable(f"LEDGER_KEY: {path} holds no key of 32 bytes; remove it, or set LEDGER_KEY")
    return key


def _create(path: Path, key: bytes) -> None:
    """Write it whole before it is there to be read; of several workers at once, the first one's stays."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(key)
            os.fsync(descriptor)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
