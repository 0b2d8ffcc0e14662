"""Test more concurrent requests than permits or threads: which are rejected, which continue, and how a server stops."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from signup_bridge.service.admission import ConcurrencyLimiter
from signup_bridge.settings import MAX_QUEUED

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.deliveries import Build, at_once, deliver, replay_of
from tests.support.bridge.instances import bridge, calls, gunicorn, post, replies_held, wait_for_calls
from tests.support.bridge.responses import PROBLEM, HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import body, signed

# -- permits --


def test_delivery_beyond_the_queue_is_rejected_at_once(emulator: Emulator, build: Build) -> None:
    instance = build(CONCURRENCY=2, REQUEST_BUDGET=60)
    known = deliver(instance, "known", contact="10086")
    busy = [
        threading.Thread(target=deliver, args=(instance, f"msg_{n}"), kwargs={"contact": f"1001{n}0"}) for n in range(2)
    ]
    with replies_held(emulator):
        for thread in busy:
            thread.start()
        wait_for_calls(emulator, 3)
        response = deliver(instance, "new")
        check_problem(response, problem("overloaded", 503, retryable=True), PROBLEM | {"retry-after": "1"})
        assert deliver(instance, "known", contact="10086") == replay_of(known)
        assert deliver(instance, "known").json["code"] == "idempotency-key-reused"
    assert deliver(instance, "msg_0", contact="100100").json["code"] == "code-incorrect"
    for thread in busy:
        thread.join()
    assert deliver(instance, "new").json["code"] == "verified"


def test_delivery_beyond_the_permits_waits_for_one(
    emulator: Emulator, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = build(StillClock(), CONCURRENCY=1)
    busy = threading.Thread(target=deliver, args=(instance, "busy"), kwargs={"contact": "10086"})
    wait = ConcurrencyLimiter.wait
    with ExitStack() as held:
        held.enter_context(replies_held(emulator))
        busy.start()
        wait_for_calls(emulator)

        def let_go_and_wait(places: ConcurrencyLimiter, _seconds: float) -> bool:
            held.close()
            return wait(places, 60)

        monkeypatch.setattr(ConcurrencyLimiter, "wait", let_go_and_wait)
        assert deliver(instance).json["code"] == "verified"
    busy.join()


def test_rejected_deliveries_get_staggered_retry_times(emulator: Emulator) -> None:
    instance = bridge(emulator.url, StillClock(), CONCURRENCY=1, DOMAIN_API_RATE=0.5)
    busy = threading.Thread(target=deliver, args=(instance, "busy"), kwargs={"contact": "10086"})
    with replies_held(emulator):
        busy.start()
        wait_for_calls(emulator)
        result = at_once(3, lambda n: deliver(instance, f"m{n}", contact=f"1001{n}0"))
    assert sorted(int(one.headers["retry-after"]) for one in result) == [1, 2, 3]
    busy.join()


def test_deliveries_beyond_the_queue_size_are_rejected(
    emulator: Emulator, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_QUEUED >= 49
    monkeypatch.setattr("signup_bridge.settings.MAX_QUEUED", 2)
    instance = build(REQUEST_BUDGET=60)
    responses: list[HttpResponse] = []
    threads = [threading.Thread(target=lambda: responses.append(deliver(instance))) for _ in range(6)]
    with replies_held(emulator):
        for thread in threads:
            thread.start()
        while len(responses) < 3:
            time.sleep(0.005)
    for thread in threads:
        thread.join()
    assert sorted(one.status for one in responses) == [200, 200, 200, 503, 503, 503]


# -- the server's threads --


def test_budget_includes_time_in_the_server_queue(emulator: Emulator, tmp_path: Path) -> None:
    """With one thread, a request that was queued for most of its budget is rejected without a call."""
    emulator.faults.arm(Fault("hang", times=5))
    with gunicorn(emulator.url, tmp_path / "log", REQUEST_BUDGET=5, GUNICORN_CMD_ARGS="--threads 1") as url:
        response: list[HttpResponse] = []
        data = [body(contact=f"{number:09}") for number in range(5)]
        threads = [threading.Thread(target=lambda one: response.append(post(url, one)), args=(one,)) for one in data]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(one.json["code"] for one in response) == ["outcome-unknown"] + ["overloaded"] * 4
    assert len(emulator.calls) == 1


def test_hanging_ledger_leaves_threads_for_other_routes(emulator: Emulator, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=200) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        settings = {"LEDGER_URL": url, "LEDGER_KEY": "k" * 32, "REQUEST_BUDGET": 8, "CONCURRENCY": 4}
        with gunicorn(emulator.url, tmp_path / "log", **settings) as bridged:
            data = [body(contact=f"{number:09}") for number in range(80)]
            threads = [threading.Thread(target=post, args=(bridged, one)) for one in data]
            asking = [
                threading.Thread(target=requests.get, args=(f"{bridged}/ready",), kwargs={"timeout": 20})
                for _ in range(20)
            ]
            for thread in threads + asking:
                thread.start()
            asked, _ = silent.accept()  # the ledger accepts the connection but sends nothing
            assert requests.get(f"{bridged}/health", timeout=60).status_code == 200
            assert any(thread.is_alive() for thread in threads)
            for thread in threads + asking:
                thread.join()
            asked.close()
    assert calls(emulator) == []


def test_stop_during_deliveries_finishes_them(emulator: Emulator, tmp_path: Path) -> None:
    ledger = f"sqlite:///{tmp_path}/ledger.db"
    data = body()
    response: list[HttpResponse] = []
    held = ExitStack()
    held.enter_context(replies_held(emulator))
    with gunicorn(emulator.url, tmp_path / "log", LEDGER_URL=ledger, REQUEST_BUDGET=60) as url:
        headers = signed(data, delivery_id="msg_1")
        thread = threading.Thread(target=lambda: response.append(post(url, data, headers)))
        thread.start()
        wait_for_calls(emulator)
        threading.Timer(1.0, held.close).start()
    thread.join()
    assert response[0].json["code"] == "verified"
    again = bridge(emulator.url, LEDGER_URL=ledger).post(data, signed(data, delivery_id="msg_1"))
    assert (again.body, again.headers["idempotent-replayed"]) == (response[0].body, "true")
    assert len(emulator.calls) == 1
