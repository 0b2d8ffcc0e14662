"""Test that with REVEAL_ALREADY_VERIFIED=false, guessed codes do not reveal contacts that were verified before."""

from __future__ import annotations

import gc
import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from signup_bridge.telemetry.logs import JsonFormatter
from signup_bridge.web.profiles import PROFILES
from werkzeug.wrappers import Response

from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.deliveries import WRONG, Build
from tests.support.bridge.event_builders import CONTEXT, DIRECT
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.scenarios.lost_replies import World

OTHER = "10086"
"""A contact that was never verified."""
UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


@pytest.fixture
def hiding(emulator: Emulator) -> Bridge:
    """Return a bridge whose account has one contact on its list."""
    hiding = bridge(emulator.url, REVEAL_ALREADY_VERIFIED="false")
    assert hiding.deliver().json["code"] == "verified"
    return hiding


def raw(of: Bridge, contact: str, code: str = WRONG, delivery_id: str | None = None) -> tuple[int, list[Any], Any]:
    """Return the whole response without its request id, and with a placeholder for its API request id."""
    data = body(contact=contact, verify_code=code)
    response = of.client.post("/", data=data, headers=signed(data, delivery_id=delivery_id))
    return whole(response)


def by_event(of: Bridge, contact: str) -> tuple[int, list[Any], Any]:
    """Return the same for a direct invocation."""
    reported = of.events.handle(DIRECT | {"contact": contact, "verify_code": WRONG}, CONTEXT)
    return whole(Response(reported["body"], reported["statusCode"], reported["headers"]))


def whole(response: Any) -> tuple[int, list[Any], Any]:
    headers = sorted((name, value) for name, value in response.headers if name != "X-Request-Id")
    reported = response.get_json()
    assert reported.pop("request_id", None) in (None, response.headers["X-Request-Id"])
    if "api_request_id" in reported:
        assert re.fullmatch(UUID, reported["api_request_id"])
        reported["api_request_id"] = "…"
    return response.status_code, [one for one in headers if one[0] != "Content-Length"], reported


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("way", ["http", "direct"])
def test_both_outcomes_have_one_response(emulator: Emulator, profile: str, way: str) -> None:
    hiding = bridge(emulator.url, REVEAL_ALREADY_VERIFIED="false", SENDER_PROFILE=profile)
    hiding.deliver()
    verified, other = (by_event(hiding, one) if way == "direct" else raw(hiding, one) for one in (PHONE, OTHER))
    assert "Server-Timing" not in dict(verified[1])
    assert verified == other
    assert [call.result for call in emulator.calls][1:] == [
        "InternalError.VerifiedPhoneEmailErr", "InternalError.VerifyCodeErr",
    ]  # fmt: skip
    assert "already" not in json.dumps(verified)
    assert "code-incorrect" in json.dumps(verified) or profile == "supabase"


def test_delivery_without_a_call_shows_times(hiding: Bridge) -> None:
    assert "Server-Timing" in hiding.client.get("/health").headers
    data = body(type="fax")
    assert "Server-Timing" in hiding.client.post("/", data=data, headers=signed(data)).headers


def test_both_outcomes_replay_and_look_up_alike(hiding: Bridge) -> None:
    for contact in (PHONE, OTHER):
        raw(hiding, contact, delivery_id=f"msg-{contact}")
    replays = [raw(hiding, contact, delivery_id=f"msg-{contact}") for contact in (PHONE, OTHER)]
    assert replays[0] == replays[1]
    assert ("Idempotent-Replayed", "true") in replays[0][1]
    asked = [whole(hiding.client.get(f"/deliveries/msg-{contact}", headers=signed(b""))) for contact in (PHONE, OTHER)]
    assert asked[0] == asked[1]
    assert "Server-Timing" not in dict(asked[0][1])


def functions_called(act: Callable[[], Any]) -> list[str]:
    """Return the functions of the bridge that run, in order, and the C functions that they call."""
    called: list[str] = []
    gc.collect()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event in ("call", "c_call") and Path(code.co_filename).is_relative_to(ROOT / "function"):
            called.append(f"{code.co_filename}:{code.co_name}{f' {argument.__name__}' if event == 'c_call' else ''}")

    gc.disable()
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(None)
        gc.enable()
    return called


@pytest.mark.parametrize("way", ["replay", "question"])
def test_both_outcomes_call_the_same_functions(emulator: Emulator, way: str) -> None:
    """Otherwise the duration of a replay or of `GET /deliveries/<id>` would reveal the outcome."""
    hiding = bridge(emulator.url, StillClock(), REVEAL_ALREADY_VERIFIED="false")
    hiding.deliver()

    def again(contact: str) -> None:
        if way == "replay":
            raw(hiding, contact, delivery_id=f"msg-{contact}")
        else:
            whole(hiding.client.get(f"/deliveries/msg-{contact}", headers=signed(b"")))

    contacts = (PHONE, PHONE[::-1])  # equal lengths, because each digit is processed
    for contact in contacts:
        raw(hiding, contact, delivery_id=f"msg-{contact}")
        again(contact)
    listed, other = (functions_called(partial(again, contact)) for contact in contacts)
    assert len(listed) > 20
    assert listed == other


@pytest.mark.parametrize("contact", [PHONE, OTHER])
def test_both_outcomes_count_as_wrong_codes(emulator: Emulator, contact: str) -> None:
    hiding = bridge(emulator.url, REVEAL_ALREADY_VERIFIED="false", MAX_WRONG_CODES=2)
    hiding.deliver()
    codes = [raw(hiding, contact, f"{number:06}")[2]["code"] for number in range(4)]
    assert codes == ["code-incorrect"] * 2 + ["attempts-exhausted"] * 2


