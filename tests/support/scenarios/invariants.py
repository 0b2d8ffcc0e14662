"""Check the invariants of the bridge with a model that system/test_state_machine.py runs.

The model records the API's calls and results, and the responses to the sender. It does not emulate the bridge but
checks its invariants. It makes no assumption about records that may have expired.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal
from unittest.mock import patch

from hypothesis.stateful import RuleBasedStateMachine
from signup_bridge.core import outcomes
from signup_bridge.ledger import Acquired

from signup_emulator.api.account.domain import Contact
from signup_emulator.api.calls import Call
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import signed
from tests.support.ledgers import KEY
from tests.support.scenarios.lost_replies import CREATE, DESCRIBE
from tests.support.scenarios.model_state import Clock, Sent, WatchedDomain

CONTACTS: tuple[Contact, ...] = ((1, "18766554433"), (2, "jo@example.com"))
BUDGET = 4
TTL = 14_400
MARGIN = 60.0
"""Seconds before its expiry in which a delivery need not be stored."""

UNDER_WAY = 0.01
"""Seconds of real time until a caller waits for its reply. If the clock leaps earlier, the caller gives up at once."""

DEFINITIVE = {one.code for one in outcomes.OUTCOMES if one.stored == "definitive"}
UNKNOWN = {one.code for one in outcomes.OUTCOMES if one.stored == "unknown"}
SAID = ("OK", "InternalError.VerifyCodeErr", "InternalError.VerifiedPhoneEmailErr")
"""The API's results after it has checked the code."""

NOT_PROCESSED = ("RequestLimitExceeded", "LimitExceeded.RequestLimit", "AuthFailure.SignatureFailure")
LOST = ("close", "truncate", "unprocessed", "http-502", "InternalError.AddPhoneEmailErr")
Crash = tuple[Literal["claim", "begin_retry", "settle", "release"], Literal["before", "after"]]


class Died(BaseException):
    """The crash of an instance, which no code of the instance may catch."""


def code_of(document: Any) -> str:
    return str(document["code"])


