"""Test contacts that choose their outcome, through a bridge and real sockets, and the recorded calls."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
import requests
from signup_bridge.core.outcomes import BY_CODE
from signup_bridge.upstream.error_codes import API_CODES as JUDGED
from signup_bridge.upstream.error_codes import API_FAMILIES

from signup_emulator.api.account.domain import ACTIONS
from signup_emulator.api.account.error_codes import API_CODES
from signup_emulator.api.calls import Call, Calls
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.api.faults.magic_contacts import CREATE, MAGIC_CONTACTS, SEND, MagicContact, find_magic_contact
from signup_emulator.api.faults.wire_faults import WIRE_FAULTS
from signup_emulator.server import Emulator
from tests.support.bridge.instances import Bridge, bridge, patient
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.emulator.api_client import EXAMPLE, ask, error_of, sdk, signed_by_hand

BY_NAME = {row.name: row for row in MAGIC_CONTACTS}


def deliver_code(bridged: Bridge, contact: str, delivery_id: str, code: str = "4711") -> tuple[str, int]:
    """Return code and status of the bridge's response."""
    data = body(type="email" if "@" in contact else "phone", contact=contact, verify_code=code)
    response = bridged.post(data, signed(data, delivery_id=delivery_id))
    return response.json["code"], response.status


