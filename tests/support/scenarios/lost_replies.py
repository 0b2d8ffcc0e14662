"""Test bridges against an account that loses replies, with one clock for both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed

CREATE = "CreateIntlPhoneEmail"
DESCRIBE = "DescribeIntlPhoneEmailList"
WRONG = "000000"


@dataclass
class World:
    """An account, a bridge, and one clock for both."""

    emulator: Emulator
    clock: SetClock
    ledger: str
    bridge: Bridge

    def wait(self, seconds: float) -> None:
        self.clock.wall += seconds

    def lose(self, fault: str = "close", action: str = CREATE) -> None:
        """Lose the reply to the next call, which the API processes by default."""
        self.emulator.faults.arm(Fault(fault, action))

    def deliver(self, delivery_id: str, code: str = CODE, contact: str = PHONE, **members: Any) -> HttpResponse:
        data = body(contact=contact, verify_code=code, **members)
        return self.bridge.post(data, signed(data, delivery_id=delivery_id, at=self.clock.time()))

    def seen(self) -> str:
        """Return the API's calls since the last time, each as the action's first letter and the result."""
        of = "".join(
            f" {call.action[0]}:{call.fault or call.result.rpartition('.')[2]}" for call in self.emulator.calls
        ).strip()
        self.emulator.calls.clear()
        return of


def worlds(emulator: Emulator, tmp_path: Path) -> Callable[..., World]:
    """Return a function that creates worlds with a shared account, ledger and clock."""
    clock = SetClock()
    emulator.domain.now = clock.time
    ledger = f"sqlite:///{tmp_path}/ledger.db"

    def world(**changed: Any) -> World:
        changed = {"LEDGER_URL": ledger, "MAX_WRONG_CODES": 0} | changed
        return World(emulator, clock, ledger, bridge(emulator.url, clock, **changed))

    return world


def describe_with(world: World, list_contacts: Callable[..., dict[str, Any]]) -> None:
    """Let a function return the contact list, given type, limit and offset."""
    perform = world.emulator.domain.perform

    def replaced(action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if action == DESCRIBE:
            return list_contacts(parameters["Type"], parameters.get("Limit", 20), parameters.get("Offset", 0))
        return perform(action, parameters)

    world.emulator.domain.perform = replaced  # type: ignore[method-assign]


def listed_rows(world: World, kind: int = 1) -> list[dict[str, Any]]:
    """Return all rows of the account's list."""
    rows: list[dict[str, Any]] = []
    while True:
        parameters = {"Type": kind, "Limit": 200, "Offset": len(rows)}
        page = world.emulator.domain.perform(DESCRIBE, parameters)["PhoneEmailList"]
        if not page:
            return rows
        rows += page


def verified(response: HttpResponse, *, resolved: bool = True) -> bool:
    return response.status == 200 and response.json.get("resolved") == (resolved or None)
