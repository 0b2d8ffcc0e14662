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
    _row(0, "any-code", "accepts any code, every time", _VERIFIED, accepts=True),
    _row(1, "wrong-code", "rejects every code", _WRONG, fault="InternalError.VerifyCodeErr"),
    _row(2, "already-verified", "was verified before", _LISTED, fault="InternalError.VerifiedPhoneEmailErr"),
    _row(3, "contact-invalid", "unsupported format", _INVALID, fault="InvalidParameterValue.InvalidParameterFormat"),
    _row(4, "prohibited", "is not permitted", _INVALID, fault="FailedOperation.ProhibitPhoneEmail"),
    _row(5, "throttled", "exceeds the rate limit", _THROTTLED, fault="RequestLimitExceeded"),
    _row(6, "quota-full", "exceeds an account quota", _FAILED, fault="LimitExceeded"),
    _row(7, "check-failed", "code check fails", _FAILED, fault="InternalError.CheckVerifyCodeErr"),
    _row(8, "add-failed", "adding the contact fails", _FAILED, fault="InternalError.AddPhoneEmailErr"),
    _row(9, "unheard-of", "unknown error code", _FAILED, fault="FailedOperation.NeverHeardOf"),
    _row(10, "key-refused", "invalid API key", _REFUSED, fault="AuthFailure.SecretIdNotFound"),
    _row(11, "not-permitted", "missing permission", _REFUSED, fault="UnauthorizedOperation"),
    _row(20, "slow", "accepts any code after 2 s", _VERIFIED, accepts=True, delay=2.0),
    _row(21, "lost", "accepts any code, reply lost", _UNKNOWN, end=_VERIFIED, accepts=True, fault="close"),
    _row(22, "hang", "no reply", _UNKNOWN, fault="hang"),
    _row(23, "reset", "connection reset", _UNKNOWN, fault="reset"),
    _row(24, "closed", "connection closed", _UNKNOWN, fault="unprocessed"),
    _row(25, "stalled", "half a reply, then silence", _UNKNOWN, fault="stall-body"),
    _row(26, "dripping", "reply takes 30 s", _UNKNOWN, fault="drip"),
    _row(27, "truncated", "half a reply", _FAILED, fault="truncate"),
    _row(28, "http-502", "HTTP status 502", _FAILED, fault="http-502"),
    _row(29, "html", "HTML with status 200", _FAILED, fault="html"),
    _row(30, "empty", "reply without request id", _FAILED, fault="empty-response"),
    _row(31, "redirect", "redirect", _FAILED, fault="redirect"),
    _row(32, "mislabelled", "rejects the code; the SDK sees success", _WRONG, fault="error-with-charset"),
    _row(40, "send-limited", "too early for another code", _WRONG, fault=_SEND_LIMITED, action=SEND),
    _row(41, "send-failed", "sending fails", _WRONG, fault="InternalError.SendVerifyCodeErr", action=SEND),
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
