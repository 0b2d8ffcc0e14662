"""Test faults of the emulated API that are armed with REST requests."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import PHONE
from tests.support.emulator.api_client import EXAMPLE, error_of, sdk


def test_faults_are_armed_and_cleared_over_rest(emulator: Emulator) -> None:
    url = f"{emulator.url}/emulator/faults"
    bridged = bridge(emulator.url)
    armed: Any = {
        "fault": "InternalError.AddPhoneEmailErr",
        "action": "CreateIntlPhoneEmail",
        "contact": PHONE,
        "times": 2,
    }
    assert requests.post(url, json=armed, timeout=60).json() == armed
    requests.post(url, json={"fault": "http-502", "action": "DeleteIntlPhoneEmail"}, timeout=60)
    assert bridged.deliver(contact="10086").json["code"] == "code-incorrect"
    assert [bridged.deliver().status for _ in range(3)] == [502, 502, 409]
    assert [call.fault for call in emulator.calls if call.action == "CreateIntlPhoneEmail"][1:] == [armed["fault"]] * 2
    requests.post(url, json={"fault": "html"}, timeout=60)
    assert requests.delete(url, timeout=60).json() == {"armed": 0}
    assert bridged.deliver().json["code"] == "verified"


@pytest.mark.parametrize(
    "code",
    ["InvalidParameter.UpTo4000", "InternalError.DeletePhoneEmailVerifyErr", "UnsupportedOperation.NOT_SUPPORTED",
     "FailedOperation.Code2Err", "Failed2", "MissingParameter.cmq"],
)  # fmt: skip
def test_any_well_formed_api_code_can_be_armed(emulator: Emulator, code: str) -> None:
    armed = requests.post(f"{emulator.url}/emulator/faults", json={"fault": code}, timeout=5)
    assert armed.status_code == 200
    assert error_of(sdk(emulator), "DescribeIntlPhoneEmailList", {"Type": 1}) == code


def test_fault_catalogue_has_documented_codes_of_each_action(emulator: Emulator) -> None:
    """The codes are from the API's reference, in the form of the official Go SDK's comments on each action."""
    product = (
        "InternalError.ForbiddenRequest InternalError.JsonMarshal InternalError.MethodNotMatch InternalError.NeedLogin "
        "InternalError.ReadBodyError InvalidParameterValue.InvalidParameterFormat MissingParameter.ActionNotFound"
    )
    create = "InternalError.AddPhoneEmailErr InternalError.CheckVerifyCodeErr InternalError.VerifiedPhoneEmailErr"
    others = (
        "InternalError.VerifyCodeErr InternalError.SendVerifyCodeErr InternalError.DeletePhoneEmailVerifyErr "
        "InternalError.DescribePhoneEmailListErr"
    )
    known = requests.get(f"{emulator.url}/emulator/faults", timeout=5).json()["api_codes"]
    assert {one["code"] for one in known} >= set(f"{product} {create} {others}".split())


@pytest.mark.parametrize(
    "wrong",
    [{}, [], {"fault": "http 502"}, {"fault": "Failed."}, {"fault": "4Failed"},
     {"fault": "no-such"}, {"fault": 5}, {"fault": "hang", "times": 0}, {"fault": "hang", "times": True},
     {"fault": "hang", "contact": 5}, {"fault": "hang", "other": 1}, {"fault": "Hang"},
     {"action": "CreateIntlPhoneEmail"}, {"fault": "hang", "action": "CreateIntlPhoneEmial"}],
)  # fmt: skip
def test_invalid_fault_is_explained(emulator: Emulator, wrong: Any) -> None:
    response = requests.post(f"{emulator.url}/emulator/faults", json=wrong, timeout=60)
    assert response.status_code == 422
    assert "hang" in response.json()["wanted"]["fault"]
    assert "Fault" not in response.json()["error"]
    assert emulator.faults.armed() == []


def test_redirect_fault_looks_like_success_to_sdk(emulator: Emulator) -> None:
    """The fault redirects to the emulator, so that the test sees whether a client follows it."""
    emulator.faults.arm(Fault("redirect"))
    followed = sdk(emulator).call_json("CreateIntlPhoneEmail", EXAMPLE)
    assert set(followed["Response"]) == {"RequestId"}
    assert [call.action for call in emulator.calls] == ["CreateIntlPhoneEmail", "redirected"]
