"""Test the console's REST interface, which offers every action of the page to a signup system's tests."""

from __future__ import annotations

import json
import time

import pytest
import requests

from tests.support.bridge.signed_requests import body, signed
from tests.support.emulator.console_requests import CONTACT, code_for, refusal, signed_up
from tests.support.emulator.make_run import Pair


def test_delivery_document_describes_whole_signup(pair: Pair) -> None:
    assert pair.get("codes") == []
    delivery = signed_up(pair)
    assert (delivery["number"], delivery["via"], delivery["sender"], delivery["state"]) == (
        1,
        "console",
        "standard",
        "done",
    )
    assert (delivery["outcome"], delivery["status"], delivery["message"]) == (
        "verified",
        200,
        "You are verified. Welcome!",
    )
    assert (delivery["type"], delivery["contact"], delivery["replayed"]) == ("phone", "187****1234", False)
    assert delivery["signature"] == {"valid": True, "reason": None}
    assert json.loads(delivery["request"]["body"])["contact"] == CONTACT
    assert {"webhook-id", "webhook-timestamp", "webhook-signature"} <= {
        name for name, _ in delivery["request"]["headers"]
    }
    (call,) = delivery["calls"]
    assert (call["action"], call["contact"], call["result"]) == ("CreateIntlPhoneEmail", CONTACT, "OK")
    assert json.loads(call["reply"])["Response"] == {"RequestId": call["request_id"]}
    assert json.loads(delivery["response"]["body"])["api_request_id"] == call["request_id"]
    assert delivery["log"]["trace_id"] == call["trace_id"]
    assert delivery["wait_ms"] is not None
    assert 0 < delivery["upstream_ms"] <= delivery["duration_ms"]
    assert pair.get("deliveries/1") == delivery
    assert pair.get("deliveries") == [delivery]
    (code,) = pair.get("codes")
    assert (code["state"], code["contact"], code["masked"]) == ("used", CONTACT, "187****1234")
    (listed,) = pair.get("verified")
    assert (listed["contact"], listed["type"]) == (CONTACT, "phone")


def test_list_filters_narrow_results(pair: Pair) -> None:
    signed_up(pair)
    pair.post("deliveries", {"contact": "jo@example.com", "verify_code": "000000"})
    assert [one["outcome"] for one in pair.get("deliveries")] == ["code-incorrect", "verified"]
    assert [one["number"] for one in pair.get("deliveries?contact=jo@example.com")] == [2]
    assert [one["number"] for one in pair.get("deliveries?outcome=verified")] == [1]
    assert [one["number"] for one in pair.get("deliveries?limit=1")] == [2]
    assert len(pair.get(f"codes?contact={CONTACT}")) == 1
    assert pair.get("codes?contact=10086") == []
    assert [one["action"] for one in pair.get(f"calls?contact={CONTACT}")] == [
        "CreateIntlPhoneEmail", "SendIntlPhoneEmailCode",
    ]  # fmt: skip
    assert [one["contact"] for one in pair.get("calls?action=SendIntlPhoneEmailCode")] == [CONTACT]


def test_redeliver_replays_and_rejects_stale_or_tampered(pair: Pair) -> None:
    first = signed_up(pair)
    again = pair.post("deliveries/1/redeliver", {"as": "fresh"})
    assert (again["outcome"], again["replayed"], again["repeats"], again["as"]) == ("verified", True, 1, "fresh")
    assert again["delivery_id"] == first["delivery_id"]
    assert again["response"]["body"] == first["response"]["body"]
    assert again["calls"] == []
    stale = pair.post("deliveries/1/redeliver", {"as": "stale"})
    assert (stale["outcome"], stale["status"]) == ("signature-invalid", 401)
    assert stale["signature"] == {"valid": False, "reason": "timestamp outside the tolerance"}
    tampered = pair.post("deliveries/1/redeliver", {"as": "tampered"})
    assert tampered["signature"] == {"valid": False, "reason": "no signature matches"}
    assert len(tampered["request"]["body"]) == len(first["request"]["body"])


