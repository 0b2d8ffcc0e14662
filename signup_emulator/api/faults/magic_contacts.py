"""Define contacts that choose the outcome of their calls, without an armed fault.

No contact belongs to a real person: the North American plan reserves the phone numbers for fiction (+1 202 555 0100 to
0199), and RFC 2606 reserves the domain of the addresses.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

CREATE, SEND = "CreateIntlPhoneEmail", "SendIntlPhoneEmailCode"
DOMAIN = "outcome.example"
_FIRST_PHONE = 1_202_555_0100


class MagicContact(NamedTuple):
    """One row: the effect of a contact, and the bridge's response.

    ``fault`` is an API error code or a wire fault; a call with a fault is not processed. With ``accepts`` any code is
    right, and the contact is on the list afterwards, also if a fault loses the reply. ``delay`` is in seconds.
    ``outcome`` and ``status`` are the bridge's first response in the profile ``status``; ``end`` and ``end_status`` are
    its response to the second retry of the same delivery.
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
        """Return one JSON object for each of the two contacts."""
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
    _row(2, "already-verified", "reports it as already verified", _LISTED, fault="InternalError.VerifiedPhoneEmailErr"),
    _row(3, "contact-invalid", "rejects the format", _INVALID, fault="InvalidParameterValue.InvalidParameterFormat"),
    _row(4, "prohibited", "prohibits the contact", _INVALID, fault="FailedOperation.ProhibitPhoneEmail"),
    _row(5, "throttled", "throttles the call", _THROTTLED, fault="RequestLimitExceeded"),
    _row(6, "quota-full", "reports an exceeded quota", _FAILED, fault="LimitExceeded"),
    _row(7, "check-failed", "fails to check the code", _FAILED, fault="InternalError.CheckVerifyCodeErr"),
    _row(8, "add-failed", "fails to add the contact", _FAILED, fault="InternalError.AddPhoneEmailErr"),
    _row(9, "unheard-of", "returns an unknown error code", _FAILED, fault="FailedOperation.NeverHeardOf"),
    _row(10, "key-refused", "rejects the API key", _REFUSED, fault="AuthFailure.SecretIdNotFound"),
    _row(11, "not-permitted", "denies permission", _REFUSED, fault="UnauthorizedOperation"),
    _row(20, "slow", "accepts any code after 2 s", _VERIFIED, accepts=True, delay=2.0),
    _row(21, "lost", "accepts any code, but the reply is lost", _UNKNOWN, end=_VERIFIED, accepts=True, fault="close"),
    _row(22, "hang", "never replies", _UNKNOWN, fault="hang"),
    _row(23, "reset", "resets the connection", _UNKNOWN, fault="reset"),
    _row(24, "closed", "closes the connection without a reply", _UNKNOWN, fault="unprocessed"),
    _row(25, "stalled", "sends half a reply, then stalls", _UNKNOWN, fault="stall-body"),
    _row(26, "dripping", "takes 30 s to reply", _UNKNOWN, fault="drip"),
    _row(27, "truncated", "sends half a reply, then closes", _FAILED, fault="truncate"),
    _row(28, "http-502", "replies with HTTP status 502", _FAILED, fault="http-502"),
    _row(29, "html", "replies with HTML and status 200", _FAILED, fault="html"),
    _row(30, "empty", "replies without a request id", _FAILED, fault="empty-response"),
    _row(31, "redirect", "redirects the request", _FAILED, fault="redirect"),
    _row(32, "mislabelled", "rejects the code, but the SDK reports success", _WRONG, fault="error-with-charset"),
    _row(40, "send-limited", "sends no code: too soon after the last", _WRONG, fault=_SEND_LIMITED, action=SEND),
    _row(41, "send-failed", "fails to send the code", _WRONG, fault="InternalError.SendVerifyCodeErr", action=SEND),
)  # fmt: skip

_BY_PHONE = {row.phone[1:]: row for row in MAGIC_CONTACTS}
_BY_NAME = {row.name: row for row in MAGIC_CONTACTS}


def find_magic_contact(action: str, contact: str | None) -> MagicContact | None:
    """Return the row for this contact, None if there is none.

    A phone number matches in any spelling, an address in any case, with or without a +tag.
    """
    name, at, domain = (contact or "").lower().rpartition("@")
    if at:
        row = _BY_NAME.get(name.partition("+")[0]) if domain == DOMAIN else None
    else:
        row = _BY_PHONE.get(re.sub("[^0-9]", "", contact or ""))
    return row if row is not None and row.action == action else None
