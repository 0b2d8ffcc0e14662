"""The state of the model that system/test_state_machine.py runs: its clock, its account and its deliveries."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from signup_emulator.api.account.domain import Contact, Domain
from tests.support.bridge.clocks import SetClock
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import body
from tests.support.scenarios.lost_replies import CREATE

WORDS = {1: "phone", 2: "email"}


class Clock(SetClock):
    """A clock that sleeps advance immediately, together with the ledger's own clock."""

    def __init__(self, shift: Callable[[float], object]) -> None:
        super().__init__()
        self._shift = shift

    def leap(self, seconds: float) -> None:
        self.wall += seconds
        self.run += max(0.0, seconds)
        self._shift(self.wall)

    def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.leap(seconds)


class WatchedDomain(Domain):
    """An emulated account that records what it accepts. It calls ``meanwhile`` while it processes a Create call."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(now, rate=0)
        self.accepted: set[tuple[Contact, str]] = set()
        self.meanwhile: Callable[[], None] | None = None
        self.processed_first = False

    def perform(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if action != CREATE:
            return super().perform(action, parameters)
        if not self.processed_first:
            self._let_happen()
        try:
            response = super().perform(action, parameters)
            self.accepted.add(((parameters["Type"], parameters["Code"]), parameters["VerifyCode"]))
        finally:
            self._let_happen()
        return response

    def _let_happen(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()


@dataclass(eq=False)
class Sent:
    """A delivery, and what the model knows about it since it can last have expired.

    ``calls`` is the number of calls that the API may have processed. ``open`` counts those since the last definitive
    outcome of its content, and ``decided`` those whose result reached an instance that stored it.
    ``accepted``: the API accepted an open call. ``pending``: the outcome is unknown.
    ``settled``: the ledger has a definitive result. ``final_response``: the definitive response that arrived.
    """

    contact: Contact
    code: str
    id: str = field(default_factory=lambda: f"msg_{uuid.uuid4().hex}")
    until: float = 0.0
    calls: int = 0
    open: int = 0
    decided: int = 0
    accepted: bool = False
    pending: bool = False
    settled: bool = False
    final_response: HttpResponse | None = None

    @property
    def content(self) -> tuple[Contact, str]:
        return self.contact, self.code

    @property
    def body(self) -> bytes:
        return self.body_of(self.code)

    def body_of(self, code: str) -> bytes:
        return body(type=WORDS[self.contact[0]], contact=self.contact[1], verify_code=code)

    def reset(self) -> None:
        self.calls = self.open = self.decided = 0
        self.accepted = self.pending = self.settled = False
        self.final_response = None
