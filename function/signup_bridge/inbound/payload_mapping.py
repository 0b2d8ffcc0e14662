"""Payload mappings: the positions of contact, code and type in the body of a signup system.

Sources: each sender's documentation of its hook or event. None of these payloads contains a code, so the code is read
from the metadata that a signup form can add.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from .json_pointer import Pointer, parse

TypeWord = Literal["phone", "email"]


class PayloadMapping(NamedTuple):
    """Pointers into a body.

    ``contact``: the first one with a value is used. ``type``: a pointer, a constant, or None to derive it from the
    contact. ``event``: the body is a CloudEvents event, or its data if the event's attributes are headers.
    """

    contact: tuple[Pointer, ...]
    code: Pointer
    type: Pointer | TypeWord | None = None
    event: bool = False

    def for_data(self) -> PayloadMapping:
        """Return the mapping of a body that is the event's data; itself if it is not a mapping for events."""
        if not self.event:
            return self
        return PayloadMapping(
            tuple(_in_data(pointer) for pointer in self.contact),
            _in_data(self.code),
            _in_data(self.type) if isinstance(self.type, tuple) else self.type,
        )


def parse_type(value: str) -> Pointer | TypeWord:
    """Parse ``PAYLOAD_TYPE``: a pointer to the type, or the type of all contacts. Raises ValueError."""
    if value == "=email":
        return "email"
    if value == "=phone":
        return "phone"
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"must be =email, =phone, or a pointer; a pointer {error}") from None


def _in_data(pointer: Pointer) -> Pointer:
    return pointer[1:] if pointer[0] == "data" else pointer


PRESETS = {
    "supabase": PayloadMapping((parse("/user/email"), parse("/user/phone")), parse("/user/user_metadata/verify_code")),
    "clerk": PayloadMapping(
        (parse("/data/email_addresses/0/email_address"), parse("/data/phone_numbers/0/phone_number")),
        parse("/data/unsafe_metadata/verify_code"),
    ),
    "auth0": PayloadMapping(
        (parse("/data/object/email"), parse("/data/object/phone_number")),
        parse("/data/object/user_metadata/verify_code"),
        event=True,
    ),
    "cloudevents": PayloadMapping(
        (parse("/data/contact"),), parse("/data/verify_code"), parse("/data/type"), event=True
    ),
}
