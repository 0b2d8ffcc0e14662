"""The worker is killed between every two writes; what the next delivery hears, and what the API saw."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import log_audit
import pytest
from builders import CODE, PHONE, ROOT, Answer, SetClock, body, bridge, environment, signed
from ledgers import KEY
from redis_server import RedisServer

from emulator.api.faults import Fault
from emulator.server import Emulator

WRONG = "000000"


@dataclass
class World:
    emulator: Emulator
    clock: SetClock
    settings: dict[str, str] = field(default_factory=dict)

    def die(self, moment: str, delivery_id: str = "a", code: str = CODE) -> None:
        """Let a bridge work on a delivery until it is killed at this moment."""
        command = [sys.executable, str(ROOT / "tests" / "dying_bridge.py"), *moment.split(), delivery_id, code]
        path = os.pathsep.join(str(ROOT / folder) for folder in ("function", "tests", "."))
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": path} | environment(self.emulator.url, **self.settings)
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=50, check=False)
        assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
        assert log_audit.leaks(done.stdout + done.stderr) == []

    def deliver(self, delivery_id: str = "a", code: str = CODE) -> Answer:
        """What a bridge that took its place answers."""
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
def world(emulator: Emulator, tmp_path: Path) -> World:
    return World(emulator, SetClock(), {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db", "REQUEST_BUDGET": "5"})


def lease_over(world: World) -> None:
    world.clock.wall += 8


def shape(given: Answer) -> tuple[int, str, bool | None, bool]:
    document: Any = given.json
    return (
        given.status,
        document.get("code") or document["status"],
        document.get("resolved"),
        "idempotent-replayed" in given.headers,
    )


@pytest.mark.parametrize(
    ("moment", "code", "answered", "seen"),
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
def test_a_first_call(world: World, moment: str, code: str, answered: Any, seen: str) -> None:
    world.die(moment, code=code)
    if moment != "before claim 1" and "after settle" not in moment:
        assert shape(world.deliver(code=code)) == (409, "in-progress", None, False)
    lease_over(world)
    given = world.deliver(code=code)
    assert shape(given) == answered
    assert world.seen() == seen
    again = world.deliver(code=code)
    assert (again.status, again.body) == (given.status, given.body)
    assert world.seen() == ""


@pytest.mark.parametrize("moment", ["before release 1", "after slow_down 1", "after reserve 1"])
def test_a_call_that_was_refused_for_the_quota(world: World, moment: str) -> None:
    world.emulator.faults.arm(
        Fault("RequestLimitExceeded" if "release" not in moment else "LimitExceeded.RequestLimit")
    )
    world.die(moment)
    lease_over(world)
    assert shape(world.deliver()) == (200, "verified", True, False)
    assert world.seen().split(" ")[1:] == ["D:OK", "C:OK"]


@pytest.mark.parametrize(
    ("moment", "answered", "seen"),
    [
        ("after claim 1", (200, "verified", True, False), "D:OK C:OK"),
        ("after reserve 1", (200, "verified", True, False), "D:OK C:OK"),
        ("before attempt 1", (200, "verified", True, False), "D:OK D:OK C:OK"),
        ("after attempt 1", (409, "outcome-unresolved", None, False), "D:OK D:OK"),
        ("before settle 1", (200, "verified", True, False), "D:OK C:OK D:OK"),
        ("after settle 1", (200, "verified", True, True), "D:OK C:OK"),
    ],
)
def test_the_resolution_of_an_unknown(world: World, moment: str, answered: Any, seen: str) -> None:
    world.emulator.faults.arm(Fault("unprocessed"))
    assert world.deliver().json["code"] == "outcome-unknown"
    world.seen()
    world.die(moment)
    lease_over(world)
    assert shape(world.deliver()) == answered
    assert world.seen() == seen


@pytest.mark.parametrize(
    ("moment", "seen"),
    [
        ("after settle 1", "C:OK | D:OK C:OK D:OK"),
        ("after reserve 1", "C:OK | D:OK C:OK D:OK"),
        ("before unlock 1", "C:OK D:OK | D:ResourceNotFound C:OK D:OK"),
        ("after unlock 1", "C:OK D:OK | C:OK D:OK"),
    ],
)
def test_the_removal_of_a_contact(world: World, moment: str, seen: str) -> None:
    world.settings["AFTER_VERIFIED"] = "release"
    world.die(moment)
    assert shape(world.deliver()) == (200, "verified", None, True)
    first = world.seen()
    lease_over(world)
    world.emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": PHONE})
    assert world.deliver("b", world.emulator.domain.sent_codes()[0].code).status == 200
    assert f"{first} | {world.seen()}" == seen


def test_over_a_redis(emulator: Emulator, redis_server: RedisServer) -> None:
    """Its lease runs on its own clock, and so the sender has to come again."""
    world = World(emulator, SetClock(), {
        "LEDGER_URL": redis_server.url, "LEDGER_KEY": KEY.decode(), "REQUEST_BUDGET": "1.5",
    })  # fmt: skip
    world.die("before settle 1")
    answers = [shape(world.deliver())]
    while answers[-1][1] == "in-progress":
        answers.append(shape(world.deliver()))
    assert answers[-1] == (200, "verified", True, False)
    assert world.seen() == "C:OK D:OK"