class Model(RuleBasedStateMachine):
    """Two instances with a shared, empty ledger at ``url``, and their invariants."""

    wrong_codes: int

    def __init__(self, emulator: Emulator, clock: Clock, url: str) -> None:
        super().__init__()
        self.emulator, self.clock, self.url = emulator, clock, url
        self.emulator.reset()
        self.domain = self.emulator.domain = WatchedDomain(self.clock.time)
        self.sent: list[Sent] = []
        self.bridges: list[Bridge] = []

    def teardown(self) -> None:
        for one in self.bridges:
            one.app.extensions["ledger"].close()

    def instance(self) -> Bridge:
        return bridge(
            self.emulator.url, self.clock, LEDGER_URL=self.url, LEDGER_KEY=KEY.decode(), LEDGER_TTL=TTL,
            REQUEST_BUDGET=BUDGET, MAX_WRONG_CODES=self.wrong_codes,
        )  # fmt: skip

    # -- actions --

    def code(self, contact: Contact, which: str) -> str:
        sent = [one.code for one in self.domain.sent_codes() if one.contact == contact]
        if which == "wrong":
            return "wrong"
        return sent[0] if which == "latest" else sent[-1]

    def new_delivery(self, contact: Contact, code: str) -> Sent:
        self.sent.append(Sent(contact, self.code(contact, code)))
        return self.sent[-1]

    def clone(self, earlier: Sent) -> Sent:
        self.sent.append(Sent(earlier.contact, earlier.code))
        return self.sent[-1]

    def request(self, delivery: Sent, of: int, data: bytes | None = None) -> HttpResponse:
        data = delivery.body if data is None else data
        return self.bridges[of].post(data, signed(data, delivery_id=delivery.id, at=self.clock.time()))

    @contextmanager
    def armed(self, faults: list[Fault]) -> Iterator[None]:
        for one in faults:
            self.emulator.faults.arm(Fault(one.fault, one.action))
        try:
            yield
        finally:
            self.emulator.faults.clear()

    def post(self, delivery: Sent, of: int, faults: list[Fault], crash: Crash | None) -> Sent:
        before = len(self.emulator.calls)
        with self.armed(faults), ExitStack() as doomed:
            if crash is not None:
                doomed.enter_context(self.dying(of, crash))
            try:
                response = self.request(delivery, of)
            except Died:
                self.bridges[of].app.extensions["ledger"].close()
                self.bridges[of] = self.instance()
                if crash != ("release", "after"):
                    self.left(delivery)
                self.count(delivery, self.emulator.calls[before:])
            else:
                self.check_response(delivery, response, self.emulator.calls[before:])
        self.look(delivery, 1 - of)
        return delivery

    @contextmanager
    def dying(self, of: int, crash: Crash) -> Iterator[None]:
        verb, when = crash
        ledger = self.bridges[of].app.extensions["ledger"]
        alive = getattr(ledger, verb)

        def die(*args: Any, **named: Any) -> Any:
            if when == "before":
                raise Died
            result = alive(*args, **named)
            if verb != "claim" or isinstance(result, Acquired):
                raise Died
            return result

        with patch.object(ledger, verb, die):
            yield

    @staticmethod
    def wait_until(holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.001)

    # -- invariants --

    def is_remembered(self, delivery: Sent) -> bool:
        return self.clock.time() < delivery.until - MARGIN

    def left(self, delivery: Sent) -> None:
        """Mark a delivery as claimed without a response."""
        if not self.is_remembered(delivery):
            delivery.reset()
        delivery.pending = True
        delivery.until = self.clock.time() + TTL

    def count(self, delivery: Sent, calls: list[Call]) -> int:
        """Record calls, and return how many of them the API decided.

        The API may process at most two calls of a delivery, and of a content before its definitive outcome.
        """
        creates = [one for one in calls if one.action == CREATE and one.result not in NOT_PROCESSED]
        delivery.calls += len(creates)
        delivery.open += len(creates)
        delivery.accepted = delivery.accepted or any(one.result == "OK" for one in creates)
        assert delivery.calls <= 2
        assert sum(one.open for one in self.alike(delivery)) <= 2
        return sum(one.fault is None and one.result in SAID for one in creates)

    def alike(self, delivery: Sent) -> list[Sent]:
        """Return the deliveries with the same content, itself included, that must be stored."""
        return [
            one for one in self.sent if one.content == delivery.content and (one is delivery or self.is_remembered(one))
        ]

    def check_response(self, delivery: Sent, response: HttpResponse, calls: list[Call]) -> None:
        """Check a response to the sender."""
        code = code_of(response.json)
        replayed = response.headers.get("idempotent-replayed") == "true"
        if not self.is_remembered(delivery):
            delivery.reset()
        if delivery.settled:
            assert replayed
        if delivery.final_response is not None:
            assert (response.status, response.body) == (delivery.final_response.status, delivery.final_response.body)
        if replayed:
            assert calls == []
        if any(one.pending for one in self.alike(delivery)):
            assert not calls or calls[0].action == DESCRIBE, "an unknown outcome must be reconciled before another call"
        if response.status == 200:
            assert delivery.content in self.domain.accepted, "verified although the API never accepted the code"

        delivery.decided += self.count(delivery, calls)
        assert delivery.decided <= 1
        if code in ("code-incorrect", "already-verified"):
            assert not any(one.accepted for one in self.alike(delivery)), "rejected although the API accepted the code"
        if code in DEFINITIVE:
            delivery.final_response = response
            self.end(delivery)
        else:
            assert code in UNKNOWN or not [one for one in calls if one.action == CREATE and one.fault is None]
            delivery.pending = delivery.pending or code in UNKNOWN
        if not replayed:
            delivery.until = self.clock.time() + TTL

    def end(self, delivery: Sent) -> None:
        """Mark a delivery as definitive, and with it all unknown outcomes of its content."""
        delivery.settled = True
        for one in self.sent:
            if one.content == delivery.content:
                one.pending, one.accepted, one.open = False, False, 0

    def look(self, delivery: Sent, of: int) -> None:
        """Check that the ledger has at least the outcome that the sender received."""
        before = len(self.emulator.calls)
        response = self.bridges[of].client.get(f"/deliveries/{delivery.id}", headers=signed(b"", at=self.clock.time()))
        code = code_of(json.loads(response.data))
        assert self.emulator.calls[before:] == []
        if not self.is_remembered(delivery):
            return
        if delivery.final_response is not None:
            assert (response.status_code, code) == (
                delivery.final_response.status,
                code_of(delivery.final_response.json),
            )
        elif delivery.settled:
            assert code in DEFINITIVE
        elif delivery.pending:
            assert code in DEFINITIVE | {"outcome-unknown", "in-progress"}, "an unknown outcome must remain stored"
        if code in DEFINITIVE:
            self.end(delivery)