@pytest.fixture
def at_once(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let slow contacts' replies arrive immediately; return the list of the skipped seconds."""
    waited: list[float] = []
    monkeypatch.setattr(emulator.stopping, "wait", waited.append)
    return waited


@pytest.mark.parametrize("form", ["phone", "email"])
@pytest.mark.parametrize("row", MAGIC_CONTACTS, ids=lambda row: row.name)
def test_magic_contact_ends_as_table_says(
    emulator: Emulator, at_once: list[float], row: MagicContact, form: str
) -> None:
    bridged = patient(emulator, row.fault)
    contact = getattr(row, form)
    assert deliver_code(bridged, contact, "msg_1") == (row.outcome, row.status)
    deliver_code(bridged, contact, "msg_1")
    assert deliver_code(bridged, contact, "msg_1") == (row.end, row.end_status)
    assert (row.status, row.end_status) == (BY_CODE[row.outcome].status, BY_CODE[row.end].status)
    assert at_once == ([row.delay] if row.delay else [])


@pytest.mark.parametrize(
    "row", [row for row in MAGIC_CONTACTS if row.outcome != "outcome-unknown"], ids=lambda row: row.name
)
def test_definitive_magic_contact_has_same_outcome_each_time(
    emulator: Emulator, at_once: list[float], row: MagicContact
) -> None:
    """The outcome does not depend on the delivery, the code or the emulator's state."""
    bridged = patient(emulator, row.fault)
    for code in ("4711", "4712"):
        assert deliver_code(bridged, row.email, f"msg_{code}", code) == (row.outcome, row.status)
    emulator.reset()
    assert deliver_code(bridged, row.email, "msg_3", "4713") == (row.outcome, row.status)


def test_other_contacts_are_not_magic(emulator: Emulator, default_bridge: Bridge) -> None:
    others = ("jo@outcome.example", "wrong-code@example.com", "wrong-code@other.outcome.example", "12025550199")
    for number, contact in enumerate(others):
        assert [find_magic_contact(action, contact) for action in ACTIONS] == [None] * 4
        emulator.domain.perform(SEND, {"Type": 2 if "@" in contact else 1, "Code": contact})
        code = emulator.domain.sent_codes()[0].code
        assert deliver_code(default_bridge, contact, f"msg_{number}", code) == ("verified", 200)


@pytest.mark.parametrize(
    "contact",
    [
        "+12025550101",
        "12025550101",
        "+1.2025550101",
        "+1 (202) 555-0101",
        "Wrong-Code@Outcome.example",
        "wrong-code+of-my-test-7@outcome.example",
    ],
)
def test_every_spelling_of_magic_contact_is_recognised(
    emulator: Emulator, default_bridge: Bridge, contact: str
) -> None:
    assert find_magic_contact(CREATE, contact) is BY_NAME["wrong-code"]
    assert deliver_code(default_bridge, contact, "msg_1") == ("code-incorrect", 422)


def test_magic_contact_affects_only_its_action(emulator: Emulator) -> None:
    """A contact for which every code is wrong can receive one, and a contact without a code can be deleted."""
    client, wrong, limited = sdk(emulator), BY_NAME["wrong-code"], BY_NAME["send-limited"]
    client.call_json(SEND, {"Type": 1, "Code": wrong.phone})
    assert [sent.contact for sent in emulator.domain.sent_codes()] == [(1, wrong.phone)]
    assert error_of(client, SEND, {"Type": 2, "Code": limited.email}) == "FailedOperation.SendVerifyCodeIsLimited"
    assert error_of(client, "DeleteIntlPhoneEmail", {"Type": 2, "Code": limited.email}) == "ResourceNotFound"
    assert len(emulator.domain.sent_codes()) == 1


def test_any_code_contact_is_on_list(emulator: Emulator) -> None:
    contact = {"Type": 2, "Code": BY_NAME["any-code"].email}
    client = sdk(emulator)
    client.call_json(CREATE, contact | {"VerifyCode": "4711"})
    client.call_json(CREATE, contact | {"VerifyCode": "4712"})
    assert client.call_json("DescribeIntlPhoneEmailList", {"Type": 2})["Response"]["TotalCount"] == 1
    client.call_json("DeleteIntlPhoneEmail", contact)


def test_api_checks_and_armed_faults_take_precedence(emulator: Emulator) -> None:
    contact = {"Type": 2, "Code": BY_NAME["any-code"].email, "VerifyCode": CODE}
    client = sdk(emulator)
    assert error_of(sdk(emulator, key="wrong"), CREATE, contact) == "AuthFailure.SignatureFailure"
    assert error_of(client, CREATE, contact | {"Type": 1}) == "InvalidParameterValue.InvalidParameterFormat"
    emulator.domain.change({"rate": 1})
    assert error_of(client, CREATE, contact) == "RequestLimitExceeded"
    emulator.domain.change({"rate": 0})
    emulator.faults.arm(Fault("InternalError.JsonMarshal"))
    assert error_of(client, CREATE, contact) == "InternalError.JsonMarshal"
    client.call_json(CREATE, contact)


def test_magic_contacts_are_unique_and_valid() -> None:
    assert (
        len({row.phone for row in MAGIC_CONTACTS}) == len({row.email for row in MAGIC_CONTACTS}) == len(MAGIC_CONTACTS)
    )
    for row in MAGIC_CONTACTS:
        assert 12025550100 <= int(row.phone.removeprefix("+")) <= 12025550199
        assert row.fault is None or row.fault in WIRE_FAULTS or Fault(row.fault)


def test_stopping_emulator_does_not_wait_for_delay() -> None:
    with Emulator(rate=0) as emulator:
        emulator.delay = 3600.0  # only the test's own timeout would end it
        bridged = bridge(emulator.url)
        waiting = threading.Thread(target=bridged.deliver)
        waiting.start()
        while not emulator.calls:
            time.sleep(0.01)
    waiting.join()


def test_every_classified_api_code_has_description() -> None:
    sent = {"InternalError.SendVerifyCodeErr", "FailedOperation.SendVerifyCodeIsLimited"}
    others = {"InternalError.DeletePhoneEmailVerifyErr", "InternalError.DescribePhoneEmailListErr"}  # not in JUDGED
    sub_codes = {code for code in API_CODES if code.partition(".")[0] in API_FAMILIES}
    assert set(API_CODES) == {*JUDGED, *sub_codes, *sent, *others}
    for code, meaning in API_CODES.items():
        assert Fault(code)
        assert meaning


def test_error_message_describes_api_code(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("InternalError.NeedLogin"))
    emulator.faults.arm(Fault("FailedOperation.Newer"))
    for message in (API_CODES["InternalError.NeedLogin"], "An armed error."):
        assert error_of(sdk(emulator), CREATE, EXAMPLE)
        assert json.loads(emulator.calls[-1].reply or "")["Response"]["Error"]["Message"] == message


REPLIES: dict[str, Any] = {
    "hang": None, "reset": None, "close": None, "unprocessed": None, "truncate": "half", "stall-body": "half",
    "drip": "whole", "empty-object": "{}", "empty-response": '{"Response": {}}', "http-502": "Sign in",
    "html": "Sign in", "redirect": "Sign in", "error-with-charset": "VerifyCodeErr",
    "error-without-content-type": "VerifyCodeErr",
}  # fmt: skip


def test_every_wire_fault_has_expected_reply() -> None:
    assert set(REPLIES) == set(WIRE_FAULTS)


@pytest.mark.parametrize("fault", REPLIES)
def test_recorded_call_shows_broken_reply(emulator: Emulator, fault: str) -> None:
    emulator.faults.arm(Fault(fault))
    patient(emulator, fault).deliver()
    (call,) = emulator.calls
    whole = json.dumps({"Response": {"RequestId": call.request_id}})
    wanted = REPLIES[fault]
    if wanted is None:
        assert call.reply is None
    elif wanted in ("half", "whole"):
        assert call.reply == (whole if wanted == "whole" else whole[: len(whole) // 2])
    else:
        assert wanted in (call.reply or "")


def test_recorded_call_has_request_reply_and_trace(emulator: Emulator) -> None:
    emulator.delay = 0.05
    trace = {"X-TC-TraceId": "0af7651916cd43dd8448eb211c80319c"}
    sdk(emulator).call(CREATE, EXAMPLE, headers=dict(trace))
    again = json.dumps(EXAMPLE).encode()
    untraced = signed_by_hand(again, emulator.url.removeprefix("http://"))
    assert ask(emulator, again, untraced) == "InternalError.VerifiedPhoneEmailErr"
    second, first = requests.get(f"{emulator.url}/emulator/calls", timeout=60).json()
    assert first.pop("at")
    assert first.pop("duration_ms") >= 50
    request_id = first.pop("request_id")
    assert first == {
        "action": CREATE,
        "contact": PHONE,
        "result": "OK",
        "fault": None,
        "trace_id": trace["X-TC-TraceId"],
        "request": EXAMPLE,
        "reply": json.dumps({"Response": {"RequestId": request_id}}),
    }
    assert second["trace_id"] is None
    assert second["result"] in second["reply"]
    assert second["request_id"] in second["reply"]


def test_calls_keep_newest_entries(emulator: Emulator) -> None:
    def call(number: int) -> Call:
        return Call(number, CREATE, PHONE, "OK", str(number))

    calls = Calls(limit=3)
    for number in range(5):
        calls.append(call(number))
    assert calls == [call(2), call(3), call(4)] == calls[0:]
    calls.clear()

    def note() -> None:
        for number in range(500):
            calls.append(call(number))

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 3
    assert emulator.calls.limit == 10_000
