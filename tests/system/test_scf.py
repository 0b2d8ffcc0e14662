"""Test the built zip on the emulated SCF: its files, its environment, and freezing, thawing and stopping."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from pathlib import Path

import pytest
import requests

from local_services.redis_server import RedisServer
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.scf.function import FunctionError, Shape
from signup_emulator.scf.instances import WebInstance
from signup_emulator.scf.platform import Platform, Role
from signup_emulator.server import Emulator
from tests.support.bridge.event_builders import DIRECT
from tests.support.bridge.instances import post
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.bridge.targets import Scf, both_shapes, changed_archive
from tests.support.network.upstream import SUCCESS, Upstream, cut, reply

IDLE_LIMIT = 0.3


@pytest.fixture(scope="module")
def impatient(scf: Scf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the built zip with a short limit for idle connections."""
    target = tmp_path_factory.mktemp("zip") / "function.zip"
    return changed_archive(
        scf.archive, target, "signup_bridge/core/network.py", "IDLE_LIMIT = 20.0", f"IDLE_LIMIT = {IDLE_LIMIT}"
    )


@both_shapes
@pytest.mark.parametrize("cutting", ["silent", "reset"])
def test_thawed_instance_does_not_reuse_old_connection(scf: Scf, impatient: Path, shape: Shape, cutting: str) -> None:
    """The pooled connection is cut while the instance is frozen. Each delivery makes one call and has a response."""
    asked: list[socket.socket] = []

    def once(connection: socket.socket) -> None:
        if connection not in asked:  # a silently cut connection accepts all data and sends no reply
            asked.append(connection)
            connection.sendall(reply(SUCCESS))

    with Upstream(once) as upstream, scf.start(shape, upstream.url, archive=impatient) as platform:
        assert post(platform.url, body()).json["code"] == "verified"
        if cutting == "reset":
            cut(asked[0])
        time.sleep(IDLE_LIMIT + 0.3)
        assert post(platform.url, body(contact="10086")).json["code"] == "verified"
        assert len(upstream.requests) == upstream.connections == 2


@both_shapes
def test_instance_freezes_while_idle(scf: Scf, emulator: Emulator, shape: Shape) -> None:
    with scf.start(shape, emulator.url) as platform:
        post(platform.url, body())
        end = time.monotonic() + 120
        while states(platform) != {"T"}:
            assert time.monotonic() < end
            time.sleep(0.02)
        assert requests.get(f"{platform.url}/health", timeout=60).status_code == 200


@pytest.mark.parametrize("awake", [0.0, 0.2], ids=["at once", "idle first"])
def test_kept_connection_outlives_freeze_longer_than_keep_alive(scf: Scf, emulator: Emulator, awake: float) -> None:
    """The platform sends a request on the connection, then thaws. It is not reset, and each delivery makes one call."""
    with scf.start("web", emulator.url, KEEP_ALIVE="1") as platform:
        assert post(platform.url, body(contact="10080")).json["code"] == "code-incorrect"
        instance = platform.instance
        assert isinstance(instance, WebInstance)
        with instance.awake():
            time.sleep(awake)  # until the event loop has the connection
        time.sleep(1.2)
        assert post(platform.url, body(contact="10081")).json["code"] == "code-incorrect"
        assert (instance.connections, len(emulator.calls)) == (1, 2)


def test_connection_closed_by_function_is_not_reused(scf: Scf, emulator: Emulator) -> None:
    with scf.start("web", emulator.url, KEEP_ALIVE="1") as platform:
        assert requests.get(f"{platform.url}/health", timeout=10).status_code == 200
        instance = platform.instance
        assert isinstance(instance, WebInstance)
        with instance.awake():
            assert instance.idle_connections[0].sock.recv(1) == b""
        assert post(platform.url, body()).json["code"] == "verified"
        assert instance.connections == 2


def states(platform: Platform) -> set[str]:
    """Return the states of the instance's processes."""
    assert platform.instance is not None
    assert platform.instance.process is not None
    leader = platform.instance.process.pid
    stats = [path.read_text().rpartition(") ")[2].split() for path in Path("/proc").glob("[0-9]*/stat")]
    return {state for state, _, group, *_ in stats if int(group) == leader}


