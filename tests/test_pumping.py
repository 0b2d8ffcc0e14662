"""Who pumps messages, or asks for one a thousand times at once, gets as many as the guards let out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
from bridge.actions import SEND
from builders import PHONE, bridge, gunicorn
from redis_server import RedisServer
from test_many import SHARED_KEY, Senders, Sent

from emulator.server import Emulator


def wanted(contact: str) -> bytes:
    return json.dumps({"type": "phone", "contact": contact}).encode()


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.parametrize("shared", [True, False], ids=["two instances on a Redis", "one instance on SQLite"])
def test_a_thousand_at_once_for_one_contact_are_one_message(
    redis_server: RedisServer, tmp_path: Path, shared: bool
) -> None:
    of_redis = {"LEDGER_URL": redis_server.url, "LEDGER_KEY": SHARED_KEY} if shared else {}
    with Emulator(rate=0) as emulator, ExitStack() as running:
        urls = [
            running.enter_context(gunicorn(emulator.url, tmp_path / str(number), SEND_CODES="true", **of_redis))
            for number in range(2 if shared else 1)
        ]
        senders = Senders(urls, [], path="/webhooks/code")
        heard: Counter[tuple[int, str]] = Counter()

        async def ask(number: int, places: asyncio.Semaphore) -> None:
            one = Sent(number, PHONE, wanted(PHONE))
            async with places:
                answer = await senders.post(one, urls[number % len(urls)])
            members = json.loads(answer.body)
            heard[answer.status, members.get("code", members["status"])] += 1

        async def ask_all() -> None:
            places = asyncio.Semaphore(200)
            await asyncio.gather(*(ask(number, places) for number in range(1000)))

        asyncio.run(ask_all())
        assert heard.total() == 1000
        assert heard[202, "sent"] == 1
        assert set(heard) <= {(202, "sent"), (429, "send-limited"), (503, "overloaded")}, heard
        assert [call.action for call in emulator.calls] == [SEND]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_ten_thousand_contacts_of_one_prefix_end_at_the_cap(emulator: Emulator) -> None:
    of = bridge(emulator.url, WEBHOOK_AUTH="none", SEND_PER_PREFIX=100, SEND_CODES="true")
    statuses = Counter(
        of.client.post("/webhooks/code", data=wanted(f"+4420794{number:05}")).status_code for number in range(10_000)
    )
    assert statuses == {202: 100, 429: 9_900}
    assert [call.action for call in emulator.calls] == [SEND] * 100
