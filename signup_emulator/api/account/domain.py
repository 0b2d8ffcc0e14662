"""Perform the actions of the Domain API on an account's state: its sent codes and verified contacts."""

from __future__ import annotations

import re
import secrets
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta, timezone
from typing import Any

from .behaviour import RATE, Behaviour
from .error_codes import ApiError

_PHONES = {
    "any": re.compile(r"\+?[0-9.() -]{5,40}"),
    "digits": re.compile(r"[0-9]{5,20}"),
    "dotted": re.compile(r"\+[0-9]{1,4}\.[0-9]{4,20}"),
}
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
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
    """A code for a contact. ``sent_at`` is a Unix time; None for the reference's example, which does not expire."""

    contact: Contact
    code: str
    sent_at: float | None
    used: bool = False


class Domain:
    """The state of one emulated account, with a `Behaviour`. Thread-safe."""

    def __init__(self, now: Callable[[], float], *, rate: int = RATE) -> None:
        self.now = now
        self._lock = threading.Lock()
        self._behaviour = self._initial_behaviour = Behaviour(rate=rate)
        self.reset()

    @property
    def behaviour(self) -> Behaviour:
        """The current behaviour."""
        with self._lock:
            return self._behaviour

    def change(self, values: Any) -> Behaviour:
        """Change some values of the `Behaviour`. Raises ValueError without changing anything."""
        with self._lock:
            self._behaviour = self._behaviour.change(values)
            return self._behaviour

    def reset(self) -> None:
        """Delete codes and verified contacts, and restore the behaviour. The reference's example works once."""
        with self._lock:
            self._behaviour = self._initial_behaviour
            self._codes: list[SentCode] = [SentCode((1, "18766554433"), "123456", sent_at=None)]
            self._verified: dict[Contact, float] = {}
            self._calls: dict[str, deque[float]] = {action: deque() for action in _PARAMETERS}

    def snapshot(self) -> dict[str, Any]:
        """Return the codes and verified contacts as JSON values."""
        with self._lock:
            return {
                "codes": [asdict(code) for code in self._codes],
                "verified": [[*contact, at] for contact, at in self._verified.items()],
            }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore a `snapshot`. Raises KeyError, TypeError or ValueError if it is not one."""
        codes = [SentCode(**{**code, "contact": tuple(code["contact"])}) for code in snapshot["codes"]]
        verified = {(kind, code): at for kind, code, at in snapshot["verified"]}
        with self._lock:
            self._codes, self._verified = codes, verified

    def all_codes(self) -> list[SentCode]:
        """Return a copy of all codes, oldest first."""
        with self._lock:
            return [replace(code) for code in self._codes]

    def verified(self) -> dict[Contact, float]:
        """Return the contacts on the list, with the Unix time of their verification."""
        with self._lock:
            return dict(self._verified)

    def sent_codes(self) -> list[SentCode]:
        """Return the codes that were sent, newest first."""
        with self._lock:
            return [code for code in reversed(self._codes) if code.sent_at is not None]

    def check_action(self, action: str, version: str) -> None:
        """Check the action and the version. Raises ApiError."""
        if not action or not version:
            raise ApiError("MissingParameter", "The X-TC-Action or X-TC-Version header is missing.")
        if version != "2018-08-08":
            raise ApiError("NoSuchVersion", "The version does not exist.")
        if action not in _PARAMETERS:
            raise ApiError("InvalidAction", "The action does not exist.")

    def check_rate(self, action: str) -> None:
        """Count a request of the action. Raises ApiError if the rate exceeds the limit."""
        with self._lock:
            recent, now = self._calls[action], self.now()
            while recent and recent[0] <= now - 1:
                recent.popleft()
            rate = self._behaviour.rate
            if rate and len(recent) >= rate:
                raise ApiError("RequestLimitExceeded", f"The limit is {rate} requests per second.")
            recent.append(now)

    def check_parameters(self, action: str, parameters: Mapping[str, Any]) -> None:
        """Check the parameters of the action. Raises ApiError."""
        _check_parameters(action, parameters, _PHONES[self.behaviour.phone_form])

    def perform(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Perform the action and return ``Response`` without its request id. Raises ApiError."""
        self.check_parameters(action, parameters)
        contact = (parameters["Type"], parameters.get("Code", ""))
        with self._lock:
            if action == "CreateIntlPhoneEmail":
                return self._create(contact, parameters["VerifyCode"])
            if action == "SendIntlPhoneEmailCode":
                return self._send(contact)
            if action == "DeleteIntlPhoneEmail":
                return self._delete(contact)
            return self._describe(contact[0], parameters.get("Limit", 20), parameters.get("Offset", 0))

    def accept(self, contact: Contact, *, at: float | None = None) -> None:
        """Add a contact to the list. ``at`` is the Unix time of its verification, by default now."""
        with self._lock:
            self._verified[contact] = self.now() if at is None else at

    def _send(self, contact: Contact) -> dict[str, Any]:
        interval, now = self._behaviour.resend_interval, self.now()
        last = next((one.sent_at for one in reversed(self._codes) if one.contact == contact), None)
        if last is not None and 0 <= now - last < interval:  # a clock that was set back must not block sending
            raise ApiError("FailedOperation.SendVerifyCodeIsLimited", f"The limit is one code in {interval} seconds.")
        self._codes.append(SentCode(contact, f"{secrets.randbelow(10**6):06}", now))
        return {}

    def _create(self, contact: Contact, verify_code: str) -> dict[str, Any]:
        verified, good = contact in self._verified, self._find_valid_code(contact, verify_code)
        if verified and (good or self._behaviour.check_first == "verified"):
            raise ApiError("InternalError.VerifiedPhoneEmailErr", "The contact has already been verified.")
        if good is None:
            raise ApiError("InternalError.VerifyCodeErr", "Incorrect verification code.")
        good.used = True
        self._verified[contact] = self.now()
        return {}

    def _find_valid_code(self, contact: Contact, verify_code: str) -> SentCode | None:
        """Return the contact's code that equals ``verify_code`` and is valid, None if there is none."""
        behaviour, now = self._behaviour, self.now()
        sent = [one for one in reversed(self._codes) if one.contact == contact]
        for one in sent if behaviour.replaced_code_good else sent[:1]:
            young = one.sent_at is None or now - one.sent_at <= behaviour.code_life
            if one.code == verify_code and young and (behaviour.used_code_good or not one.used):
                return one
        return None

    def _delete(self, contact: Contact) -> dict[str, Any]:
        if self._verified.pop(contact, None) is None:
            raise ApiError("ResourceNotFound", "The contact is not on the list.")
        return {}

    def _describe(self, contact_type: int, limit: int, offset: int) -> dict[str, Any]:
        behaviour = self._behaviour
        zone, newest_first = timezone(timedelta(hours=behaviour.list_zone)), behaviour.list_order == "newest-first"
        rows = [
            {
                "Code": f"{code[:3]}****{code[-4:]}" if behaviour.list_masked else code,
                "Type": kind,
                "CreatedOn": f"{datetime.fromtimestamp(at, zone):%Y-%m-%d %H:%M:%S}",
            }
            for (kind, code), at in sorted(self._verified.items(), key=lambda item: item[1], reverse=newest_first)
            if kind == contact_type
        ]
        page = offset - 1 if behaviour.list_offset == "pages-from-1" else offset
        first = offset if behaviour.list_offset == "rows" else max(0, page) * limit
        return {"PhoneEmailList": rows[first : first + limit], "TotalCount": len(rows)}


def _check_parameters(action: str, parameters: Mapping[str, Any], phone: re.Pattern[str]) -> None:
    known = _PARAMETERS[action]
    for name in parameters:
        if name not in known:
            raise ApiError("UnknownParameter", f"The parameter {name} is not supported.")
    for name, kind in known.items():
        if name not in parameters:
            if name in _OPTIONAL:
                continue
            raise ApiError("MissingParameter", f"The parameter {name} is missing.")
        if type(parameters[name]) is not kind:
            raise ApiError("InvalidParameter", f"The parameter {name} must have the type {kind.__name__}.")
    form = {1: phone, 2: _EMAIL}.get(parameters["Type"])
    if form is None or ("Code" in known and not form.fullmatch(parameters["Code"])):
        raise ApiError("InvalidParameterValue.InvalidParameterFormat", "Invalid parameter value.")
    if not 0 < parameters.get("Limit", 20) <= 200 or parameters.get("Offset", 0) < 0:
        raise ApiError("InvalidParameterValue", "Limit must be from 1 to 200, and Offset 0 or more.")
