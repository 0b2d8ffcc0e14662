"""REST beside the page: everything that the page does, for a signup system's own tests."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from signup_emulator.server import Emulator
from signup_toolkit import senders
from tests.support.bridge.signed_requests import body, signed
from tests.support.emulator.make_run import Pair, running_pair

CONTACT = "18700001234"


def code_for(pair: Pair, contact: str = CONTACT) -> str:
    code: str = pair.post("codes", {"contact": contact})["code"]
    return code


def signed_up(pair: Pair, sender: str = "standard", contact: str = CONTACT) -> Any:
    order = {"contact": contact, "verify_code": code_for(pair, contact), "sender": sender}
    return pair.post("deliveries", order)


def refusal(pair: Pair, method: str, path: str, document: Any = None) -> tuple[int, str]:
    response = requests.request(method, f"{pair.url}/emulator/{path}", json=document, timeout=60)
    return response.status_code, response.json()["error"]


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
    assert json.loads(delivery["response"]["body"])["request_id"] == call["request_id"]
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
    assert (status, error) == (409, "the sender bearer signs no timestamp, so its signature cannot be stale")


def test_proxy_returns_response_of_bridge(pair: Pair) -> None:
    data = body(contact="10086", verify_code="000000")
    headers = signed(data, secret=senders.DEMO_SECRET)
    direct = requests.post(f"{pair.bridge}/webhooks/signup", data=data, headers=headers, timeout=60)
    while not pair.get("deliveries"):  # its log line is on its way
        time.sleep(0.05)
    headers["traceparent"] = f"00-{'ab' * 16}-{'cd' * 8}-01"
    through = requests.post(f"{pair.url}/webhooks/signup", data=data, headers=headers, timeout=60)
    assert (through.status_code, through.reason, through.content) == (direct.status_code, direct.reason, direct.content)
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
    assert (status, error) == (409, "the request is not known: it was posted directly to the bridge")
    other = requests.get(f"{pair.url}/webhooks/signup", timeout=60)
    assert (other.status_code, other.headers["Allow"]) == (405, "POST")


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


@pytest.mark.parametrize("fault", ["html", "empty-response", "error-without-content-type", "reset"])
def test_send_code_with_broken_reply_returns_409(pair: Pair, fault: str) -> None:
    pair.post("faults", {"fault": fault, "action": "SendIntlPhoneEmailCode"})
    response = requests.post(f"{pair.url}/emulator/codes", json={"contact": CONTACT}, timeout=60)
    assert response.status_code == 409, response.text


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


@pytest.mark.parametrize(
    ("method", "path", "document", "status", "words"),
    [
        ("POST", "codes", {}, 422, "contact: is required"),
        ("POST", "codes", [], 422, "the body must be a JSON object"),
        ("POST", "codes", {"contact": 5}, 422, "contact: must be a string"),
        ("POST", "codes", {"contact": "1", "type": "fax"}, 422, "type: must be one of phone, email"),
        ("POST", "deliveries", {"contact": "1", "verify_code": "2", "x": 1}, 422, "x: is not supported"),
        ("POST", "deliveries", {"contact": "1", "verify_code": "2", "wait": 1}, 422, "wait: must be a boolean"),
        ("POST", "deliveries", {"contact": "1", "verify_code": "2", "sender": "x"}, 422, "sender: must be one of"),
        ("POST", "deliveries/7/redeliver", {"as": "x"}, 422, "as: must be one of fresh, stale, tampered"),
        ("POST", "deliveries/7/redeliver", {}, 409, "there is no delivery 7"),
        ("GET", "deliveries/7", None, 404, "There is no delivery 7."),
        ("GET", "deliveries/7/curl", None, 409, "there is no delivery 7"),
        ("GET", "deliveries?limit=x", None, 422, "limit: must be a whole number"),
        ("PATCH", "behaviour", {"nothing": 1}, 422, "nothing: is not supported"),
        ("GET", "nothing", None, 404, "not found"),
    ],
)  # fmt: skip
def test_invalid_request_is_explained(
    pair: Pair, method: str, path: str, document: Any, status: int, words: str
) -> None:
    response_status, error = refusal(pair, method, path, document)
    assert response_status == status
    assert words in error


def test_emulator_without_bridge_has_codes_but_no_deliveries(emulator: Emulator) -> None:
    url = f"{emulator.url}/emulator"
    assert requests.get(f"{url}/status", timeout=60).json()["bridge"] is None
    assert requests.post(f"{url}/codes", json={"contact": CONTACT}, timeout=60).status_code == 201
    for path in ("emulator/deliveries", "webhooks/signup"):
        order = {"contact": CONTACT, "verify_code": "000000"}
        response = requests.post(f"{emulator.url}/{path}", json=order, timeout=60)
        assert response.status_code == 409
        assert "signup-bridge run" in response.json()["error"]


def test_delivery_in_progress_at_reset_is_discarded(pair: Pair) -> None:
    pair.post("faults", {"fault": "hang", "action": "CreateIntlPhoneEmail"})
    pair.post("deliveries", {"contact": "10010", "verify_code": "000000", "wait": False})
    while not pair.get("calls"):
        time.sleep(0.05)
    ended = pair.log.read_text().count('"outcome-unknown"')
    pair.reset()
    pair.reset()
    while pair.log.read_text().count('"outcome-unknown"') == ended:  # until the bridge gives up
        time.sleep(0.05)
    time.sleep(0.2)  # the emulator reads the bridge's line, too
    assert pair.get("deliveries") == []


def test_malformed_http_to_proxy_ends_delivery(pair: Pair) -> None:
    address = urlsplit(pair.url)
    with socket.create_connection((address.hostname, address.port or 0), timeout=60) as connection:
        head = f"Host: {address.netloc}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        connection.sendall(b"POST /webhooks/\xff HTTP/1.1\r\n" + head)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 502 ")
    assert [one["state"] for one in pair.get("deliveries")] == ["done"]


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


def test_bridge_without_send_codes_requires_code(tmp_path: Path) -> None:
    with running_pair(tmp_path, SEND_CODES="false") as pair:
        assert pair.get("status")["sends"] is False
        response_status, error = refusal(pair, "POST", "deliveries", {"contact": CONTACT})
        assert (response_status, error.startswith("verify_code: is required")) == (409, True)
