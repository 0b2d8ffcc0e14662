"""Test that no call starts that probably cannot end in time, because its outcome would be unknown."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from signup_bridge.core.actions import CREATE, DELETE, DESCRIBE, SEND
from signup_bridge.core.clock import Deadline
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery, IdempotencyKey
from signup_bridge.upstream.latency import RecentLatency

from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.signed_requests import PHONE, body, signed
from tests.support.network.queued_connection import QueuedConnection
from tests.support.network.upstream import SUCCESS, Upstream, reply

ERROR = {"Response": {"Error": {"Code": "InternalError", "Message": ""}, "RequestId": "r-1"}}


class SlowApi(Upstream):
    """An API whose calls take ``seconds`` of the bridge's clock by action, and no real time."""

    def __init__(self, clock: SetClock) -> None:
        super().__init__(self._reply)
        self.clock = clock
        self.seconds: dict[str, float] = {}
        self.replies: dict[str, Any] = {}

    def _reply(self, connection: socket.socket) -> None:
        action = self.actions()[-1]
        self.clock.run += self.seconds.get(action, 0.0)
        connection.sendall(reply(self.replies.get(action, SUCCESS)))

    def actions(self) -> list[str]:
        return [re.search(rb"X-TC-Action: (\w+)", one, re.IGNORECASE)[1].decode() for one in self.requests]  # type: ignore[index]


@pytest.fixture
def api() -> Iterator[SlowApi]:
    api = SlowApi(SetClock())
    with api:
        yield api


def deliver(to: Bridge, name: str, *, age: float = 0.0, path: str = "/webhooks/signup", **members: Any) -> Any:
    """Return status and document of a delivery that waited in the server's queue for ``age`` seconds."""
    data = body(**members)
    response = to.client.post(
        path,
        data=data,
        headers=signed(data, delivery_id=name),
        environ_overrides={"gunicorn.socket": QueuedConnection(age)},
    )
    return response.status_code, response.get_json()


def test_recent_latency_is_95th_percentile_of_last_minute() -> None:
    clock = SetClock()
    latency = RecentLatency(clock)
    assert latency.p95() == 0.0
    clock.run += 1
    for seconds in range(1, 101):
        latency.add(float(seconds))
    assert latency.p95() == 95.0
    latency.add(1000.0)
    assert latency.p95() == 95.0, "the percentile is calculated once a second"
    clock.run += 30
    for _ in range(9):
        latency.add(1000.0)
    assert latency.p95() == 1000.0
    clock.wall += 31
    assert latency.p95() == 1000.0, "the earlier calls are too old"
    clock.wall += 60
    assert latency.p95() == 0.0


@pytest.mark.parametrize(("action", "path"), [(CREATE, "/webhooks/signup"), (SEND, "/webhooks/code")])
def test_call_with_less_time_than_recent_latency_is_not_started(api: SlowApi, action: str, path: str) -> None:
    to = bridge(api.url, api.clock, SEND_CODES="true", SEND_INTERVAL=0)
    code: dict[str, Any] = {"verify_code": None} if action == SEND else {}
    api.seconds[action] = 3.0
    done = 202 if action == SEND else 200
    assert deliver(to, "first", path=path, **code)[0] == done
    api.clock.run += 1
    status, document = deliver(to, "late", age=5.9, path=path, **code)
    assert (status, document["code"], document["retryable"]) == (409, "in-progress", True)
    assert api.actions() == [action]
    assert deliver(to, "late", path=path, **code)[0] == done, "the late delivery must not be stored"
    assert api.actions() == [action] * 2


def test_call_with_half_of_budget_left_is_always_started(api: SlowApi) -> None:
    to = bridge(api.url, api.clock)
    api.seconds[CREATE] = 7.0
    assert deliver(to, "first")[0] == 200
    api.clock.run += 1
    api.seconds[CREATE] = 0.0
    assert deliver(to, "late", age=4.1)[1]["code"] == "in-progress"
    assert deliver(to, "in-time", age=3.5)[0] == 200


def test_slow_calls_count_for_one_minute(api: SlowApi) -> None:
    to = bridge(api.url, api.clock)
    api.seconds[CREATE] = 3.0
    deliver(to, "first")
    api.clock.run += 61
    api.seconds[CREATE] = 0.0
    assert deliver(to, "second", age=5.9)[0] == 200


