"""Common alternative names for the members of a body, for hints in errors about missing members.

Error texts must not repeat any part of a body, so a hint contains only names from this list.
"""

from __future__ import annotations

from collections.abc import Iterable


def _spellings(phrases: Iterable[str]) -> tuple[str, ...]:
    """Return each phrase in the spellings of languages and frameworks: ``a_b``, ``aB``, ``AB``, ``a-b``, ``ab``."""
    spelled: list[str] = []
    for words in map(str.split, phrases):
        pascal = "".join(map(str.capitalize, words))
        spelled += ["_".join(words), pascal[0].lower() + pascal[1:], pascal, "-".join(words), "".join(words)]
    return tuple(dict.fromkeys(spelled))


_CODE = _spellings(
    (
        "verify code", "verification code", "code", "otp", "otp code", "one time password", "passcode", "pin",
        "sms code", "email code", "confirmation code", "token",
    )
)  # fmt: skip
_CONTACT = _spellings(
    (
        "contact", "phone", "phone number", "mobile", "mobile number", "telephone", "tel", "msisdn", "cell phone",
        "email", "e mail", "email address", "mail", "address", "to", "recipient", "destination", "identifier",
    )
)  # fmt: skip
_TYPE = _spellings(("type", "contact type", "kind", "channel", "method", "medium", "via"))

INSTEAD = {
    "verify_code": _CODE, "VerifyCode": _CODE, "contact": _CONTACT, "Code": _CONTACT, "type": _TYPE, "Type": _TYPE,
}  # fmt: skip
"""The alternative names of each member, the most likely first."""


def hint(name: str, members: Iterable[str]) -> str:
    """Return an addition to the error about a missing member; an empty string if ``members`` has no such name."""
    unknown = set(members) - INSTEAD.keys()
    meant = next((other for other in INSTEAD.get(name, ()) if other in unknown), None)
    return f"; the body has `{meant}`, did you mean `{name}`?" if meant else ""