@both_shapes
def test_role_credentials_may_change_between_calls(scf: Scf, emulator: Emulator, shape: Shape) -> None:
    from_headers = "true" if shape == "web" else ""
    with scf.start(
        shape,
        emulator.url,
        TENCENT_SECRET_ID="",
        TENCENT_SECRET_KEY="",
        ROLE_CREDENTIALS_FROM_HEADERS=from_headers,
    ) as platform:
        assert post(platform.url, body(contact="10000")).json["code"] == "bridge-misconfigured"
        for turn in ("first", "second"):
            emulator.keys = {f"id-{turn}": f"key-{turn}"}
            emulator.tokens = {f"id-{turn}": f"token-{turn}"}
            platform.role = Role(f"id-{turn}", f"key-{turn}", f"token-{turn}")
            assert post(platform.url, body(contact=f"1008{len(turn)}")).json["code"] == "code-incorrect"
        log = platform.log.read_text()
    assert "execution role" in log
    assert not re.search("key-first|token-first|id-first|key-second|token-second", log)


def test_forged_platform_headers_are_not_passed_on(scf: Scf, emulator: Emulator) -> None:
    forged = {"X-Scf-Secret-Id": "a", "X-Scf-Secret-Key": "b", "X-Scf-Session-Token": "c", "X-Scf-Request-Id": "forged"}
    with scf.start(
        "web", emulator.url, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="", ROLE_CREDENTIALS_FROM_HEADERS="true"
    ) as platform:
        data = body()
        response = requests.post(platform.url, data=data, headers=signed(data) | forged, timeout=60)
    assert response.json()["code"] == "bridge-misconfigured"
    assert response.headers["X-Request-Id"] != "forged"


@pytest.mark.parametrize(
    "head", ["Content-Length: x", "Content-Length: -5", "Content-Length: 1_0", "Transfer-Encoding: chunked\r\n\r\n0x1"]
)
def test_malformed_http_request_returns_400(scf: Scf, emulator: Emulator, head: str) -> None:
    with scf.start("event", emulator.url) as platform, socket.create_connection(platform.address) as connection:
        connection.sendall(f"POST / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n".encode())
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")


def test_ended_instance_is_replaced(scf: Scf, emulator: Emulator) -> None:
    with scf.start("event", emulator.url) as platform:
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(3):
            assert post(platform.url, body(contact="10086")).json["code"] == "code-incorrect"
            assert platform.instance is not None
            assert platform.instance.process is not None
            os.killpg(platform.instance.process.pid, signal.SIGKILL)
            platform.instance.process.wait()
        assert len(os.listdir("/proc/self/fd")) <= before + 4


@both_shapes
def test_redis_ledger_works_in_package(scf: Scf, emulator: Emulator, redis_server: RedisServer, shape: Shape) -> None:
    with scf.start(shape, emulator.url, LEDGER_URL=redis_server.url, LEDGER_KEY="k" * 32) as platform:
        data = body()
        headers = signed(data)
        first, again = (post(platform.url, data, headers) for _ in range(2))
        assert requests.get(f"{platform.url}/ready", timeout=60).json()["ledger"]["engine"] == "redis"
    assert first.json["code"] == "verified"
    assert again == HttpResponse(first.status, first.headers | {"idempotent-replayed": "true"}, first.body)


def test_events_of_every_kind_are_processed(scf: Scf, emulator: Emulator) -> None:
    message = {"type": "phone", "contact": PHONE, "verify_code": CODE}
    kafka = {"topic": "t", "partition": 0, "offset": 1, "msgKey": "", "msgBody": json.dumps(message)}
    with scf.start("event", emulator.url) as platform:
        assert platform.invoke(DIRECT | {"contact": "10086"})["statusCode"] == 422
        assert platform.invoke({"Records": [{"Ckafka": kafka}]}) == {"records": 1, "ends": {"verified": 1}}
        assert platform.invoke({"Type": "Timer", "Message": ""}) == {"status": "pruned", "records": 0}
        emulator.faults.arm(Fault("LimitExceeded.RequestLimit", contact="10010"))
        broken = kafka | {"offset": 2, "msgBody": json.dumps(message | {"contact": "10010"})}
        with pytest.raises(FunctionError, match=r"^BatchRetry: 1 of 1 records must be retried"):
            platform.invoke({"Records": [{"Ckafka": broken}]})
        assert platform.invoke({"Records": [{"Ckafka": broken}]})["ends"] == {"code-incorrect": 1}
    assert PHONE not in json.dumps(platform.returned)


@both_shapes
def test_invalid_settings_are_logged_at_start(scf: Scf, shape: Shape) -> None:
    with scf.start(shape, "http://127.0.0.1:9", WEBHOOK_SECRETS="") as platform:
        response = requests.get(f"{platform.url}/health", timeout=60)
        assert response.status_code in (405, 430)
        assert "WEBHOOK_SECRETS: is not set" in platform.log.read_text()
