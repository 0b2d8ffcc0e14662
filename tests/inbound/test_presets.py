"""Test each preset of payload mappings with a body in its sender's documented form."""

from __future__ import annotations

import json
from typing import Any

import pytest
from signup_bridge.inbound.payload_mapping import PRESETS

from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.deliveries import ask, deliver, replay_of
from tests.support.bridge.event_builders import DIRECT, handle
from tests.support.bridge.instances import bridge, calls
from tests.support.bridge.responses import ABORT, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, signed

EMAIL = "jo@example.com"


def sample(name: str) -> Any:
    return json.loads((ROOT / "tests" / "samples" / f"{name}.json").read_text())


def sent_to(emulator: Emulator, kind: int, contact: str) -> str:
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": kind, "Code": contact})
    return emulator.domain.sent_codes()[0].code


@pytest.mark.parametrize("name", PRESETS)
def test_preset_reads_its_senders_body(emulator: Emulator, name: str) -> None:
    code = sent_to(emulator, 2, EMAIL)
    data = json.dumps(sample(name)).replace(CODE, code).encode()
    bridged = bridge(emulator.url, PAYLOAD_PRESET=name)
    response = bridged.post(data)
    assert response.json == {
        "code": "verified", "type": "email", "contact": "j***@example.com",
        "api_request_id": emulator.calls[-1].request_id,
    }  # fmt: skip
    assert emulator.calls[-1].contact == EMAIL


@pytest.mark.parametrize(
    ("name", "where", "phone"),
    [
        ("supabase", "user", {"email": "", "phone": PHONE}),
        ("clerk", "data", {"email_addresses": [], "phone_numbers": [{"phone_number": PHONE}]}),
        ("auth0", "data/object", {"email": None, "phone_number": PHONE}),
        ("cloudevents", "data", {"type": 1, "contact": PHONE}),
    ],
)
def test_preset_reads_a_phone_number(emulator: Emulator, name: str, where: str, phone: dict[str, Any]) -> None:
    document = sample(name)
    inner = document
    for member in where.split("/"):
        inner = inner[member]
    inner.update(phone)
    assert bridge(emulator.url, PAYLOAD_PRESET=name).post(json.dumps(document).encode()).json["type"] == "phone"


@pytest.mark.parametrize(
    ("name", "pointer"),
    [
        ("supabase", "#/user/user_metadata/verify_code"),
        ("clerk", "#/data/unsafe_metadata/verify_code"),
        ("auth0", "#/data/object/user_metadata/verify_code"),
        ("cloudevents", "#/data/verify_code"),
    ],
)
def test_preset_body_without_a_code_is_rejected(emulator: Emulator, name: str, pointer: str) -> None:
    data = json.dumps(sample(name)).replace("verify_code", "other").encode()
    expected = problem("body-invalid", 422, retryable=False, errors=[{"pointer": pointer, "detail": "is required"}])
    check_problem(bridge(emulator.url, PAYLOAD_PRESET=name).post(data), expected, ABORT)
    assert calls(emulator) == []


def test_mapped_body_ignores_the_bridges_names(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, PAYLOAD_CONTACT="/data/user/tel", PAYLOAD_CODE="/data/otp")
    document: dict[str, Any] = {
        "type": "user.created",
        "contact": 5,
        "id": [],
        "data": {"user": {"tel": PHONE}, "otp": CODE},
    }
    data = json.dumps(document).encode()
    first = bridged.post(data, signed(data, delivery_id="msg_1"))
    assert first.json["type"] == "phone"
    assert bridged.post(data, signed(data, delivery_id="msg_1")) == replay_of(first)
    assert deliver(bridged, "msg_2").json["errors"] == [
        {"pointer": "#/data/user/tel", "detail": "is required"}, {"pointer": "#/data/otp", "detail": "is required"},
    ]  # fmt: skip


def test_direct_invocation_is_not_mapped(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, PAYLOAD_PRESET="clerk")
    assert handle(bridged, DIRECT | {"id": "order-7"}).status == 200
    assert ask(bridged, "order-7")[0] == 200
    assert handle(bridged, sample("clerk")).json["code"] == "body-invalid"
