"""Parse a request body into a delivery or a code request. Error texts never repeat any part of the body."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Any, Literal, TypeVar

from signup_bridge.core import strict_json
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, Delivery, IdempotencyKey
from signup_bridge.core.outcomes import BODY_INVALID, BODY_MALFORMED, MEDIA_TYPE_UNSUPPORTED, RequestRejected

from . import cloudevents, idempotency_key, json_pointer, member_names, spelling
from .cloudevents import NATIVE, BodyFormat
from .json_pointer import Pointer
from .payload_mapping import PayloadMapping

CONTACT_LIMIT = 254
"""Maximum length of a contact: that of an email address (RFC 5321, section 4.5.3.1.3, without angle brackets)."""

_T = TypeVar("_T")

PHONE = r"[.() -]*\+?(?:[.() -]*[0-9]){5,20}[.() -]*"
_LABEL = r"[^@.\s\x00-\x1f\x7f-\x9f]+"
EMAIL = rf"[^@\s\x00-\x1f\x7f-\x9f]+@{_LABEL}(?:\.{_LABEL})+"
VERIFY_CODE = r"[0-9A-Za-z]{4,10}"
"""The formats, as regular expressions for a whole normalized value (`spelling`)."""

_VERIFY_CODE = re.compile(VERIFY_CODE)
_JSON_TYPE = re.compile(r"application/json|[!-.0-~]+/[!-.0-~]+\+json", re.IGNORECASE)

_SURROGATE = re.compile(r"[\ud800-\udfff]")  # half of a pair, which JSON strings may contain but UTF-8 may not

MemberNames = tuple[str, str, str]
BRIDGE_NAMES: MemberNames = ("type", "contact", "verify_code")
API_NAMES: MemberNames = ("Type", "Code", "VerifyCode")
"""The names of the members: the bridge's own, and the API's."""

_FORMS = {ContactType.PHONE: PHONE, ContactType.EMAIL: EMAIL}
_NAMES = {ContactType.PHONE: "phone number", ContactType.EMAIL: "email address"}
_MUST_BE = {
    ContactType.PHONE: "must be 5 to 20 digits, optionally with a leading + and the separators . - ( ) and space",
    ContactType.EMAIL: "must be an email address with one @, a dot in the domain, no spaces, at most 254 characters",
}


def check_media_type(content_type: str | None) -> None:
    """Raise RequestRejected if a ``Content-Type`` header is not a JSON type. Its parameters are ignored."""
    media_type = (content_type or "").partition(";")[0].strip()
    if media_type and not _JSON_TYPE.fullmatch(media_type):
        raise RequestRejected(MEDIA_TYPE_UNSUPPORTED)


def parse(data: bytes, body_format: BodyFormat = NATIVE) -> RequestBody:
    """Parse a request body.

    Raises RequestRejected: ``body-malformed`` if it is not JSON, ``body-invalid`` if it is not an object and there is
    no mapping.
    """
    try:
        document = strict_json.loads(data.removeprefix(codecs.BOM_UTF8))  # RFC 8259, section 8.1, permits to ignore it
    except ValueError:
        raise RequestRejected(BODY_MALFORMED) from None
    if not isinstance(document, dict) and body_format.mapping is None:
        raise RequestRejected(BODY_INVALID, errors=(("#", "must be an object"),))
    return RequestBody(data, document, body_format)


class RequestBody:
    """A parsed body. Each method raises RequestRejected, ``body-invalid``, with an entry for each invalid member."""

    def __init__(self, data: bytes, document: Any, body_format: BodyFormat) -> None:
        self._data = data
        self._document = document
        self._format = body_format
        self._errors: list[tuple[str, str]] = []
        self._mistakes: list[str] = []

    def requested_action(self) -> Literal["verify", "send"]:
        """Return the optional member ``action``; ``verify`` if it is absent or the body format does not have it."""
        action: Any = self._document.get("action", "verify") if self._format.action else "verify"
        if action not in ("verify", "send"):
            raise RequestRejected(BODY_INVALID, errors=(("#/action", 'must be "verify" or "send"'),))
        return "send" if action == "send" else "verify"

    def to_delivery(self, key: IdempotencyKey | None = None) -> Delivery:
        """Return the verification that the body requests. Without a key or an id in the body, its bytes identify it."""
        mapping = self._mapping()
        contact = self._contact(mapping) if mapping else None
        verify_code = self._read(mapping.code, _verify_code, "verification code") if mapping else None
        key = self._key() or key or IdempotencyKey("content", self._data)
        if self._errors or contact is None or verify_code is None:
            raise self._rejection()
        return Delivery(contact, verify_code, key)

    def to_code_request(self, key: IdempotencyKey | None = None) -> CodeRequest:
        """Return the request for a code, identified as in `to_delivery`.

        A body with a verification code is rejected. Otherwise, an attacker could turn a captured delivery into a
        message.
        """
        mapping = self._mapping()
        contact = self._contact(mapping) if mapping else None
        if mapping and self._is_present(mapping.code, empty=self._format.mapping is None):
            self._add_error(mapping.code, "must be absent in a request to send a code")
        key = self._key() or key or IdempotencyKey("content", self._data)
        if self._errors or contact is None:
            raise self._rejection()
        return CodeRequest(contact, key)

    def _mapping(self) -> PayloadMapping | None:
        """Return the configured mapping, or else that of the names in the body: the bridge's or the API's.

        Mixed names are an error. Return None if an event's data is not an object.
        """
        if self._format.mapping:
            return self._format.mapping
        parent: Pointer = ("data",) if self._format.event else ()
        members = self._read(parent, _object)
        if members is None:
            return None
        type_name, contact_name, code_name = BRIDGE_NAMES
        api_names = [name for name in API_NAMES if name in members]
        if api_names and not any(name in members for name in BRIDGE_NAMES):
            type_name, contact_name, code_name = API_NAMES
        else:
            for name in api_names:
                self._add_error((*parent, name), f"must not be combined with {', '.join(BRIDGE_NAMES)}")
        return PayloadMapping(((*parent, contact_name),), (*parent, code_name), (*parent, type_name))

    def _contact(self, mapping: PayloadMapping) -> Contact | None:
        # Senders leave unknown values empty.
        pointer = next((one for one in mapping.contact if self._is_present(one)), mapping.contact[0])
        contact_type = self._type(mapping, self._find(pointer))
        name = _NAMES[contact_type] if contact_type else "phone number or email address"
        contact = self._read(pointer, lambda value: _contact(value, contact_type), name)
        return None if contact is None else Contact(contact_type or ContactType.PHONE, contact)

    def _type(self, mapping: PayloadMapping, contact: Any) -> ContactType | None:
        """Return the type of the contact; None if it is invalid, or if it depends on a contact that is absent."""
        if isinstance(mapping.type, tuple):
            return self._read(mapping.type, _contact_type)
        if mapping.type:
            return ContactType[mapping.type.upper()]
        if contact in (None, ""):
            return None
        return ContactType.EMAIL if isinstance(contact, str) and "@" in contact else ContactType.PHONE

    def _find(self, pointer: Pointer) -> Any:
        """Return the value at a pointer, or None if there is none."""
        try:
            return json_pointer.resolve(self._document, pointer)
        except LookupError:
            return None

    def _is_present(self, pointer: Pointer, *, empty: bool = False) -> bool:
        """Return whether there is a member with a value; with ``empty``, whether there is a member at all."""
        try:
            return json_pointer.resolve(self._document, pointer) not in (None, "") or empty
        except LookupError:
            return False

    def _key(self) -> IdempotencyKey | None:
        if self._format.id_source == "event":
            source, event_id = (self._read((name,), cloudevents.check_attribute) or "" for name in ("source", "id"))
            return idempotency_key.from_event(event_id, source)
        if self._format.id_source == "member" and "id" in self._document:
            return IdempotencyKey("direct", self._read(("id",), _delivery_id) or "")
        return None

    def _read(self, pointer: Pointer, check: Callable[[Any], _T], name: str | None = None) -> _T | None:
        """Return the checked value, or add an error. ``name``: the value's name in a message to the person."""
        value, hint = None, ""
        try:
            value = json_pointer.resolve(self._document, pointer)
            return check(value)
        except LookupError:
            beside = self._find(pointer[:-1])
            hint = member_names.hint(pointer[-1], beside if isinstance(beside, dict) else ())
            self._add_error(pointer, f"is required{hint}")
        except ValueError as error:
            self._add_error(pointer, str(error))
        if name and not hint and isinstance(value, str | None):  # otherwise the mistake is the sender's
            self._mistakes.append(f"The {name} {'has an invalid format' if value else 'is required'}")
        return None

    def _add_error(self, pointer: Pointer, text: str) -> None:
        self._errors.append((json_pointer.to_string(pointer), text))

    def _rejection(self) -> RequestRejected:
        """Return the rejection. It has a message for the person only if that person made all the mistakes."""
        message = ". ".join(self._mistakes) if len(self._mistakes) == len(self._errors) else None
        return RequestRejected(BODY_INVALID, errors=tuple(self._errors), message=message)


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("must be an object")  # noqa: TRY004  the body is wrong, not a type in the program
    return value


