"""Test that the send limits hold for SMS pumping and for a thousand concurrent code requests."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from signup_bridge.core.actions import SEND

from local_services.redis_server import RedisServer
from signup_emulator.server import Emulator
from tests.support.bridge.instances import bridge, gunicorn, post
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import PHONE
from tests.support.log_lines import lines_of
from tests.system.test_concurrent_senders import SHARED_KEY, Senders, Sent


def wanted(contact: str) -> bytes:
    return json.dumps({"type": "phone", "contact": contact}).encode()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [100, pytest.param(1000, marks=pytest.mark.toolchain)])
@pytest.mark.parametrize("shared", [True, False], ids=["two instances on a Redis", "one instance on SQLite"])
def test_thousand_concurrent_requests_for_one_contact_send_one_message(
    redis_server: RedisServer, tmp_path: Path, shared: bool, count: int
) -> None:
    redis_settings = {"LEDGER_URL": redis_server.url, "LEDGER_KEY": SHARED_KEY} if shared else {}
    with Emulator(rate=0) as emulator, ExitStack() as running:
        urls = [
            running.enter_context(gunicorn(emulator.url, tmp_path / str(number), SEND_CODES="true", **redis_settings))
            for number in range(2 if shared else 1)
        ]
        senders = Senders(urls, [], path="/webhooks/code")
        counts: Counter[tuple[int, str]] = Counter()

        async def ask(number: int, places: asyncio.Semaphore) -> None:
            one = Sent(number, PHONE, wanted(PHONE))
            async with places:
                response = await senders.post(one, urls[number % len(urls)])
            members = json.loads(response.body)
            counts[response.status, members["code"]] += 1

        async def ask_all() -> None:
            places = asyncio.Semaphore(200)
            await asyncio.gather(*(ask(number, places) for number in range(count)))

        asyncio.run(ask_all())
        assert counts.total() == count
        assert counts[202, "sent"] == 1
        assert set(counts) <= {(202, "sent"), (429, "send-limited"), (503, "overloaded")}, counts
        assert [call.action for call in emulator.calls] == [SEND]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("count", [500, pytest.param(5_000, marks=pytest.mark.toolchain)])
def test_many_contacts_of_one_prefix_stop_at_limit(
    emulator: Emulator, caplog: pytest.LogCaptureFixture, count: int
) -> None:
    caplog.set_level(logging.CRITICAL, "signup_bridge")  # searching this many lines would take minutes
    of = bridge(emulator.url, WEBHOOK_AUTH="none", SEND_PER_PREFIX=100, SEND_CODES="true")
    statuses = Counter(
        of.client.post("/webhooks/code", data=wanted(f"+4420794{number:05}")).status_code for number in range(count)
    )
    assert statuses == {202: 100, 429: count - 100}
    assert [call.action for call in emulator.calls] == [SEND] * 100


def test_each_limit_holds_across_two_instances(redis_server: RedisServer, emulator: Emulator, tmp_path: Path) -> None:
    """A contact that one instance rejects received its codes from the other one."""
    limits = {"SEND_PER_CONTACT": 2, "SEND_PER_PREFIX": 4, "SEND_PER_HOUR": 6, "SEND_ALLOWED_PREFIXES": "+86 +44"}
    redis_settings = {"LEDGER_URL": redis_server.url, "LEDGER_KEY": SHARED_KEY}
    logs = [tmp_path / name for name in "ab"]
    environ = limits | redis_settings | {"SEND_CODES": "true"}
    with ExitStack() as running:
        urls = itertools.cycle([running.enter_context(gunicorn(emulator.url, log, **environ)) for log in logs])

        def ask(contact: str) -> HttpResponse:
            kind = "email" if "@" in contact else "phone"
            return post(f"{next(urls)}/webhooks/code", json.dumps({"type": kind, "contact": contact}).encode())

        def sent(contact: str) -> bool:
            return ask(contact).status == 202

        def wait(contact: str) -> int:
            """Return the seconds after which a rejected sender may retry."""
            refused = ask(contact)
            assert (refused.status, refused.json["code"]) == (429, "send-limited")
            return int(refused.headers["retry-after"])

        assert sent("+86 139 0000 0001")
        assert 0 < wait("0086-13900000001") <= 60
        pass_by(61, redis_server)
        assert sent("+86 139 0000 0001")
        pass_by(61, redis_server)
        assert 3000 < wait("+86 139 0000 0001") <= 3478
        assert sent("+86 139 0000 0002")
        assert sent("+86 139 0000 0003")
        assert 3000 < wait("+86 139 0000 0004") <= 3478
        assert sent("jo@example.com")
        assert sent("jim@example.com")
        assert 3000 < wait("joe@example.com") <= 3478
        assert wait("+33 6 12 34 56 78") == 3600
        pass_by(3600, redis_server)
        assert sent("+86 139 0000 0001")
    lines = [line for log in logs for line in lines_of(log.read_text())]
    rejecting = [line["limit"] for line in lines if line.get("outcome") == "send-limited"]
    assert sorted(rejecting) == ["allowed-prefixes", "interval", "per-contact", "per-hour", "per-prefix"]
    assert [call.action for call in emulator.calls] == [SEND] * 7


def pass_by(seconds: float, server: RedisServer) -> None:
    """Make the counted messages older, because a test cannot set a real server's clock."""
    with server.client as client:
        for series in client.keys("*:sends:*"):
            for message in client.zrange(series, 0, -1):
                client.zincrby(series, -seconds, message)
