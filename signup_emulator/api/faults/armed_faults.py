"""Arm faults for the next calls: an API error code, or a wire fault that damages the reply."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

from signup_emulator.api.account.domain import ACTIONS

from .wire_faults import WIRE_FAULTS

_API_CODE = re.compile(r"[A-Z][A-Za-z0-9]+(\.[A-Za-z0-9_]+)*")
"""The format of an error code. Codes of some products have digits, underscores or a lower-case sub-code."""


@dataclass
class Fault:
    """A fault for the next ``times`` calls of an action with a contact; None matches any."""

    fault: str
    action: str | None = None
    contact: str | None = None
    times: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or not self._is_known():
            raise ValueError(f"fault: must be an API error code or one of {', '.join(WIRE_FAULTS)}")
        if self.action is not None and self.action not in ACTIONS:
            raise ValueError(f"action: must be one of {', '.join(ACTIONS)}, or absent")
        if self.contact is not None and not isinstance(self.contact, str):
            raise ValueError("contact: must be a string or absent")
        if type(self.times) is not int or self.times < 1:
            raise ValueError("times: must be a whole number from 1")

    def _is_known(self) -> bool:
        """Return whether it is a wire fault or a well-formed API error code, not a misspelt wire fault."""
        return self.fault in WIRE_FAULTS or (
            self.fault.lower() not in WIRE_FAULTS and _API_CODE.fullmatch(self.fault) is not None
        )


class Faults:
    """The armed faults, used in the order in which they were armed. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(fault)

    def armed(self) -> list[dict[str, Any]]:
        """Return the armed faults in their order, as JSON values."""
        with self._lock:
            return [asdict(fault) for fault in self._armed]

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def take(self, action: str, contact: str | None) -> str | None:
        """Return the fault for this call and count its use, None if there is none."""
        with self._lock:
            for fault in self._armed:
                if fault.action in (None, action) and fault.contact in (None, contact):
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                    return fault.fault
            return None


def parse_fault(document: Any) -> Fault:
    """Parse a fault from a JSON document. Raises ValueError, which names the member."""
    names = [field.name for field in fields(Fault)]
    if not isinstance(document, dict) or "fault" not in document or not set(document) <= set(names):
        raise ValueError(f"must be an object with the member fault and, optionally, {', '.join(names[1:])}")
    return Fault(**document)
