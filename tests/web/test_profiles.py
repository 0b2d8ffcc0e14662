"""Test the whole response for every outcome and profile, over HTTP and as an event."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, get_args

import pytest
from signup_bridge import settings
from signup_bridge.core.outcomes import BY_CODE, OUTCOMES, RequestRejected
from signup_bridge.web import responses
from signup_bridge.web.profiles import PROFILES, Profile, ResponseFormat

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import StillClock
from tests.support.bridge.deliveries import WRONG, replay_of
from tests.support.bridge.event_builders import CONTEXT, DIRECT, handle
from tests.support.bridge.instances import Bridge, bridge, calls, environment
from tests.support.bridge.responses import HttpResponse, parse_response
from tests.support.bridge.signed_requests import body, signed
from tests.support.scenarios.scenarios import SCENES, Way

CONTRACT = """
verified               200 -       request-id
sent                   202 -       request-id
code-incorrect         422 abort   request-id
contact-invalid        422 abort   request-id
already-verified       409 abort   request-id
attempts-exhausted     422 abort   -
outcome-unresolved     409 abort   request-id
idempotency-key-reused 422 abort   -
body-malformed         400 abort   -
body-invalid           422 abort   errors
in-progress            409 retry-1 -
upstream-throttled     503 retry-1 request-id
upstream-unreachable   503 retry-5 -
outcome-unknown        504 retry   -
upstream-failed        502 retry   request-id
send-limited           429 retry-60 -
send-failed            502 retry   request-id
bridge-misconfigured   500 retry   request-id
ledger-unavailable     503 retry-2 -
overloaded             503 retry-1 -
body-incomplete        503 retry-1 -
internal-error         500 retry   -
signature-invalid      401 -       -
not-found              404 -       -
delivery-not-found     404 -       -
method-not-allowed     405 allow   -
body-too-large         413 -       -
media-type-unsupported 415 -       -
"""
"""For the profile ``status``: the code, the status, the action of the sender, and a member besides the texts."""

ROWS = {line.split()[0]: line.split()[1:] for line in CONTRACT.split("\n")[1:-1]}

ERRORS = [
    {"pointer": "#/type", "detail": 'must be "phone", "email", 1 or 2'},
    {"pointer": "#/contact", "detail": "is required"},
]

JSON, PROBLEM = {"content-type": "application/json"}, {"content-type": "application/problem+json"}


def expected(code: str, profile: str, request_id: str | None) -> HttpResponse:
    """Return the whole response according to `CONTRACT`."""
    status, action, member = int(ROWS[code][0]), ROWS[code][1], ROWS[code][2]
    outcome = BY_CODE[code]
    more: dict[str, Any] = {"api_request_id": request_id} if member == "request-id" else {}
    more |= {"errors": ERRORS} if member == "errors" else {}
    if code == "verified":
        document = {"code": "verified", "type": "phone", "contact": "187****4433", **more}
        return HttpResponse(200, JSON, json.dumps(document).encode() + b"\n")
    if code == "sent":
        document = {"code": "sent", "type": "phone", "contact": "187****4433", **more, "resend_after": 60}
        return HttpResponse(202, JSON, json.dumps(document).encode() + b"\n")
    detail = "Send at most 16384 bytes." if code == "body-too-large" else outcome.detail
    texts = {"title": outcome.title, "detail": detail}
    if action == "abort" and profile == "ack":
        return HttpResponse(200, JSON, json.dumps({"code": code, "verified": False} | texts | more).encode() + b"\n")
    if action == "abort" and profile == "supabase":
        error = {"http_code": status, "message": outcome.title}
        return HttpResponse(200, JSON, json.dumps({"error": error, "code": code}).encode() + b"\n")
    if action.startswith("retry") and profile == "supabase":
        error = {"http_code": 503, "message": outcome.title}
        return HttpResponse(
            503, JSON | {"retry-after": "1"}, json.dumps({"error": error, "code": code}).encode() + b"\n"
        )
    headers = PROBLEM | {
        "abort": {"webhook-delivery": "abort-message"},
        "allow": {"allow": "OPTIONS, POST"},
    }.get(action, {})
    if action.startswith("retry-"):
        headers = headers | {"retry-after": action[6:]}
    document = {
        "type": f"urn:signup-bridge:problem:{code}",
        "title": outcome.title,
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": action.startswith("retry"),
    }
    return HttpResponse(status, headers, json.dumps(document | more).encode() + b"\n")


def test_outcomes_are_complete_and_each_has_a_scenario() -> None:
    assert list(ROWS) == list(SCENES) == [outcome.code for outcome in OUTCOMES]


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_profile_formats_are_response_formats(profile: Profile) -> None:
    assert {profile.permanent, profile.retryable} <= set(get_args(ResponseFormat))


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("way", ["http", "event"])
@pytest.mark.parametrize("code", SCENES)
def test_response_in_each_profile_matches_its_format(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, code: str, way: str, profile: str
) -> None:
    if (code, way) == ("body-incomplete", "event"):
        return  # the body of an event cannot be incomplete
    if (code, profile) == ("idempotency-key-reused", "supabase"):
        return  # deliveries have no id in this profile; the next test covers direct invocations
    _, response = SCENES[code].play(Way(way), emulator, monkeypatch, SENDER_PROFILE=profile)
    if (code, profile) == ("send-limited", "supabase"):
        assert response.headers["idempotent-replayed"] == "true"  # the same body is the same delivery
        return
    request_id = emulator.calls[-1].request_id if emulator.calls else None
    assert response == expected(code, profile, request_id)
    has_id = BY_CODE[code].kind == "success" and profile != "supabase"  # its ids do not identify a delivery
    assert ("id" in json.loads(response.sent)) == has_id


def test_supabase_rejects_only_direct_ids_as_reused(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, SENDER_PROFILE="supabase")
    handle(bridged, DIRECT | {"id": "msg_1"})
    response = handle(bridged, DIRECT | {"id": "msg_1", "verify_code": WRONG})
    assert response == expected("idempotency-key-reused", "supabase", None)


@pytest.mark.parametrize("code", SCENES)
def test_profile_response_to_a_failure_never_looks_verified(code: str) -> None:
    for profile in PROFILES.values():
        if BY_CODE[code].kind != "success":
            document = json.loads(responses.from_rejection(RequestRejected(BY_CODE[code]), profile, "r-1").body)
            assert document["code"] == code
            assert document.get("verified") is not True


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("code", ["verified", "sent", "code-incorrect", "already-verified", "contact-invalid"])
def test_redelivery_in_each_profile_gets_identical_bytes(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, profile: str, code: str
) -> None:
    scene, way = SCENES[code], Way("http")
    request = scene.request
    if profile != "supabase":  # in that profile, each attempt has a new id, timestamp and signature
        request = replace(request, headers=lambda data: signed(data, delivery_id="msg_1"))
    bridged, first = replace(scene, request=request).play(way, emulator, monkeypatch, SENDER_PROFILE=profile)
    made = len(emulator.calls)
    replayed = way.ask(bridged, request)
    assert "idempotent-replayed" not in first.headers
    assert replayed == replay_of(first)
    assert len(emulator.calls) == made


@pytest.mark.parametrize("profile", PROFILES)
def test_get_delivery_in_each_profile_has_its_format(emulator: Emulator, profile: str) -> None:
    bridged = bridge(emulator.url, SENDER_PROFILE=profile)

    def ask(delivery_id: str) -> HttpResponse:
        response = bridged.client.get(f"/deliveries/{delivery_id}", headers=signed(b""))
        return parse_response(response.status_code, list(response.headers), response.data)

    direct = {"id": "direct-1", **DIRECT, "verify_code": WRONG}
    first = handle(bridged, direct)
    assert ask("direct-1") == first == expected("code-incorrect", profile, emulator.calls[0].request_id)
    emulator.faults.arm(Fault("close"))
    bridged.events.handle(direct | {"id": "direct-2", "verify_code": "111111"}, CONTEXT)
    assert ask("direct-2") == expected("outcome-unknown", profile, None)
    data = body(verify_code=WRONG)
    signed_id = bridged.post(data, signed(data, delivery_id="msg_1"))
    found = ask("msg_1")
    if profile == "supabase":  # its ids do not identify a delivery
        assert found.status == 404
    else:
        assert found == signed_id
    assert ask("nobody").status == 404
    assert ask("nobody").headers == PROBLEM


def test_supabase_identifies_a_delivery_by_its_content(emulator: Emulator) -> None:
    """Each of its attempts has a new id, timestamp and signature."""
    bridged = bridge(emulator.url, SENDER_PROFILE="supabase")
    data = body()
    emulator.faults.arm(Fault("LimitExceeded.RequestLimit"))
    tries = [bridged.post(data, signed(data)) for _ in range(3)]
    assert [one.status for one in tries] == [503, 200, 200]
    assert tries[2] == replay_of(tries[1])
    assert [result for _, result in calls(emulator)] == ["LimitExceeded.RequestLimit", "OK"]


def test_supabase_ignores_ids_in_headers(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, SENDER_PROFILE="supabase", WEBHOOK_AUTH="none")
    for key in ("one", "two", 'a malformed "one'):
        response = bridged.post(body(), {"Idempotency-Key": key, "ce-id": key})
        assert response.status == 200
    assert len(emulator.calls) == 1


@pytest.mark.parametrize("profile", PROFILES)
def test_service_routes_in_every_profile_respond_alike(emulator: Emulator, profile: str) -> None:
    bridged = bridge(emulator.url, SENDER_PROFILE=profile, LEDGER_URL="sqlite:////no/such/folder/x.db")
    response = bridged.client.get("/ready")
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    document = response.get_json()
    assert (document["code"], document["retryable"]) == ("ledger-unavailable", True)
    assert "LEDGER_URL" in document["detail"]
    assert bridged.client.get("/health").get_json()["status"] == "ok"


@pytest.mark.parametrize("profile", PROFILES)
def test_unsupported_event_in_each_profile_has_its_status(emulator: Emulator, profile: str) -> None:
    response = handle(bridge(emulator.url, SENDER_PROFILE=profile), {"headers": {}, "body": "{}"})
    assert response.status == expected("body-malformed", profile, None).status


@pytest.mark.parametrize("profile", PROFILES)
def test_ckafka_in_every_profile_retries_by_outcome(emulator: Emulator, profile: str) -> None:
    bridged: Bridge = bridge(emulator.url, StillClock(), SENDER_PROFILE=profile, REQUEST_BUDGET=2)
    messages = [json.dumps(DIRECT), json.dumps(DIRECT | {"verify_code": WRONG}), "{"]
    records = [
        {"Ckafka": {"topic": "t", "partition": 0, "offset": at, "msgBody": message}}
        for at, message in enumerate(messages)
    ]
    document = bridged.events.handle({"Records": records}, CONTEXT)
    assert document == {"records": 3, "ends": {"verified": 1, "already-verified": 1, "body-malformed": 1}}
    emulator.faults.arm(Fault("InternalError"))
    again = {"Ckafka": {"topic": "t", "partition": 0, "offset": 9, "msgBody": body(contact="10086").decode()}}
    with pytest.raises(Exception, match="1 of 1 records must be retried"):
        bridged.events.handle({"Records": [again]}, CONTEXT)


def test_supabase_gets_a_response_within_five_seconds(emulator: Emulator) -> None:
    """The default budget is shorter, and the bridge does not exceed it if the API is silent."""
    assert settings.load(environment(emulator.url, SENDER_PROFILE="supabase")).request_budget < 5
    bridged = bridge(emulator.url, StillClock(), SENDER_PROFILE="supabase", REQUEST_BUDGET=0.5)
    emulator.faults.arm(Fault("hang"))
    assert bridged.deliver() == expected("outcome-unknown", "supabase", None)
