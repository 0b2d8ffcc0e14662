"""Contacts that choose the outcome of their calls, without an armed fault.

The phone numbers are reserved for fiction by the North American plan (+1 202 555 0100 to 0199), the addresses are in a
domain that RFC 2606 reserves, so that no contact belongs to a real person.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

CREATE, SEND = "CreateIntlPhoneEmail", "SendIntlPhoneEmailCode"
DOMAIN = "outcome.example"
_FIRST_PHONE = 1_202_555_0100


class MagicContact(NamedTuple):
    """One row: the effect of a contact, and the bridge's response.

    ``fault`` is an API error code or a wire fault. With a fault the call is not processed, unless ``accepts``: any code
    is right, and the contact is on the list afterwards. ``delay`` is in seconds. ``outcome`` and ``status`` are the
    bridge's first response in the profile ``status``; ``end`` and ``end_status`` its response to the second retry of
    the same delivery.
    """

    name: str
    phone: str
    effect: str
    outcome: str
    status: int
    end: str
    end_status: int
    fault: str | None = None
    accepts: bool = False
    delay: float = 0.0
    action: str = CREATE

    def documents(self) -> list[dict[str, Any]]:
        """Return JSON values, one object for each of the two contacts."""
        result = {"outcome": self.outcome, "status": self.status, "end": self.end, "end_status": self.end_status}
        contacts = {"phone": self.phone, "email": self.email}
        return [
            {"contact": contact, "type": kind, "effect": self.effect, **result} for kind, contact in contacts.items()
        ]

    @property
    def email(self) -> str:
        return f"{self.name}@{DOMAIN}"


_VERIFIED = ("verified", 200)
_WRONG = ("code-incorrect", 422)
_LISTED = ("already-verified", 409)
_INVALID = ("contact-invalid", 422)
_THROTTLED = ("upstream-throttled", 503)
_FAILED = ("upstream-failed", 502)
_UNKNOWN = ("outcome-unknown", 504)
_UNRESOLVED = ("outcome-unresolved", 409)
_REFUSED = ("bridge-misconfigured", 500)

_SEND_LIMITED = "FailedOperation.SendVerifyCodeIsLimited"


def _row(
    number: int,
    name: str,
    effect: str,
    answer: tuple[str, int],
    *,
    end: tuple[str, int] | None = None,
    fault: str | None = None,
    accepts: bool = False,
    delay: float = 0.0,
    action: str = CREATE,
) -> MagicContact:
    phone = f"+{_FIRST_PHONE + number}"
    end = end or (_UNRESOLVED if answer in (_UNKNOWN, _FAILED) else answer)
    return MagicContact(name, phone, effect, *answer, *end, fault, accepts, delay, action)


MAGIC_CONTACTS: tuple[MagicContact, ...] = (
    _row(0, "any-code", "any code is right, each time", _VERIFIED, accepts=True),
    _row(1, "wrong-code", "every code is wrong", _WRONG, fault="InternalError.VerifyCodeErr"),
    _row(2, "already-verified", "it was verified before", _LISTED, fault="InternalError.VerifiedPhoneEmailErr"),
    _row(3, "contact-invalid", "a form not taken", _INVALID, fault="InvalidParameterValue.InvalidParameterFormat"),
    _row(4, "prohibited", "a contact that is not allowed", _INVALID, fault="FailedOperation.ProhibitPhoneEmail"),
    _row(5, "throttled", "too many requests", _THROTTLED, fault="RequestLimitExceeded"),
    _row(6, "quota-full", "a quota of the account is full", _FAILED, fault="LimitExceeded"),
    _row(7, "check-failed", "the API could not check the code", _FAILED, fault="InternalError.CheckVerifyCodeErr"),
    _row(8, "add-failed", "the API could not add the contact", _FAILED, fault="InternalError.AddPhoneEmailErr"),
    _row(9, "unheard-of", "an error code that nobody knows", _FAILED, fault="FailedOperation.NeverHeardOf"),
    _row(10, "key-refused", "the bridge's API key is refused", _REFUSED, fault="AuthFailure.SecretIdNotFound"),
    _row(11, "not-permitted", "the bridge's API key may not do this", _REFUSED, fault="UnauthorizedOperation"),
    _row(20, "slow", "any code is right, after 2 seconds", _VERIFIED, accepts=True, delay=2.0),
    _row(21, "lost", "any code is right, the answer is lost", _UNKNOWN, end=_VERIFIED, accepts=True, fault="close"),
    _row(22, "hang", "no reply", _UNKNOWN, fault="hang"),
    _row(23, "reset", "the connection is reset", _UNKNOWN, fault="reset"),
    _row(24, "closed", "the connection is closed", _UNKNOWN, fault="unprocessed"),
    _row(25, "stalled", "half of a reply, then nothing more", _UNKNOWN, fault="stall-body"),
    _row(26, "dripping", "a reply that takes half a minute", _UNKNOWN, fault="drip"),
    _row(27, "truncated", "half of a reply, then the end", _FAILED, fault="truncate"),
    _row(28, "http-502", "HTTP status 502", _FAILED, fault="http-502"),
    _row(29, "html", "a page of HTML with status 200", _FAILED, fault="html"),
    _row(30, "empty", "a reply without a request id", _FAILED, fault="empty-response"),
    _row(31, "redirect", "a redirect", _FAILED, fault="redirect"),
    _row(32, "mislabelled", "a wrong code that the SDK takes for success", _WRONG, fault="error-with-charset"),
    _row(40, "send-limited", "too soon for another code", _WRONG, fault=_SEND_LIMITED, action=SEND),
    _row(41, "send-failed", "the code cannot be sent", _WRONG, fault="InternalError.SendVerifyCodeErr", action=SEND),
)  # fmt: skip

_BY_PHONE = {row.phone[1:]: row for row in MAGIC_CONTACTS}
_BY_NAME = {row.name: row for row in MAGIC_CONTACTS}


def find_magic_contact(action: str, contact: str | None) -> MagicContact | None:
    """Return the row for this contact: a phone in any spelling, an address in any case, with or without a +tag."""
    name, at, domain = (contact or "").lower().rpartition("@")
    if at:
        row = _BY_NAME.get(name.partition("+")[0]) if domain == DOMAIN else None
    else:
        row = _BY_PHONE.get(re.sub("[^0-9]", "", contact or ""))
    return row if row is not None and row.action == action else None
