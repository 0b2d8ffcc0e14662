"""Test that the error of a Supabase hook names what the person can correct."""

from __future__ import annotations

import json
from typing import Any

import pytest
from signup_bridge.core.outcomes import BY_CODE

from signup_emulator.server import Emulator
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import body

FORMAT = "has an invalid format"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"verify_code": "12"}, f"The verification code {FORMAT}"),
        ({"verify_code": ""}, "The verification code is required"),
        ({"verify_code": None}, "The verification code is required"),
        ({"contact": "1008"}, f"The phone number {FORMAT}"),
        ({"type": 2, "contact": "jo@example"}, f"The email address {FORMAT}"),
        ({"contact": ""}, "The phone number is required"),
        ({"contact": "1008", "verify_code": "x"}, f"The phone number {FORMAT}. The verification code {FORMAT}"),
        ({"contact": "1008", "verify_code": ""}, f"The phone number {FORMAT}. The verification code is required"),
        ({"verify_code": 123456}, "The request has invalid members"),
        ({"verify_code": None, "verifyCode": "123456"}, "The request has invalid members"),
        ({"type": 3, "verify_code": "12"}, "The request has invalid members"),
        ({"Code": "1", "verify_code": "12"}, "The request has invalid members"),
    ],
)
def test_hook_error_tells_the_person_what_to_correct(emulator: Emulator, members: dict[str, Any], message: str) -> None:
    data = body(**members)
    by_hook, acknowledged, problem = (
        bridge(emulator.url, WEBHOOK_AUTH="none", SENDER_PROFILE=profile).post(data, {}).json
        for profile in ("supabase", "ack", "status")
    )
    assert by_hook == {"error": {"http_code": 422, "message": message}, "code": "body-invalid"}
    assert acknowledged["title"] == message
    assert problem["title"] == BY_CODE["body-invalid"].title == "The request has invalid members", "always the same"


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"email": "jo@example", "user_metadata": {"verify_code": "123456"}}, f"The email address {FORMAT}"),
        ({"email": "", "phone": "1", "user_metadata": {"verify_code": "123456"}}, f"The phone number {FORMAT}"),
        ({"email": "jo@example.com", "user_metadata": {}}, "The verification code is required"),
        ({"email": "", "user_metadata": {"verify_code": "123456"}}, "The phone number or email address is required"),
    ],
)
def test_supabase_hook_error_tells_the_user_what_to_correct(
    emulator: Emulator, user: dict[str, Any], message: str
) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none", SENDER_PROFILE="supabase", PAYLOAD_PRESET="supabase")
    response = bridged.post(json.dumps({"user": user}).encode(), {})
    assert response.json == {"error": {"http_code": 422, "message": message}, "code": "body-invalid"}


def test_hook_error_to_a_code_request_tells_what_to_correct(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none", SENDER_PROFILE="supabase", SEND_CODES="true")
    response = bridged.post(body(contact="1008", verify_code=None), {}, path="/webhooks/code")
    error = {"http_code": 422, "message": f"The phone number {FORMAT}"}
    assert response.json == {"error": error, "code": "body-invalid"}
    with_a_code = bridged.post(body(contact="1008"), {}, path="/webhooks/code")
    assert with_a_code.json["error"]["message"] == "The request has invalid members"