def test_already_verified_when_revealed_does_not_count(emulator: Emulator) -> None:
    telling = bridge(emulator.url, MAX_WRONG_CODES=2)
    telling.deliver()
    assert [raw(telling, PHONE, f"{number:06}")[2]["code"] for number in range(4)] == ["already-verified"] * 4


def test_ckafka_result_conceals_and_the_log_reveals(
    emulator: Emulator, hiding: Bridge, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "signup_bridge")
    records = [
        {
            "Ckafka": {
                "topic": "t",
                "partition": 0,
                "offset": at,
                "msgBody": body(contact=contact, verify_code=WRONG).decode(),
            }
        }
        for at, contact in enumerate([PHONE, OTHER])
    ]
    reported = hiding.events.handle({"Records": records}, CONTEXT)
    assert reported == {"records": 2, "ends": {"code-incorrect": 2}}
    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    for message in ("delivery", "record"):
        assert [line["outcome"] for line in lines if line["message"] == message] == [
            "already-verified",
            "code-incorrect",
        ]
    ids = [line["api_request_id"] for line in lines if line["message"] == "delivery"]
    assert ids == [call.request_id for call in emulator.calls[1:]]
    assert all("upstream_ms" in line for line in lines if line["message"] == "delivery")


def test_openapi_when_concealed_does_not_mention_it(hiding: Bridge) -> None:
    document = hiding.client.get("/openapi.json").get_data(as_text=True)
    assert "already-verified" not in document
    response = json.loads(document)["paths"]["/"]["post"]["responses"]["422"]
    assert response["headers"]["Server-Timing"]["required"] is False


# -- AFTER_VERIFIED=release: a verified pair of contact and code receives its response without a call --


def test_used_pair_gets_the_response_of_a_wrong_code(
    emulator: Emulator, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "signup_bridge")
    hiding = build(REVEAL_ALREADY_VERIFIED="false", AFTER_VERIFIED="release")
    assert hiding.deliver().json["code"] == "verified"
    made = len(emulator.calls)
    data = body()
    spent = hiding.client.post("/", data=data, headers=signed(data, delivery_id="msg_2"))
    again = hiding.client.post("/", data=data, headers=signed(data, delivery_id="msg_2"))
    asked = hiding.client.get("/deliveries/msg_2", headers=signed(b""))
    bodies = [{**response.get_json(), "request_id": None} for response in (spent, again, asked)]
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(emulator.calls) == made
    line = json.loads(JsonFormatter().format(caplog.records[-1]))
    assert line["outcome"] == "already-verified"
    assert "api_request_id" not in line
    assert whole(spent) == raw(hiding, OTHER)


def test_used_pair_counts_as_a_wrong_code(build: Build) -> None:
    hiding = build(REVEAL_ALREADY_VERIFIED="false", AFTER_VERIFIED="release", MAX_WRONG_CODES=2)
    hiding.deliver()
    codes = [raw(hiding, PHONE, CODE)[2]["code"] for _ in range(3)]
    assert codes == ["code-incorrect", "code-incorrect", "attempts-exhausted"]
    telling = build(AFTER_VERIFIED="release", MAX_WRONG_CODES=2)
    assert raw(telling, PHONE, CODE)[2]["code"] == "already-verified"


# -- an unknown outcome --


def test_reconciled_response_when_concealed_has_no_times(new_world: Any) -> None:
    """The API rejected the call of ``outcome-unresolved`` because of a wrong code or because of the list."""
    world: World = new_world(REVEAL_ALREADY_VERIFIED="false")
    data, codes = body(verify_code=WRONG), []
    for fault in ("close", None):
        if fault:
            world.lose(fault)
        response = world.bridge.client.post("/", data=data, headers=signed(data, delivery_id="lost"))
        codes.append(response.get_json()["code"])
        assert "Server-Timing" not in response.headers
    assert codes == ["outcome-unknown", "outcome-unresolved"]


@pytest.mark.parametrize("before", [3 * 86_400.0, 60.0])
def test_unresolved_outcome_when_concealed_has_the_same_steps(new_world: Any, before: float) -> None:
    """A listed contact and another one cause the same calls and the same responses."""
    world: World = new_world(REVEAL_ALREADY_VERIFIED="false")
    assert world.deliver("first").status == 200
    world.wait(before)
    seen, reported = [], []
    for contact in (PHONE, OTHER):
        world.seen()
        world.lose()
        lost = world.deliver(f"lost-{contact}", WRONG, contact)
        response = world.deliver(f"lost-{contact}", WRONG, contact)
        assert lost.json["code"] == "outcome-unknown"
        reported.append((response.status, response.headers, re.sub(UUID, "…", response.body.decode())))
        seen.append(re.sub("Verif[A-Za-z]+Err", "refused", world.seen()))
    assert reported[0] == reported[1]
    assert "outcome-unresolved" in reported[0][2]
    assert seen[0] == seen[1] == "C:close D:OK C:refused D:OK"


def test_lost_verification_when_concealed_is_reconciled(new_world: Any) -> None:
    world: World = new_world(REVEAL_ALREADY_VERIFIED="false")
    world.lose()
    world.deliver("lost")
    response = world.deliver("lost")
    assert (response.status, response.json["resolved"]) == (200, True)
