"""Test code requests: their outcomes and responses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.web.profiles import PROFILES

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.scf.function import Shape
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.deliveries import ask, replay_of
from tests.support.bridge.event_builders import handle, url_event
from tests.support.bridge.instances import Bridge, bridge, calls, post
from tests.support.bridge.responses import HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import PHONE, body, signed
from tests.support.bridge.targets import Scf
from tests.support.scenarios.scenarios import Request, Way

SEND = "SendIntlPhoneEmailCode"
LIMITED = {"content-type": "application/problem+json"}


def wanted(**members: Any) -> bytes:
    document = {"type": "phone", "contact": PHONE} | members
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def ask_for(of: Bridge, delivery_id: str | None = None, **members: Any) -> HttpResponse:
    data = wanted(**members)
    return of.post(data, signed(data, delivery_id=delivery_id), path="/webhooks/code")


def sending(url: str, **changed: Any) -> Bridge:
    return bridge(url, SEND_CODES="true", **changed)


def last_code(emulator: Emulator, contact: str = PHONE) -> str:
    return next(one.code for one in emulator.domain.sent_codes() if one.contact[1] == contact)


def test_signup_with_send_and_verify_succeeds(emulator: Emulator) -> None:
    of = sending(emulator.url)
    sent = ask_for(of)
    request_id = emulator.calls[-1].request_id
    assert sent == HttpResponse(
        202,
        {"content-type": "application/json"},
        json.dumps(
            {
                "code": "sent",
                "type": "phone",
                "contact": "187****4433",
                "api_request_id": request_id,
                "resend_after": 60,
            }
        ).encode()
        + b"\n",
    )
    verified = of.deliver(verify_code=last_code(emulator))
    assert (verified.status, verified.json["code"]) == (200, "verified")
    assert calls(emulator) == [(SEND, "OK"), ("CreateIntlPhoneEmail", "OK")]


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("way", ["http", "event"])
def test_signup_in_every_profile_succeeds_by_http_and_by_events(emulator: Emulator, way: str, profile: str) -> None:
    of = sending(emulator.url, SENDER_PROFILE=profile)
    sent = Way(way).ask(of, Request(wanted(), path="/webhooks/code"))
    assert (sent.status, sent.json["code"]) == (202, "sent")
    verified = Way(way).ask(of, Request(body(verify_code=last_code(emulator))))
    assert (verified.status, verified.json["code"]) == (200, "verified")
    assert calls(emulator) == [(SEND, "OK"), ("CreateIntlPhoneEmail", "OK")]


@pytest.mark.parametrize("shape", ["web", "event"])
def test_signup_with_the_built_zip_succeeds(scf: Scf, emulator: Emulator, shape: Shape) -> None:
    with scf.start(shape, emulator.url, SEND_CODES="true") as platform:
        sent = post(f"{platform.url}/webhooks/code", wanted())
        verified = post(f"{platform.url}/webhooks/signup", body(verify_code=last_code(emulator)))
    assert (sent.status, sent.json["code"]) == (202, "sent")
    assert (verified.status, verified.json["code"]) == (200, "verified")


def test_send_codes_by_default_is_off(emulator: Emulator) -> None:
    of = bridge(emulator.url)
    assert ask_for(of).status == 404
    event = {"type": "phone", "contact": PHONE}
    assert handle(of, event | {"action": "send"}).json["code"] == "body-invalid", "the code is missing"
    assert calls(emulator) == []
    for action in ("signup", None, ["send"]):  # an unknown member, which is ignored
        result = handle(of, event | {"action": action, "verify_code": "000000"}).json
        assert result["code"] == "code-incorrect"


def test_code_request_redelivered_is_replayed(emulator: Emulator) -> None:
    of = sending(emulator.url)
    first = ask_for(of, "msg_1")
    assert ask_for(of, "msg_1") == replay_of(first)
    status, result = ask(of, "msg_1")
    assert (status, result) == (202, {name: value for name, value in first.json.items() if name != "contact"})
    assert calls(emulator) == [(SEND, "OK")]


def test_code_request_with_api_names_is_accepted(emulator: Emulator) -> None:
    sent = ask_for(sending(emulator.url), type=None, contact=None, Type=2, Code="jo@example.com")
    assert (sent.status, sent.json["type"], sent.json["contact"]) == (202, "email", "j***@example.com")


@pytest.mark.parametrize(
    ("members", "errors"),
    [
        ({"type": "fax", "contact": None}, [("#/type", "must be"), ("#/contact", "is required")]),
        ({"verify_code": "123456"}, [("#/verify_code", "must be absent")]),
        ({"Type": 1}, [("#/Type", "must not be combined with")]),
    ],
)
def test_invalid_code_request_is_rejected(
    emulator: Emulator, members: dict[str, Any], errors: list[tuple[str, str]]
) -> None:
    result = ask_for(sending(emulator.url), **members)
    assert (result.status, result.json["code"]) == (422, "body-invalid")
    assert len(result.json["errors"]) == len(errors)
    for one, (pointer, text) in zip(result.json["errors"], errors, strict=True):
        assert (one["pointer"], text in one["detail"]) == (pointer, True)
    assert calls(emulator) == []


def test_captured_verification_sends_no_message(emulator: Emulator) -> None:
    """No signature covers the path, so that an attacker can post a captured request to the other route."""
    mapped = {"PAYLOAD_CONTACT": "/contact", "PAYLOAD_CODE": "/verify_code", "PAYLOAD_TYPE": "/type"}
    clock = SetClock()
    of = bridge(emulator.url, clock, SEND_CODES="true", SENDER_PROFILE="supabase", **mapped)
    data = wanted(verify_code="123456")
    headers = signed(data)
    assert of.post(data, headers).status == 200
    clock.wall += 200  # the body hash that identifies it has expired, but the signature is still valid
    assert of.post(data, headers, path="/webhooks/code").json["error"]["http_code"] == 422
    assert [action for action, _ in calls(emulator)] == ["CreateIntlPhoneEmail"]
    assert of.post(wanted(verify_code=""), path="/webhooks/code").status == 202, "the code of a form can be empty"


OUTCOMES = {
    "InternalError.SendVerifyCodeErr": ("send-failed", 502, {}),
    "FailedOperation.SendVerifyCodeIsLimited": ("send-limited", 429, {"retry-after": "60"}),
    "LimitExceeded.RequestLimit": ("send-limited", 429, {"retry-after": "60"}),
    "InternalError.VerifiedPhoneEmailErr": ("already-verified", 409, {"webhook-delivery": "abort-message"}),
    "InvalidParameter.TelephoneIsInvalid": ("contact-invalid", 422, {"webhook-delivery": "abort-message"}),
    "FailedOperation.SendTcbPhoneEmailCodeFailed": ("bridge-misconfigured", 500, {}),
    "AuthFailure.SecretIdNotFound": ("bridge-misconfigured", 500, {}),
    "InternalError.VerifyCodeErr": ("upstream-failed", 502, {}),
    "InternalError.DomainInternalError": ("upstream-failed", 502, {}),
    "close": ("outcome-unknown", 504, {}),
}


@pytest.mark.parametrize("fault", OUTCOMES)
def test_send_error_of_the_api_maps_to_its_outcome(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault))
    result = ask_for(sending(emulator.url))
    code, status, headers = OUTCOMES[fault]
    retryable = code not in ("already-verified", "contact-invalid")
    request_id = None if fault == "close" else emulator.calls[-1].request_id
    check_problem(result, problem(code, status, retryable=retryable, api_request_id=request_id), LIMITED | headers)
    assert [action for action, _ in calls(emulator)] == [SEND]


def test_message_certainly_not_sent_may_be_requested_at_once(emulator: Emulator) -> None:
    of = sending(emulator.url)
    for fault in ("InternalError.SendVerifyCodeErr", "AuthFailure.SecretIdNotFound"):
        emulator.faults.arm(Fault(fault))
        assert ask_for(of, "msg_1").status in (500, 502)
    assert ask_for(of, "msg_1").status == 202


def test_throttled_send_is_retried_within_the_budget(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded"))
    assert ask_for(sending(emulator.url)).status == 202
    assert calls(emulator) == [(SEND, "RequestLimitExceeded"), (SEND, "OK")]


@pytest.mark.parametrize("fault", ["close", "InternalError.DomainInternalError"])
def test_message_perhaps_sent_is_not_repeated_within_the_interval(emulator: Emulator, fault: str) -> None:
    of = sending(emulator.url, SEND_INTERVAL=1)
    emulator.faults.arm(Fault(fault))
    assert ask_for(of, "msg_1").json["code"] in ("outcome-unknown", "upstream-failed")
    again = ask_for(of, "msg_1")
    assert (again.status, again.json["code"], again.headers["retry-after"]) == (429, "send-limited", "1")
    assert ask(of, "msg_1")[0] == 504
    assert len(emulator.calls) == 1


def test_verified_contact_when_concealed_gets_the_response_of_others(emulator: Emulator) -> None:
    of = sending(emulator.url, REVEAL_ALREADY_VERIFIED="false")
    emulator.faults.arm(Fault("InternalError.VerifiedPhoneEmailErr"))
    data = wanted()
    hidden = of.client.post("/webhooks/code", data=data, headers=signed(data, delivery_id="msg_1"))
    other = wanted(contact="18766554400")
    plain = of.client.post("/webhooks/code", data=other, headers=signed(other))
    assert hidden.status_code == plain.status_code == 202
    assert set(hidden.headers.keys()) == set(plain.headers.keys())
    assert "Server-Timing" not in hidden.headers
    assert set(hidden.get_json()) == set(plain.get_json())
    assert ask_for_status(of, "msg_1") == 202


def ask_for_status(of: Bridge, delivery_id: str) -> int:
    return of.client.get(f"/deliveries/{delivery_id}", headers=signed(b"")).status_code


@pytest.mark.parametrize("profile", ["status", "ack", "supabase"])
def test_send_in_each_profile_has_its_format(emulator: Emulator, profile: str) -> None:
    of = sending(emulator.url, SENDER_PROFILE=profile)
    assert (ask_for(of, "a").status, ask_for(of, "b").status) == (202, {"supabase": 202}.get(profile, 429))
    limited = ask_for(of, "c", contact="+86 187 6655 4433")
    assert limited.status == (503 if profile == "supabase" else 429)
    assert limited.headers["retry-after"] == ("1" if profile == "supabase" else "60")
    invalid = ask_for(of, contact="x")
    assert invalid.status == (422 if profile == "status" else 200)


def test_body_without_id_after_the_interval_requests_another_message(emulator: Emulator) -> None:
    """With GitHub's signature, only the body identifies a delivery. All requests for a contact have the same body."""
    clock = StillClock()
    of = bridge(emulator.url, clock, SEND_CODES="true", WEBHOOK_AUTH="none", SEND_INTERVAL=1)
    assert of.post(wanted(), {}, path="/webhooks/code").status == 202
    assert of.post(wanted(), {}, path="/webhooks/code").headers["idempotent-replayed"] == "true"
    clock.advance(1.1)
    again = of.post(wanted(), {}, path="/webhooks/code")
    assert (again.status, "idempotent-replayed" in again.headers) == (202, False)
    assert calls(emulator) == [(SEND, "OK")] * 2