@pytest.mark.parametrize(
    ("sender", "outcome"),
    [("standard", "verified"), ("svix", "verified"), ("supabase", "verified"), ("github", "signature-invalid"),
     ("bearer", "signature-invalid"), ("none", "signature-invalid")],
)  # fmt: skip
def test_each_sender_signs_with_its_own_scheme(pair: Pair, sender: str, outcome: str) -> None:
    delivery = signed_up(pair, sender)
    assert (delivery["sender"], delivery["outcome"]) == (sender, outcome)
    again = pair.post("deliveries/1/redeliver", {})
    assert (again["delivery_id"] == delivery["delivery_id"]) is (sender != "supabase")


def test_redeliver_stale_is_rejected_for_sender_without_timestamp(pair: Pair) -> None:
    signed_up(pair, "bearer")
    status, error = refusal(pair, "POST", "deliveries/1/redeliver", {"as": "stale"})
    assert (status, error) == (409, "as: stale is not supported for the sender bearer, which signs no timestamp")


def test_proxy_returns_response_of_bridge(pair: Pair) -> None:
    data = body(contact="10086", verify_code="000000")
    headers = signed(data, secret=pair.secret)
    direct = requests.post(f"{pair.bridge}/webhooks/signup", data=data, headers=headers, timeout=60)
    while not pair.get("deliveries"):  # its log line has not arrived yet
        time.sleep(0.05)
    headers["traceparent"] = f"00-{'ab' * 16}-{'cd' * 8}-01"
    through = requests.post(f"{pair.url}/webhooks/signup", data=data, headers=headers, timeout=60)
    assert (through.status_code, through.reason) == (direct.status_code, direct.reason)
    assert through.json() == direct.json() | {"request_id": through.headers["X-Request-Id"]}
    assert through.headers["Idempotent-Replayed"] == "true"
    same = set(direct.headers) - {"Date", "Server", "Connection"}
    assert same <= set(through.headers)
    passed, straight = pair.get("deliveries")
    assert (passed["via"], passed["replayed"], passed["log"]["trace_id"]) == ("proxy", True, "ab" * 16)
    assert dict(passed["request"]["headers"])["webhook-signature"] == headers["webhook-signature"]
    assert (straight["via"], straight["request"], straight["response"]) == ("bridge", None, None)
    assert (straight["outcome"], straight["status"], straight["contact"]) == ("code-incorrect", 422, "***86")
    assert [call["result"] for call in straight["calls"]] == ["InternalError.VerifyCodeErr"]
    status, error = refusal(pair, "POST", f"deliveries/{straight['number']}/redeliver", {})
    assert (status, error) == (409, "the request is unknown, because it was posted directly to the bridge")
    other = requests.get(f"{pair.url}/webhooks/signup", timeout=60)
    assert (other.status_code, other.headers["Allow"]) == (405, "OPTIONS, POST")


def test_lost_reply_is_resolved_by_next_delivery(pair: Pair) -> None:
    code = code_for(pair)
    armed = pair.post("faults", {"fault": "hang", "action": "CreateIntlPhoneEmail", "contact": CONTACT})
    assert armed == {"fault": "hang", "action": "CreateIntlPhoneEmail", "contact": CONTACT, "times": 1}
    assert pair.get("faults")["armed"] == [armed]
    lost = pair.post("deliveries", {"contact": CONTACT, "verify_code": code})
    assert (lost["outcome"], lost["status"], lost["retryable"]) == ("outcome-unknown", 504, True)
    assert [(call["fault"], call["reply"]) for call in lost["calls"]] == [("hang", None)]
    assert pair.get("faults")["armed"] == []
    found = pair.post("deliveries/1/redeliver", {"as": "fresh"})
    assert (found["outcome"], found["resolved"]) == ("verified", True)
    assert [call["action"] for call in found["calls"]] == ["DescribeIntlPhoneEmailList"]


def test_faults_are_listed_and_disarmed(pair: Pair) -> None:
    known = pair.get("faults")
    assert {"hang", "reset", "truncate"} <= {one["fault"] for one in known["wire"]}
    assert "InternalError.VerifyCodeErr" in {one["code"] for one in known["api_codes"]}
    pair.post("faults", {"fault": "RequestLimitExceeded", "action": "SendIntlPhoneEmailCode", "times": 2})
    response = requests.post(f"{pair.url}/emulator/codes", json={"contact": CONTACT}, timeout=60)
    assert (response.status_code, response.json()["api_code"]) == (409, "RequestLimitExceeded")
    assert requests.delete(f"{pair.url}/emulator/faults", timeout=60).json() == {"armed": 0}
    assert code_for(pair)


