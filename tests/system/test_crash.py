"""Test the next response and the API's calls after a worker is killed between any two writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.ledger.redis.ledger import RedisLedger

from local_services.redis_server import RedisServer
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support import ROOT, log_audit
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.instances import bridge, environment
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.ledgers import KEY, SHIFTED

WRONG = "000000"


Die = Callable[..., None]


@pytest.fixture(scope="module")
def die(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Die]:
    """Return a function that lets a bridge with settings handle a delivery in a process until it is killed."""
    path = os.pathsep.join(str(ROOT / folder) for folder in ("function", "."))
    errors = tmp_path_factory.mktemp("dying") / "errors"
    command = [sys.executable, str(ROOT / "tests" / "support" / "scenarios" / "crashing_bridge.py")]
    with errors.open("w") as log, subprocess.Popen(
        command, env={"PATH": os.environ["PATH"], "PYTHONPATH": path}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout

        def one(settings: dict[str, str], *arguments: str) -> None:
            before = len(errors.read_text())
            print(json.dumps([settings, *arguments]), file=process.stdin, flush=True)
            status = process.stdout.readline()  # type: ignore[union-attr]
            written = errors.read_text()[before:]
            assert status == f"{-signal.SIGKILL}\n", written
            assert log_audit.leaks(written) == []

        yield one
        process.stdin.close()


@dataclass
class World:
    emulator: Emulator
    clock: StillClock
    kill: Die
    settings: dict[str, str] = field(default_factory=dict)

    def die(self, moment: str, delivery_id: str = "a", code: str = CODE) -> None:
        """Let a bridge handle a delivery until it is killed at this moment."""
        self.kill(environment(self.emulator.url, **self.settings), *moment.split(), delivery_id, code)
        self.clock.advance(max(0.0, time.time() - self.clock.time()))  # the killed process used the machine's clock

    def deliver(self, delivery_id: str = "a", code: str = CODE) -> HttpResponse:
        """Return the response of the bridge that replaces the killed one."""
        instance = bridge(self.emulator.url, self.clock, **self.settings)
        data = body(verify_code=code)
        try:
            return instance.post(data, signed(data, delivery_id=delivery_id, at=self.clock.time()))
        finally:
            instance.app.extensions["ledger"].close()

    def seen(self) -> str:
        of = " ".join(
            f"{call.action[0]}:{call.fault or call.result.rpartition('.')[2]}" for call in self.emulator.calls
        )
        self.emulator.calls.clear()
        return of


@pytest.fixture
def world(emulator: Emulator, tmp_path: Path, die: Die) -> World:
    settings = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "REQUEST_BUDGET": "5"}
    return World(emulator, StillClock(), die, settings)


def lease_over(world: World) -> None:
    world.clock.wall += 8


def shape(response: HttpResponse) -> tuple[int, str, bool | None, bool]:
    document: Any = response.json
    return (
        response.status,
        document["code"],
        document.get("resolved"),
        "idempotent-replayed" in response.headers,
    )


@pytest.mark.parametrize(
    ("moment", "code", "expected", "seen"),
    [
        ("before claim 1", CODE, (200, "verified", None, False), "C:OK"),
        ("after claim 1", CODE, (200, "verified", True, False), "D:OK C:OK"),
        ("after claim 1", WRONG, (409, "outcome-unresolved", None, False), "D:OK C:VerifyCodeErr D:OK"),
        ("before settle 1", CODE, (200, "verified", True, False), "C:OK D:OK"),
        ("before settle 1", WRONG, (409, "outcome-unresolved", None, False),
         "C:VerifyCodeErr D:OK C:VerifyCodeErr D:OK"),
        ("after settle 1", CODE, (200, "verified", None, True), "C:OK"),
        ("after settle 1", WRONG, (422, "code-incorrect", None, True), "C:VerifyCodeErr"),
    ],
)  # fmt: skip
def test_crash_during_first_call_is_resolved(world: World, moment: str, code: str, expected: Any, seen: str) -> None:
    world.die(moment, code=code)
    if moment != "before claim 1" and "after settle" not in moment:
        assert shape(world.deliver(code=code)) == (409, "in-progress", None, False)
    lease_over(world)
    response = world.deliver(code=code)
    assert shape(response) == expected
    assert world.seen() == seen
    again = world.deliver(code=code)
    assert (again.status, again.body) == (response.status, response.body)
    assert world.seen() == ""


@pytest.mark.parametrize("moment", ["before release 1", "after throttle 1", "after reserve_slot 1"])
def test_crash_during_throttled_call_is_resolved(world: World, moment: str) -> None:
    world.emulator.faults.arm(
        Fault("RequestLimitExceeded" if "release" not in moment else "LimitExceeded.RequestLimit")
    )
    world.die(moment)
    lease_over(world)
    assert shape(world.deliver()) == (200, "verified", True, False)
    assert world.seen().split(" ")[1:] == ["D:OK", "C:OK"]


@pytest.mark.parametrize(
    ("moment", "expected", "seen"),
    [
        ("after claim 1", (200, "verified", True, False), "D:OK C:OK"),
        ("after reserve_slot 1", (200, "verified", True, False), "D:OK C:OK"),
        ("before begin_retry 1", (200, "verified", True, False), "D:OK D:OK C:OK"),
        ("after begin_retry 1", (409, "outcome-unresolved", None, False), "D:OK D:OK"),
        ("before settle 1", (200, "verified", True, False), "D:OK C:OK D:OK"),
        ("after settle 1", (200, "verified", True, True), "D:OK C:OK"),
    ],
)
def test_crash_during_reconciliation_is_resolved(world: World, moment: str, expected: Any, seen: str) -> None:
    world.emulator.faults.arm(Fault("unprocessed"))
    assert world.deliver().json["code"] == "outcome-unknown"
    world.seen()
    world.die(moment)
    lease_over(world)
    assert shape(world.deliver()) == expected
    assert world.seen() == seen


@pytest.mark.parametrize(
    ("moment", "seen"),
    [
        ("after settle 1", "C:OK | D:OK C:OK D:OK"),
        ("after reserve_slot 1", "C:OK | D:OK C:OK D:OK"),
        ("before finish_release 1", "C:OK D:OK | D:ResourceNotFound C:OK D:OK"),
        ("after finish_release 1", "C:OK D:OK | C:OK D:OK"),
    ],
)
def test_crash_during_contact_release_is_resolved(world: World, moment: str, seen: str) -> None:
    world.settings["AFTER_VERIFIED"] = "release"
    world.die(moment)
    assert shape(world.deliver()) == (200, "verified", None, True)
    first = world.seen()
    lease_over(world)
    world.emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": PHONE})
    assert world.deliver("b", world.emulator.domain.sent_codes()[0].code).status == 200
    assert f"{first} | {world.seen()}" == seen


def test_crash_with_redis_ledger_is_resolved(
    emulator: Emulator, redis_server: RedisServer, die: Die, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lease depends on the clock of the server."""
    monkeypatch.setattr("signup_bridge.ledger.redis.ledger.RedisLedger", partial(RedisLedger, time=SHIFTED))
    settings = {"LEDGER_URL": redis_server.url, "LEDGER_KEY": KEY.decode(), "REQUEST_BUDGET": "5"}
    world = World(emulator, StillClock(), die, settings)
    world.die("before settle 1")
    assert shape(world.deliver()) == (409, "in-progress", None, False)
    with redis_server.client as client:
        client.set("shift", 8)
    lease_over(world)
    assert shape(world.deliver()) == (200, "verified", True, False)
    assert world.seen() == "C:OK D:OK"