def test_direct_invocation_with_action_send_sends_a_code(emulator: Emulator) -> None:
    of = sending(emulator.url)
    event = {"action": "send", "type": "phone", "contact": PHONE, "id": "one"}
    sent = handle(of, event)
    assert (sent.status, handle(of, event)) == (202, replay_of(sent))
    over_http = url_event(wanted(contact="10086"), path="/webhooks/code")
    assert handle(of, over_http).status == 202
    verify = {"action": "verify", "type": "phone", "contact": PHONE, "verify_code": last_code(emulator)}
    assert handle(of, verify).json["code"] == "verified"
    assert handle(of, event | {"action": "dance"}).json["errors"][0]["pointer"] == "#/action"


def test_supabase_body_of_a_code_request_is_mapped(emulator: Emulator) -> None:
    of = sending(emulator.url, PAYLOAD_PRESET="supabase")
    data = json.dumps({"user": {"email": "jo@example.com", "user_metadata": {}}}).encode()
    assert of.post(data, path="/webhooks/code").json["contact"] == "j***@example.com"


def test_prefix_not_allowed_gets_no_message(emulator: Emulator) -> None:
    of = sending(emulator.url, SEND_ALLOWED_PREFIXES="0086 +1")
    refused = ask_for(of, contact="+44 20 7946 0018")
    assert (refused.status, refused.headers["retry-after"]) == (429, "3600")
    assert ask_for(of, contact="0086 187 6655 4433").status == 202
    assert ask_for(of, type="email", contact="jo@example.com").status == 202
    assert len(emulator.calls) == 2