def _contact_type(value: Any) -> ContactType:
    if type(value) is int and value in (1, 2):  # True is an int too
        return ContactType(value)
    if isinstance(value, str) and value in ("phone", "email"):
        return ContactType[value.upper()]
    raise ValueError('must be "phone", "email", 1 or 2')


def _contact(value: Any, contact_type: ContactType | None) -> str:
    """Return the normalized contact. If the type is invalid, only check that the contact is a string."""
    plain = spelling.phone if contact_type is ContactType.PHONE else spelling.visible
    contact = plain(value) if isinstance(value, str) else ""
    if not contact or _SURROGATE.search(contact):
        raise ValueError("must be a non-empty string")
    if contact_type is not None and not (len(contact) <= CONTACT_LIMIT and re.fullmatch(_FORMS[contact_type], contact)):
        raise ValueError(_MUST_BE[contact_type])
    return contact


def _verify_code(value: Any) -> str:
    verify_code = spelling.verify_code(value) if isinstance(value, str) else ""
    if not _VERIFY_CODE.fullmatch(verify_code):
        raise ValueError("must be a string of 4 to 10 ASCII letters or digits")
    return verify_code


def _delivery_id(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 256 or not value.isprintable():
        raise ValueError("must be a string of 1 to 256 printable characters")
    return value
