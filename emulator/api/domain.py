"""What the Domain API knows and does: the codes that were sent, the contacts that were verified.

In comes an action and its parameters, out comes the ``Response`` object without its request id, or an `ApiError`.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from .errors import ApiError

CODE_LIFE = 600.0
"""Seconds that a code is good for. The API does not document it."""

RATE = 20
"""Requests in any second, for each action."""

CHINA = timezone(timedelta(hours=8))

_FORMS = {1: re.compile(r"\+?[0-9.() -]{5,40}"), 2: re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")}
_PARAMETERS: dict[str, dict[str, type]] = {
    "CreateIntlPhoneEmail": {"Type": int, "Code": str, "VerifyCode": str},
    "SendIntlPhoneEmailCode": {"Type": int, "Code": str},
    "DescribeIntlPhoneEmailList": {"Type": int, "Limit": int, "Offset": int},
    "DeleteIntlPhoneEmail": {"Type": int, "Code": str},
}
ACTIONS = tuple(_PARAMETERS)
_OPTIONAL = {"Limit", "Offset"}

Contact = tuple[int, str]
"""The API's ``Type`` and ``Code``."""


@dataclass
class SentCode:
    """A code for a contact. ``sent_at`` is Unix time; the reference's example was not sent, and does not age."""

    contact: Contact
    code: str
    sent_at: float | None
    used: bool = False


class Domain:
    """The state of one emulated account. Safe for threads.

    What the reference leaves open can be had in each way: ``list_zone`` is the zone of the list's times,
    ``list_masked`` whether its contacts are masked.
    """

    def __init__(self, now: Callable[[], float], *, rate: int = RATE) -> None:
        self._now = now
        self._rate = rate
        self._lock = threading.Lock()
        self.list_zone = CHINA
        self.list_masked = False
        self.reset()

    def reset(self) -> None:
        """Start afresh: nothing sent, nothing verified; the reference's example works once without a send."""
        with self._lock:
            self._codes: list[SentCode] = [SentCode((1, "18766554433"), "123456", sent_at=None)]
            self._verified: dict[Contact, float] = {}
            self._calls: dict[str, deque[float]] = {action: deque() for action in _PARAMETERS}

    def snapshot(self) -> dict[str, Any]:
        """What is known, as JSON values."""
        with self._lock:
            return {
                "codes": [asdict(code) for code in self._codes],
                "verified": [[*contact, at] for contact, at in self._verified.items()],
            }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Know again what a `snapshot` holds. Raises KeyError, TypeError or ValueError when it is none."""
        codes = [SentCode(**{**code, "contact": tuple(code["contact"])}) for code in snapshot["codes"]]
        verified = {(kind, code): at for kind, code, at in snapshot["verified"]}
        with self._lock:
            self._codes, self._verified = codes, verified

    def sent_codes(self) -> list[SentCode]:
        """The codes that were sent, newest first."""
        with self._lock:
            return [code for code in reversed(self._codes) if code.sent_at is not None]

    def check_action(self, action: str, version: str) -> None:
        """Raises ApiError for an action or a version that the API does not have."""
        if not action or not version:
            raise ApiError("MissingParameter", "The X-TC-Action or X-TC-Version header is missing.")
        if version != "2018-08-08":
            raise ApiError("NoSuchVersion", "The product has no such version.")
        if action not in _PARAMETERS:
            raise ApiError("InvalidAction", "The product has no such action.")

    def check_rate(self, action: str) -> None:
        """Raises ApiError when the action was asked for too often within the last second; else counts this time."""
        with self._lock:
            recent, now = self._calls[action], self._now()
            while recent and recent[0] <= now - 1:
                recent.popleft()
            if self._rate and len(recent) >= self._rate:
                raise ApiError("RequestLimitExceeded", f"More than {self._rate} requests within a second.")
            recent.append(now)

    def perform(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Do it. Raises ApiError."""
        _check_parameters(action, parameters)
        contact = (parameters["Type"], parameters.get("Code", ""))
        with self._lock:
            if action == "CreateIntlPhoneEmail":
                return self._create(contact, parameters["VerifyCode"])
            if action == "SendIntlPhoneEmailCode":
                return self._send(contact)
            if action == "DeleteIntlPhoneEmail":
                return self._delete(contact)
            return self._describe(contact[0], parameters.get("Limit", 20), parameters.get("Offset", 0))

    def _send(self, contact: Contact) -> dict[str, Any]:
        self._codes.append(SentCode(contact, f"{secrets.randbelow(10**6):06}", self._now()))
        return {}

    def _create(self, contact: Contact, verify_code: str) -> dict[str, Any]:
        if contact in self._verified:
            raise ApiError("InternalError.VerifiedPhoneEmailErr", "The contact has already been verified.")
        latest = next((code for code in reversed(self._codes) if code.contact == contact), None)
        if (
            latest is None
            or latest.used
            or latest.code != verify_code
            or (latest.sent_at is not None and self._now() - latest.sent_at > CODE_LIFE)
        ):  # fmt: skip
            raise ApiError("InternalError.VerifyCodeErr", "Incorrect verification code.")
        latest.used = True
        self._verified[contact] = self._now()
        return {}

    def _delete(self, contact: Contact) -> dict[str, Any]:
        if self._verified.pop(contact, None) is None:
            raise ApiError("ResourceNotFound", "The contact is not on the list.")
        return {}

    def _describe(self, contact_type: int, limit: int, offset: int) -> dict[str, Any]:
        rows = [
            {
                "Code": f"{code[:3]}****{code[-4:]}" if self.list_masked else code,
                "Type": kind,
                "CreatedOn": f"{datetime.fromtimestamp(at, self.list_zone):%Y-%m-%d %H:%M:%S}",
            }
            for (kind, code), at in sorted(self._verified.items(), key=lambda item: -item[1])
            if kind == contact_type
        ]
        return {"PhoneEmailList": rows[offset : offset + limit], "TotalCount": len(rows)}


def _check_parameters(action: str, parameters: Mapping[str, Any]) -> None:
    known = _PARAMETERS[action]
    for name in parameters:
        if name not in known:
            raise ApiError("UnknownParameter", f"The parameter {name} is not known.")
    for name, kind in known.items():
        if name not in parameters:
            if name in _OPTIONAL:
                continue
            raise ApiError("MissingParameter", f"The parameter {name} is missing.")
        if type(parameters[name]) is not kind:
            raise ApiError("InvalidParameter", f"The parameter {name} is not of the type {kind.__name__}.")
    form = _FORMS.get(parameters["Type"])
    if form is None or ("Code" in known and not form.fullmatch(parameters["Code"])):
        raise ApiError("InvalidParameterValue.InvalidParameterFormat", "Invalid parameter value.")
    if not 0 < parameters.get("Limit", 20) <= 200 or parameters.get("Offset", 0) < 0:
        raise ApiError("InvalidParameterValue", "Limit is 1 to 200, Offset 0 or more.")