def test_reconciliation_with_too_little_time_calls_nothing(api: SlowApi) -> None:
    to = bridge(api.url, api.clock)
    api.replies = {CREATE: ERROR, DESCRIBE: ERROR}
    api.seconds[DESCRIBE] = 3.0
    assert deliver(to, "lost")[0] == 502
    assert deliver(to, "lost")[0] == 504
    api.clock.run += 1
    assert api.actions() == [CREATE, DESCRIBE]
    assert deliver(to, "lost", age=5.9)[1]["code"] == "outcome-unknown"
    assert api.actions() == [CREATE, DESCRIBE]
    assert deliver(to, "lost")[0] == 504
    assert api.actions() == [CREATE, DESCRIBE, DESCRIBE]


def test_second_call_of_unknown_outcome_is_not_started_late(api: SlowApi) -> None:
    to = bridge(api.url, api.clock, RESOLVE_UNKNOWN="never")
    api.replies = {CREATE: ERROR}
    api.seconds[CREATE] = 3.0
    assert deliver(to, "lost")[0] == 502
    api.clock.run += 1
    assert deliver(to, "lost", age=5.9)[1]["code"] == "outcome-unknown"
    assert api.actions() == [CREATE]
    api.replies = {}
    assert deliver(to, "lost")[0] == 200
    assert api.actions() == [CREATE, CREATE]


def test_pending_release_with_too_little_time_calls_nothing(api: SlowApi) -> None:
    to = bridge(api.url, api.clock, AFTER_VERIFIED="release")
    api.replies = {DELETE: ERROR}
    api.seconds[DELETE] = 3.0
    assert deliver(to, "first")[0] == 200
    api.clock.run += 5  # the contact's lock has expired
    assert deliver(to, "second", age=5.9, verify_code="654321")[1]["code"] == "in-progress"
    assert api.actions() == [CREATE, DELETE]


def test_call_after_slow_release_is_not_started(api: SlowApi) -> None:
    to = bridge(api.url, api.clock, AFTER_VERIFIED="release")
    api.replies = {DELETE: ERROR}
    assert deliver(to, "first")[0] == 200
    api.clock.run += 5
    api.replies, api.seconds[DELETE] = {}, 7.0
    assert deliver(to, "second", verify_code="654321")[1]["code"] == "in-progress"
    assert api.actions() == [CREATE, DELETE, DELETE]


class FreezingClock(StillClock):
    """A clock that freezes in each sleep, as an instance can, until 0.5 s of 8 s are left."""

    frozen = False

    def sleep(self, seconds: float) -> None:
        self.run += 7.5 if self.frozen else seconds


def test_reconciliation_frozen_before_its_call_calls_nothing() -> None:
    clock = FreezingClock()
    api = SlowApi(clock)
    with api:
        to = bridge(api.url, clock, DOMAIN_API_RATE=0.5)
        api.replies = {CREATE: ERROR, DESCRIBE: ERROR}
        assert deliver(to, "lost")[0] == 502
        assert deliver(to, "lost")[0] == 504
        clock.frozen = True  # the next slot is in 2 s
        assert deliver(to, "lost")[1]["code"] == "outcome-unknown"
        assert api.actions() == [CREATE, DESCRIBE]


def test_pending_release_frozen_before_its_call_calls_nothing() -> None:
    clock = FreezingClock()
    api = SlowApi(clock)
    with api:
        to = bridge(api.url, clock, AFTER_VERIFIED="release", DOMAIN_API_RATE=0.15)
        api.replies = {DELETE: ERROR}
        assert deliver(to, "first")[0] == 200
        clock.wall += 5  # the contact's lock has expired, and the next slot is in 2 s
        clock.frozen = True
        assert deliver(to, "second", verify_code="654321")[1]["code"] == "in-progress"
        assert api.actions() == [CREATE, DELETE]


def test_delivery_that_waited_too_long_for_contact_calls_nothing(emulator: Emulator) -> None:
    """Another delivery of the contact ends when 0.3 s of 8 s are left."""

    class WaitingClock(SetClock):
        def sleep(self, seconds: float) -> None:
            self.run += seconds
            if self.run > 7.7:
                ledger.release(keys, "token", deadline=Deadline(self, 5))

    clock = WaitingClock()
    to = bridge(emulator.url, clock)
    ledger = to.app.extensions["ledger"]
    other = Delivery(Contact(ContactType.PHONE, PHONE), "999999", IdempotencyKey("direct", "other"))
    keys = ledger.hasher().keys(other)
    ledger.claim(keys, "token", lease=60, max_wait=1, deadline=Deadline(clock, 5))
    assert deliver(to, "late")[1]["code"] == "in-progress"
    assert emulator.calls == []
    assert deliver(to, "late")[0] == 200
