"""Other names for the members of a body, so that an error about a missing member can name the one that was meant.

An error must not repeat anything of a body, so only names from this list are looked for.
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
"""The names that a sender may have used instead of a member's, the likeliest first."""


def hint(name: str, members: Iterable[str]) -> str:
    """Return an addition to the error about a missing member, empty if no name in ``members`` may mean it."""
    unknown = set(members) - INSTEAD.keys()
    meant = next((other for other in INSTEAD.get(name, ()) if other in unknown), None)
    return f"; the body has `{meant}`: did you mean `{name}`?" if meant else ""
