"""The request body: what the delivery asks.

In come bytes that anybody may have written, out comes a `Delivery`, or a `Refusal` that names each faulty member by a
JSON pointer. It refuses only what can never be right, and must never repeat a value it was sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, TypeVar

from . import strict_json
from .outcomes import BODY_INVALID, BODY_MALFORMED, MEDIA_TYPE_UNSUPPORTED, Refusal

BODY_LIMIT = 16_384
"""Bytes of a request body."""

CONTACT_LIMIT = 254
"""Characters of a contact: the longest email address (RFC 5321, section 4.5.3.1.3, less its angle brackets)."""

_T = TypeVar("_T")

PHONE = r"[.() -]*\+?(?:[.() -]*[0-9]){5,20}[.() -]*"
_LABEL = r"[^@.\s\x00-\x1f\x7f-\x9f]+"
EMAIL = rf"[^@\s\x00-\x1f\x7f-\x9f]+@{_LABEL}(?:\.{_LABEL})+"
VERIFY_CODE = r"[0-9A-Za-z]{4,10}"
"""The forms, as regular expressions over the whole of a trimmed value; the OpenAPI description shows the same."""

_VERIFY_CODE = re.compile(VERIFY_CODE)
_JSON_TYPE = re.compile(r"application/json|[!-.0-~]+/[!-.0-~]+\+json", re.IGNORECASE)

Names = tuple[str, str, str]
BRIDGE_NAMES: Names = ("type", "contact", "verify_code")
API_NAMES: Names = ("Type", "Code", "VerifyCode")
"""The members' names: the bridge's own, and the API's."""


class ContactType(Enum):
    """The API's ``Type``."""

    PHONE = 1
    EMAIL = 2

    @property
    def word(self) -> str:
        return self.name.lower()


_FORMS = {ContactType.PHONE: re.compile(PHONE), ContactType.EMAIL: re.compile(EMAIL)}
_MUST_BE = {
    ContactType.PHONE: "must be 5 to 20 digits, with an optional + before them and any of . - ( ) and space between",
    ContactType.EMAIL: "must be an email address: one @, a domain with a dot, no space, 254 characters at most",
}


@dataclass(frozen=True)
class Contact:
    """A phone number or an email address, as it came but for white space around it."""

    type: ContactType
    value: str = field(repr=False)

    @property
    def masked(self) -> str:
        """The contact as it may be shown: ``187****4433``, ``j***@example.com``."""
        if self.type is ContactType.EMAIL:
            local, _, domain = self.value.rpartition("@")
            return f"{local[:1]}***@{domain}"
        hidden = len(self.value) - 7
        if hidden >= 4:
            return self.value[:3] + "*" * hidden + self.value[-4:]
        return "*" * (len(self.value) - 2) + self.value[-2:]


@dataclass(frozen=True)
class DeliveryKey:
    """What tells a delivery from others: a ``value`` that is unique within its ``source``.

    A sender's id, or the whole body of a delivery that has none that can be trusted.
    """

    source: Literal["signed", "direct", "ckafka", "idempotency-key", "cloudevents", "content"]
    value: str | bytes = field(repr=False)

    @property
    def is_content(self) -> bool:
        return self.source == "content"


@dataclass(frozen=True)
class Delivery:
    """One webhook that asks for one verification."""

    contact: Contact
    verify_code: str = field(repr=False)
    key: DeliveryKey


def check_media_type(content_type: str | None) -> None:
    """Raises Refusal unless a ``Content-Type`` header is JSON's, with any parameters, or absent."""
    media_type = (content_type or "").partition(";")[0].strip()
    if media_type and not _JSON_TYPE.fullmatch(media_type):
        raise Refusal(MEDIA_TYPE_UNSUPPORTED)


def parse(body: bytes, key: DeliveryKey | None = None, *, direct: bool = False) -> Delivery:
    """The delivery that a body asks for. ``direct``: its optional member ``id`` is the delivery's id.

    Without a ``key``, and without such a member, it is known by its body.

    Raises Refusal: ``body-malformed`` when it is not JSON, ``body-invalid`` with an entry for each faulty member.
    """
    try:
        document = strict_json.loads(body)
    except ValueError:
        raise Refusal(BODY_MALFORMED) from None
    if not isinstance(document, dict):
        raise Refusal(BODY_INVALID, errors=(("#", "must be an object"),))
    return _Members(document).delivery(key or DeliveryKey("content", body), direct=direct)


class _Members:
    """One body's members, and what has been found wrong with them so far."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._errors: list[tuple[str, str]] = []

    def delivery(self, key: DeliveryKey, *, direct: bool) -> Delivery:
        type_name, contact_name, code_name = self._names()
        contact_type = self._read(type_name, _contact_type)
        contact = self._read(contact_name, lambda value: _contact(value, contact_type))
        verify_code = self._read(code_name, _verify_code)
        if direct and "id" in self._document:
            key = DeliveryKey("direct", self._read("id", _delivery_id) or "")
        if self._errors or contact_type is None or contact is None or verify_code is None:
            raise Refusal(BODY_INVALID, errors=tuple(self._errors))
        return Delivery(Contact(contact_type, contact), verify_code, key)

    def _names(self) -> Names:
        """The bridge's names, or the API's when none of the bridge's is there; the two must not be mixed."""
        theirs = [name for name in API_NAMES if name in self._document]
        if theirs and not any(name in self._document for name in BRIDGE_NAMES):
            return API_NAMES
        self._errors += [(f"#/{name}", f"must not stand beside {', '.join(BRIDGE_NAMES)}") for name in theirs]
        return BRIDGE_NAMES

    def _read(self, name: str, check: Callable[[Any], _T]) -> _T | None:
        if name not in self._document:
            self._errors.append((f"#/{name}", "is missing"))
            return None
        try:
            return check(self._document[name])
        except ValueError as error:
            self._errors.append((f"#/{name}", str(error)))
            return None


def _contact_type(value: Any) -> ContactType:
    if type(value) is int and value in (1, 2):  # True is an int too
        return ContactType(value)
    if isinstance(value, str) and value in ("phone", "email"):
        return ContactType[value.upper()]
    raise ValueError('must be "phone", "email", 1 or 2')


def _contact(value: Any, contact_type: ContactType | None) -> str:
    """The contact without white space around it. With a faulty type, nothing more can be said of it than this."""
    contact = value.strip() if isinstance(value, str) else ""
    if not contact or not _is_text(contact):
        raise ValueError("must be a string that is not empty")
    if contact_type is not None and not (len(contact) <= CONTACT_LIMIT and _FORMS[contact_type].fullmatch(contact)):
        raise ValueError(_MUST_BE[contact_type])
    return contact


def _is_text(value: str) -> bool:
    """Whether it can be written in UTF-8: a JSON string may hold half of a surrogate pair."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _verify_code(value: Any) -> str:
    if not isinstance(value, str) or not _VERIFY_CODE.fullmatch(value):
        raise ValueError("must be a string of 4 to 10 characters 0-9, A-Z, a-z")
    return value


def _delivery_id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 256 or not value.isprintable():
        raise ValueError("must be a string of 1 to 256 printable characters")
    return value
