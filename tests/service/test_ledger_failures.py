"""Test ledger failures: without a ledger no call is made, and lost records are reconciled."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from pathlib import Path

import pytest
from signup_bridge import settings
from signup_bridge.telemetry.logs import JsonFormatter

from signup_emulator.api.calls import Call
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.deliveries import Build, ask, deliver, replay_of
from tests.support.bridge.instances import Bridge, bridge, calls, environment
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import body, signed
from tests.support.ledgers import KEY

CREATE = "CreateIntlPhoneEmail"


def test_ready_names_the_reach_of_the_ledger(build: Build, ledger: dict[str, str]) -> None:
    response = build().client.get("/ready")
    shared = "LEDGER_KEY" in ledger
    result = {"engine": "redis", "reach": "shared"} if shared else {"engine": "sqlite", "reach": "instance"}
    assert (response.status_code, response.get_json()) == (200, {"status": "ok", "version": "0.1.0", "ledger": result})


def result(caplog: pytest.LogCaptureFixture) -> str:
    """Return the log lines in their written form."""
    return "\n".join(JsonFormatter().format(record) for record in caplog.records)


def unusable(path: Path, how: str) -> None:
    if how == "no folder":
        path.parent.rmdir()
    elif how == "no ledger":
        path.write_bytes(b"x" * 8192)
    elif how == "a folder":
        path.mkdir()
    elif how == "another version":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    elif how == "no key":
        path.with_name("ledger.db.key").write_bytes(b"short")
    else:
        path.with_name("ledger.db.key").mkdir()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no folder", "its folder must exist"),
        ("no ledger", "is not a ledger; move the file"),
        ("a folder", "cannot be opened"),
        ("another version", "a later version of the bridge"),
        ("no key", "has less than 32 bytes"),
        ("a folder for a key", "cannot be read or created"),
    ],
)
def test_delivery_without_a_ledger_makes_no_call(
    emulator: Emulator, tmp_path: Path, how: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state" / "ledger.db"
    path.parent.mkdir()
    bridge_settings = settings.load(environment(emulator.url, LEDGER_URL=f"sqlite:///{path}"))
    unusable(path, how)
    instance = Bridge(bridge_settings)
    expected = problem("ledger-unavailable", 503, retryable=True)
    check_problem(deliver(instance), expected, PROBLEM | {"retry-after": "2"})
    assert says in result(caplog)
    ready = instance.client.get("/ready")
    assert (ready.status_code, ready.get_json()["code"]) == (503, "ledger-unavailable")
    assert says in ready.get_json()["detail"]
    assert ask(instance, "msg_1") == (503, deliver(instance).json)
    assert calls(emulator) == []


def test_ledger_that_recovers_is_used(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "later" / "ledger.db"
    instance = bridge(emulator.url, LEDGER_URL=f"sqlite:///{path}")
    assert deliver(instance).status == 503
    path.parent.mkdir()
    assert deliver(instance).json["code"] == "verified"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.parent / "ledger.db.key").stat().st_mode & 0o777 == 0o600


def test_unreachable_ledger_is_reported(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    url = f"redis://:hush@127.0.0.1:{ports.free()}/0"
    instance = bridge(emulator.url, LEDGER_URL=url, LEDGER_KEY=KEY.decode())
    expected = problem("ledger-unavailable", 503, retryable=True)
    check_problem(deliver(instance), expected, PROBLEM | {"retry-after": "2"})
    assert "LEDGER_URL: the connection was refused" in result(caplog)
    assert "hush" not in result(caplog)
    detail = instance.client.get("/ready").get_json()["detail"]
    assert detail.startswith("The shared ledger is unavailable. LEDGER_URL: the connection was refused")
    assert "127.0.0.1" not in detail
    assert calls(emulator) == []


def test_ledger_failure_after_the_call_returns_the_result(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The response has the API's result. Only the claim is stored, so that the outcome is unknown later."""
    clock = SetClock()
    path = tmp_path / "ledger.db"
    emulator.domain.now = clock.time
    instance = bridge(emulator.url, clock, LEDGER_URL=f"sqlite:///{path}", REQUEST_BUDGET=3)
    deliver(instance, "warm", contact="10086")
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def block(_call: Call) -> None:
        """Block the ledger before the API replies."""
        blocker.execute("BEGIN IMMEDIATE")

    emulator.on_call = block
    assert deliver(instance).json["code"] == "verified"
    emulator.on_call = lambda _call: None
    blocker.execute("ROLLBACK")
    blocker.close()
    (line,) = [json.loads(JsonFormatter().format(one)) for one in caplog.records if one.levelno == logging.ERROR]
    assert line["message"] == "ledger unavailable after the API call, outcome not stored"
    assert "is locked by another process" in line["reason"]
    clock.wall += 6
    data = body()
    again = instance.post(data, signed(data, delivery_id="msg_1", at=clock.time()))
    assert again.json["resolved"] is True
    assert [action for action, _ in calls(emulator)] == [CREATE, CREATE, "DescribeIntlPhoneEmailList"]


def test_brief_ledger_failure_after_the_call_is_retried(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    instance = bridge(emulator.url, StillClock(), LEDGER_URL=f"sqlite:///{path}", REQUEST_BUDGET=8)
    deliver(instance, "warm", contact="10086")
    blocker = sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def block_for_a_moment(_call: Call) -> None:
        blocker.execute("BEGIN IMMEDIATE")
        threading.Timer(0.6, blocker.execute, ("ROLLBACK",)).start()

    emulator.on_call = block_for_a_moment
    received = deliver(instance)
    blocker.close()
    assert deliver(instance) == replay_of(received)
    assert len(emulator.calls) == 2
