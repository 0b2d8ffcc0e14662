"""Test any order of deliveries, faults, crashes and clock changes with two instances that share a ledger."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import redis
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, initialize, rule, run_state_machine_as_test
from signup_bridge.ledger.redis.ledger import RedisLedger

from local_services.redis_server import RedisServer
from signup_emulator.api.account.domain import Contact
from signup_emulator.api.account.error_codes import ApiError
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.responses import HttpResponse
from tests.support.ledgers import SHIFTED
from tests.support.scenarios.invariants import (
    CONTACTS,
    LOST,
    NOT_PROCESSED,
    UNDER_WAY,
    Crash,
    Model,
    code_of,
)
from tests.support.scenarios.lost_replies import CREATE, DESCRIBE
from tests.support.scenarios.model_state import Clock, Sent

fault_plans = st.lists(
    st.sampled_from([Fault(name, CREATE) for name in LOST + NOT_PROCESSED] + [Fault(name, DESCRIBE) for name in LOST]),
    max_size=2,
)
crash_plans: st.SearchStrategy[Crash | None] = st.one_of(
    st.none(),
    st.none(),
    st.sampled_from([
        ("claim", "after"), ("begin_retry", "after"), ("settle", "before"), ("settle", "after"),
        ("release", "before"), ("release", "after"),
    ]),
)  # fmt: skip
instances = st.sampled_from([0, 1])
contacts = st.sampled_from(CONTACTS)
codes = st.sampled_from(["latest", "latest", "earlier", "wrong"])
lost_or_not = st.sampled_from([None, *LOST])


class Machine(Model):
    """The model with its possible events."""

    deliveries: Bundle[Sent] = Bundle("deliveries")

    @initialize(wrong_codes=st.sampled_from([0, 3]))
    def start(self, wrong_codes: int) -> None:
        self.wrong_codes = wrong_codes
        self.bridges = [self.instance(), self.instance()]
        for contact in CONTACTS:
            self.send_a_code(contact)

    @rule(contact=contacts)
    def send_a_code(self, contact: Contact) -> None:
        self.domain.perform("SendIntlPhoneEmailCode", {"Type": contact[0], "Code": contact[1]})

    @rule(target=deliveries, contact=contacts, code=codes, of=instances, faults=fault_plans, crash=crash_plans)
    def deliver(self, contact: Contact, code: str, of: int, faults: list[Fault], crash: Crash | None) -> Sent:
        return self.post(self.new_delivery(contact, code), of, faults, crash)

    @rule(target=deliveries, earlier=deliveries, of=instances, faults=fault_plans, crash=crash_plans)
    def click_again(self, earlier: Sent, of: int, faults: list[Fault], crash: Crash | None) -> Sent:
        return self.post(self.clone(earlier), of, faults, crash)

    @rule(delivery=deliveries, of=instances, faults=fault_plans, crash=crash_plans)
    def redeliver(self, delivery: Sent, of: int, faults: list[Fault], crash: Crash | None) -> None:
        self.post(delivery, of, faults, crash)

    @rule(delivery=deliveries, of=instances)
    def redeliver_in_peace(self, delivery: Sent, of: int) -> None:
        self.post(delivery, of, [], None)

    @rule(delivery=deliveries, of=instances, faults=st.lists(fault_plans, min_size=2, max_size=4))
    def insist(self, delivery: Sent, of: int, faults: list[list[Fault]]) -> None:
        """Click again; the sender retries repeatedly, alternating between the instances."""
        delivery = self.clone(delivery)
        for number, armed in enumerate(faults):
            self.post(delivery, (of + number) % 2, armed, None)

    @rule(
        contact=contacts,
        of=instances,
        several=st.lists(st.tuples(codes, lost_or_not), min_size=1, max_size=3),
        again=st.lists(st.sampled_from(["removed", "not listed", "redelivered"]), min_size=1, max_size=3),
    )
    def begin_anew_in_a_crowd(
        self, contact: Contact, of: int, several: list[tuple[str, str | None]], again: list[str]
    ) -> None:
        """Send a code to an unverified contact; several deliveries try codes almost at once, and all retry."""
        self.remove_from_the_list(contact)
        self.send_a_code(contact)
        crowd = [(self.new_delivery(contact, code), lost) for code, lost in several]
        for delivery, lost in crowd:
            self.post(delivery, of, [Fault(lost, CREATE)] if lost else [], None)
        for what in again:
            if what == "removed":
                self.remove_from_the_list(contact)
            for delivery, _ in crowd:
                self.post(delivery, 1 - of, [Fault("close", DESCRIBE)] if what == "not listed" else [], None)

    @rule(delivery=deliveries, code=codes, of=instances)
    def use_the_id_for_another_content(self, delivery: Sent, code: str, of: int) -> None:
        other = self.code(delivery.contact, code)
        if other == delivery.code or not self.is_remembered(delivery) or not (delivery.pending or delivery.settled):
            return
        before = len(self.emulator.calls)
        response = self.request(delivery, of, delivery.body_of(other))
        assert code_of(response.json) == "idempotency-key-reused"
        assert self.emulator.calls[before:] == []

    @rule(delivery=deliveries, of=instances)
    def ask(self, delivery: Sent, of: int) -> None:
        self.look(delivery, of)

    @rule(
        target=deliveries,
        delivery=deliveries,
        then=st.sampled_from(["same", "again", "other"]),
        code=codes,
        of=instances,
        seconds=st.sampled_from([0, 3, 10, 130, 3700]),
        processed_first=st.booleans(),
        faults=fault_plans,
    )
    def freeze_in_a_call(
        self,
        *,
        delivery: Sent,
        then: str,
        code: str,
        of: int,
        seconds: float,
        processed_first: bool,
        faults: list[Fault],
    ) -> Sent:
        """Let time pass during a call of one instance, while the other instance receives a delivery."""
        delivery = self.clone(delivery)
        other = {
            "same": lambda: delivery,
            "again": lambda: self.clone(delivery),
            "other": lambda: self.new_delivery(delivery.contact, code),
        }[then]()
        within: list[tuple[HttpResponse, int, int]] = []
        begun, over = threading.Event(), threading.Event()

        def meanwhile() -> None:
            begun.set()
            time.sleep(UNDER_WAY)
            self.clock.leap(seconds)
            before = len(self.emulator.calls)
            try:
                response = self.request(other, 1 - of)
                within.append((response, before, len(self.emulator.calls)))
            finally:
                over.set()

        before = len(self.emulator.calls)
        self.domain.meanwhile, self.domain.processed_first = meanwhile, processed_first
        with self.armed(faults):
            response = self.request(delivery, of)
        self.domain.meanwhile = None
        if not begun.is_set():
            self.check_response(delivery, response, self.emulator.calls[before:])
            self.look(delivery, of)
            return delivery
        assert over.wait(20)
        (inner, start, end) = within[0]
        self.wait_until(lambda: any(one.action == CREATE for one in self.emulator.calls[end:]))
        calls = self.emulator.calls[before:]
        # The sender has disconnected by then.
        self.left(delivery)
        if inner.status == 200:
            assert other.content in self.domain.accepted
        self.check_response(other, inner, self.emulator.calls[start:end])
        assert response.status != 200 or delivery.content in self.domain.accepted
        self.count(delivery, calls[: start - before] + calls[end - before :])
        for one in (delivery, other):
            self.look(one, of)
        return other

    @rule(seconds=st.sampled_from([1, 10, 30, 130, 700, 3700, 15_000]))
    def wait(self, seconds: float) -> None:
        self.clock.leap(seconds)

    @rule(seconds=st.sampled_from([1, 5, 40]))
    def set_the_clock_back(self, seconds: float) -> None:
        self.clock.leap(-seconds)

    @rule(contact=contacts)
    def remove_from_the_list(self, contact: Contact) -> None:
        with suppress(ApiError):  # the contact need not be on the list
            self.domain.perform("DeleteIntlPhoneEmail", {"Type": contact[0], "Code": contact[1]})


@pytest.fixture
def redis_client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    with redis_server.client as client:
        yield client


@pytest.fixture(params=["sqlite", "redis"])
def machine(
    request: pytest.FixtureRequest, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> type[Machine]:
    class OnSqlite(Machine):
        def __init__(self) -> None:
            url = f"sqlite:///{tmp_path}/{uuid.uuid4().hex}.db"
            super().__init__(emulator, Clock(lambda _: None), url)

    if request.param == "sqlite":
        return OnSqlite

    server: RedisServer = request.getfixturevalue("redis_server")
    client: redis.Redis = request.getfixturevalue("redis_client")
    monkeypatch.setattr("signup_bridge.ledger.redis.ledger.RedisLedger", partial(RedisLedger, time=SHIFTED))

    class OnRedis(Machine):
        def __init__(self) -> None:
            client.flushall()
            super().__init__(emulator, Clock(lambda shift: client.set("shift", shift)), server.url)

    return OnRedis


@pytest.mark.timeout(900)  # it runs many examples
@pytest.mark.parametrize("lives", [12, pytest.param(80, marks=pytest.mark.toolchain)])
def test_invariants_hold_for_any_order_of_events(machine: type[Machine], lives: int) -> None:
    # Failures are not shrunk, because that takes minutes.
    told_at_once = [Phase.explicit, Phase.reuse, Phase.generate]
    drawn = settings(max_examples=lives, stateful_step_count=25, phases=told_at_once)
    # The function has types since a release that requires Python 3.11.
    run_state_machine_as_test(machine, settings=drawn)  # type: ignore[no-untyped-call, unused-ignore]