def test_thread_frozen_in_the_queue_sends_nothing(monkeypatch: pytest.MonkeyPatch, emulator: Emulator) -> None:
    clock = SetClock()
    of = bridge(emulator.url, clock, SEND_CODES="true", DOMAIN_API_RATE=5)
    ask_for(of)
    monkeypatch.setattr(clock, "sleep", lambda _seconds: setattr(clock, "run", 600.0))
    late = ask_for(of, "msg_1", contact="18766554400")
    assert (late.status, late.json["code"]) == (409, "in-progress")
    monkeypatch.undo()
    assert ask_for(of, "msg_1", contact="18766554400").status == 202, "the rejected message must not count"
    assert calls(emulator) == [(SEND, "OK")] * 2


def test_log_line_names_the_send_limit(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "signup_bridge")
    of = sending(emulator.url)
    ask_for(of)
    ask_for(of)
    first, second = (record.fields for record in caplog.records if record.getMessage() == "delivery")  # type: ignore[attr-defined]
    assert (first["action"], first["outcome"], "limit" in first) == ("send", "sent", False)
    assert (second["action"], second["outcome"], second["limit"]) == ("send", "send-limited", "interval")
    assert PHONE not in str([first, second])


def test_stored_already_verified_is_concealed_once_concealment_is_on(emulator: Emulator, tmp_path: Path) -> None:
    """A redelivery must not reveal the stored outcome."""
    ledger = {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    emulator.faults.arm(Fault("InternalError.VerifiedPhoneEmailErr"))
    assert ask_for(sending(emulator.url, **ledger), "msg_1").json["code"] == "already-verified"
    repeated = ask_for(sending(emulator.url, **ledger, REVEAL_ALREADY_VERIFIED="false"), "msg_1")
    assert (repeated.status, repeated.json["code"]) == (202, "sent")
    assert calls(emulator) == [(SEND, "InternalError.VerifiedPhoneEmailErr")]
