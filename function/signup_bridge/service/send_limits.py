"""The limits that prevent SMS pumping: each message costs money, and fraudsters profit from messages to their numbers.

The ledger counts the messages of all instances that share it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.ledger import SEND_LIMIT_WINDOW, SendLimit
from signup_bridge.ledger.keys import Hasher, normalized

PREFIX_DIGITS = 7
"""Number of digits that identify a block of phone numbers. SMS pumping uses adjacent numbers."""

_COUNTRY_CODE = "(1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]|[0-9]{0,3})0*"
"""A country code and the zeros after it: the codes with one and with two digits; all others have three.

Source: ITU-T Recommendation E.164 and its list of assigned country codes (annex to Operational Bulletin No. 1114).
"""

PREFIX_NOT_ALLOWED = "allowed-prefixes"


class SendLimits(NamedTuple):
    """The limits from the settings; 0 for no limit.

    ``interval``: seconds between two messages to a contact. The others: messages per hour to a contact, to one prefix,
    and in total. ``allowed``: the allowed prefixes of phone numbers; all if it is empty.
    """

    interval: float
    per_contact: int
    per_prefix: int
    per_hour: int
    allowed: Sequence[str]

    def allow(self, contact: Contact) -> bool:
        """Return whether messages to this contact are allowed at all."""
        is_limited = contact.type is ContactType.PHONE and self.allowed
        return not is_limited or _digits(contact).startswith(tuple(self.allowed))

    def limits_for(self, contact: Contact, hasher: Hasher) -> list[SendLimit]:
        """Return the limits for a message to a contact. All spellings of a contact count together."""
        kind = contact.type.label
        to_contact = hasher.counter_key("contact", kind, normalized(contact))
        limits = [
            SendLimit("interval", to_contact, 1 if self.interval else 0, self.interval),
            SendLimit("per-contact", to_contact, self.per_contact, SEND_LIMIT_WINDOW),
            SendLimit("per-hour", hasher.counter_key("all"), self.per_hour, SEND_LIMIT_WINDOW),
        ]
        if contact.type is ContactType.PHONE:
            prefix = hasher.counter_key("prefix", _without_zeros(_digits(contact))[:PREFIX_DIGITS])
            limits.append(SendLimit("per-prefix", prefix, self.per_prefix, SEND_LIMIT_WINDOW))
        return [one for one in limits if one.limit]


def _digits(contact: Contact) -> str:
    """Return a phone number's digits, starting with its country code if it has one. A leading 00 means +."""
    return "".join(digit for digit in contact.value if digit.isdigit()).removeprefix("00")


def _without_zeros(digits: str) -> str:
    """Return the digits without the zeros before and after the country code, which do not affect the block."""
    return re.sub(_COUNTRY_CODE, r"\1", digits.lstrip("0"), count=1)