def test_reset_clears_bridge_too(pair: Pair) -> None:
    for _ in range(6):
        last = pair.post("deliveries", {"contact": CONTACT, "verify_code": "000000"})
    assert last["outcome"] == "attempts-exhausted"
    pair.reset()
    assert (pair.get("deliveries"), pair.get("codes"), pair.get("calls")) == ([], [], [])
    assert signed_up(pair)["outcome"] == "verified"


def test_behaviour_is_changed_by_patch(pair: Pair) -> None:
    before = pair.get("behaviour")
    assert {one["name"]: one["default"] for one in pair.get("behaviour/options")} == before
    url = f"{pair.url}/emulator/behaviour"
    assert requests.patch(url, json={"code_life": 0.001}, timeout=60).json() == {**before, "code_life": 0.001}
    assert signed_up(pair)["outcome"] == "code-incorrect"
    assert pair.get("codes")[0]["state"] == "expired"
    assert refusal(pair, "PATCH", "behaviour", {"code_life": -1})[0] == 422
    pair.reset()
    assert pair.get("behaviour") == before


def test_magic_contacts_are_listed(pair: Pair) -> None:
    row = next(one for one in pair.get("inputs") if one["contact"] == "wrong-code@outcome.example")
    delivery = pair.post("deliveries", {"contact": row["contact"], "verify_code": "123456"})
    assert (delivery["outcome"], delivery["status"]) == (row["outcome"], row["status"])


def test_delivery_without_wait_returns_immediately(pair: Pair) -> None:
    pair.post("faults", {"fault": "hang", "action": "CreateIntlPhoneEmail"})
    delivery = pair.post("deliveries", {"contact": "10011", "verify_code": "000000", "wait": False})
    assert (delivery["state"], delivery["response"], delivery["message"]) == ("working", None, None)
    while pair.get("deliveries/1")["state"] == "working":
        time.sleep(0.05)
    assert pair.get("deliveries/1")["outcome"] == "outcome-unknown"


def test_event_stream_reports_each_event(pair: Pair) -> None:
    with requests.get(f"{pair.url}/emulator/events", stream=True, timeout=60) as events:
        assert events.headers["Content-Type"].startswith("text/event-stream")
        signed_up(pair)
        pair.reset()
        received = []
        for line in events.iter_lines(chunk_size=1):
            if line.startswith(b"event: "):
                received.append(line.decode().removeprefix("event: "))
            if received[-1:] == ["reset"]:
                break
    assert received[0] == "code"
    assert received.count("delivery") >= 2
    assert set(received) == {"code", "delivery", "reset"}


def test_delivery_in_progress_at_reset_is_discarded(pair: Pair) -> None:
    pair.post("faults", {"fault": "hang", "action": "CreateIntlPhoneEmail"})
    pair.post("deliveries", {"contact": "10010", "verify_code": "000000", "wait": False})
    while not pair.get("calls"):
        time.sleep(0.05)
    ended = pair.log.read_text().count('"outcome-unknown"')
    pair.reset()
    pair.reset()
    while pair.log.read_text().count('"outcome-unknown"') == ended:  # until the bridge has given up
        time.sleep(0.05)
    time.sleep(0.2)  # the emulator also has to read the bridge's line
    assert pair.get("deliveries") == []


def test_signup_by_two_webhooks_through_bridge(pair: Pair) -> None:
    assert pair.get("status")["sends"] is True
    sent = pair.post("deliveries", {"contact": CONTACT})
    assert (sent["outcome"], sent["status"], sent["message"]) == ("sent", 202, "We have sent you a code.")
    assert sent["request"]["path"] == "/webhooks/code"
    assert [call["action"] for call in sent["calls"]] == ["SendIntlPhoneEmailCode"]
    (code,) = pair.get("codes")
    verified = pair.post("deliveries", {"contact": CONTACT, "verify_code": code["code"]})
    assert verified["outcome"] == "verified"
    again = pair.post(f"deliveries/{sent['number']}/redeliver", {})
    assert (again["outcome"], again["replayed"]) == ("sent", True)
    assert pair.post("deliveries", {"contact": CONTACT})["outcome"] == "send-limited"
