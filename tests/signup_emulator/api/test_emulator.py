"""Test the emulated API: signature checks, the API's errors, state, faults and the command line."""

from __future__ import annotations

import re
import time
from contextlib import closing, nullcontext
from http.client import HTTPConnection
from pathlib import Path

import pytest
import requests

from signup_emulator.api.account.error_codes import ApiError
from signup_emulator.server import Emulator
from signup_emulator.state import State
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import PHONE
from tests.support.emulator.api_client import EXAMPLE, error_of, sdk


def test_contact_life_cycle_through_official_sdk(emulator: Emulator) -> None:
    client, contact = sdk(emulator), {"Type": 2, "Code": "jo@example.com"}
    client.call_json("SendIntlPhoneEmailCode", contact)
    client.call_json("SendIntlPhoneEmailCode", contact)
    newest, older = requests.get(f"{emulator.url}/emulator/codes", timeout=60).json()
    assert set(newest) == {"id", "type", "contact", "masked", "code", "sent_at", "expires_at", "state"}
    assert (newest["state"], older["state"]) == ("good", "replaced")
    assert newest["sent_at"] >= older["sent_at"]
    if newest["code"] != older["code"]:
        stale = error_of(client, "CreateIntlPhoneEmail", contact | {"VerifyCode": older["code"]})
        assert stale == "InternalError.VerifyCodeErr"
    reply = client.call_json("CreateIntlPhoneEmail", contact | {"VerifyCode": newest["code"]})
    assert list(reply["Response"]) == ["RequestId"]

    listed = client.call_json("DescribeIntlPhoneEmailList", {"Type": 2})["Response"]
    assert listed["TotalCount"] == 1
    row = listed["PhoneEmailList"][0]
    assert (row["Code"], row["Type"]) == ("jo@example.com", 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row["CreatedOn"])
    assert client.call_json("DescribeIntlPhoneEmailList", {"Type": 1})["Response"]["TotalCount"] == 0
    assert (
        client.call_json("DescribeIntlPhoneEmailList", {"Type": 2, "Limit": 1, "Offset": 1})["Response"][
            "PhoneEmailList"
        ]
        == []
    )

    again = contact | {"VerifyCode": newest["code"]}
    assert error_of(client, "CreateIntlPhoneEmail", again) == "InternalError.VerifiedPhoneEmailErr"
    client.call_json("DeleteIntlPhoneEmail", contact)
    assert error_of(client, "DeleteIntlPhoneEmail", contact) == "ResourceNotFound"
    assert error_of(client, "CreateIntlPhoneEmail", again) == "InternalError.VerifyCodeErr", "a code is single-use"


def test_reference_example_works_once_until_reset(emulator: Emulator) -> None:
    client = sdk(emulator)
    assert requests.get(f"{emulator.url}/emulator/codes", timeout=60).json() == []
    client.call_json("CreateIntlPhoneEmail", EXAMPLE)
    assert error_of(client, "CreateIntlPhoneEmail", EXAMPLE) == "InternalError.VerifiedPhoneEmailErr"
    assert requests.post(f"{emulator.url}/emulator/reset", data=b"", timeout=60).json() == {"reset": True}
    client.call_json("CreateIntlPhoneEmail", EXAMPLE)
    (call,) = requests.get(f"{emulator.url}/emulator/calls", timeout=60).json()
    assert (call["action"], call["contact"], call["result"]) == ("CreateIntlPhoneEmail", PHONE, "OK")
    assert {"at", "request_id"} <= set(call)


@pytest.mark.parametrize(("age", "verdict"), [(599.0, None), (601.0, "VerifyCodeErr")])
def test_code_expires_after_ten_minutes(age: float, verdict: str | None) -> None:
    clock = SetClock()
    with Emulator(now=clock.time) as emulator:
        emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": "10086"})
        (sent,) = emulator.domain.sent_codes()
        clock.wall = age
        with pytest.raises(ApiError, match=verdict) if verdict else nullcontext():
            emulator.domain.perform("CreateIntlPhoneEmail", {"Type": 1, "Code": "10086", "VerifyCode": sent.code})


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"Type": 1, "Code": PHONE}, "MissingParameter"),
        (EXAMPLE | {"Type": "1"}, "InvalidParameter"),
        (EXAMPLE | {"Type": True}, "InvalidParameter"),
        (EXAMPLE | {"VerifyCode": 123456}, "InvalidParameter"),
        (EXAMPLE | {"Region": "x"}, "UnknownParameter"),
        (EXAMPLE | {"Type": 3}, "InvalidParameterValue.InvalidParameterFormat"),
        (EXAMPLE | {"Code": "jo@example.com"}, "InvalidParameterValue.InvalidParameterFormat"),
        ([], "MissingParameter"),
    ],
)
def test_invalid_parameters_return_error_code(emulator: Emulator, parameters: object, code: str) -> None:
    assert error_of(sdk(emulator), "CreateIntlPhoneEmail", parameters) == code


def test_unknown_action_version_or_limit_returns_error_code(emulator: Emulator) -> None:
    assert error_of(sdk(emulator), "CreateSomething", EXAMPLE) == "InvalidAction"
    assert error_of(sdk(emulator, version="2018-08-09"), "CreateIntlPhoneEmail", EXAMPLE) == "NoSuchVersion"
    assert error_of(sdk(emulator), "DescribeIntlPhoneEmailList", {"Type": 1, "Limit": 201}) == "InvalidParameterValue"


def test_each_action_allows_twenty_requests_per_second() -> None:
    now = time.time()
    with Emulator(now=lambda: now) as emulator:
        client = sdk(emulator)
        for _ in range(20):
            assert (
                error_of(client, "CreateIntlPhoneEmail", EXAMPLE | {"Code": "10086"}) == "InternalError.VerifyCodeErr"
            )
        assert error_of(client, "CreateIntlPhoneEmail", EXAMPLE) == "RequestLimitExceeded"
        client.call_json("DescribeIntlPhoneEmailList", {"Type": 1})
        assert bridge(emulator.url, StillClock(), DOMAIN_API_RATE=10).deliver().json["code"] == "upstream-throttled"
        now += 1.0
        assert bridge(emulator.url).deliver().json["code"] == "verified"


def test_unknown_route_and_malformed_body_are_rejected(emulator: Emulator) -> None:
    for method, path in (("GET", "/nothing"), ("POST", "/emulator"), ("DELETE", "/console")):
        response = requests.request(method, emulator.url + path, data=b"", timeout=60)
        assert response.status_code == 404
        assert "GET /emulator/codes" in response.json()["routes"]
    assert requests.post(emulator.url, data=iter([b"{}"]), timeout=60).status_code == 411
    deep = requests.post(f"{emulator.url}/emulator/faults", data=b"[" * 200_000, timeout=60)
    assert deep.status_code == 422
    with closing(HTTPConnection(emulator.url.removeprefix("http://"), timeout=60)) as bare:  # like `curl -X POST`
        bare.putrequest("POST", "/emulator/reset")
        bare.endheaders()
        assert bare.getresponse().status == 200


def test_saved_state_is_restored(tmp_path: Path, emulator: Emulator) -> None:
    """signup_emulator/test_run.py tests the state file in detail."""
    folder, file = tmp_path / "run", tmp_path / "run" / "emulator.json"
    sdk(emulator).call_json("CreateIntlPhoneEmail", EXAMPLE)
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": "10086"})
    with State(folder, keep=False) as state:
        state.save(emulator)
    assert {path.name for path in folder.iterdir()} == {"emulator.json", "lock"}
    assert file.stat().st_mode & 0o777 == 0o600
    with Emulator() as next_one:
        State(folder, keep=True).restore(next_one)
        assert next_one.domain.sent_codes() == emulator.domain.sent_codes()
        assert error_of(sdk(next_one), "CreateIntlPhoneEmail", EXAMPLE) == "InternalError.VerifiedPhoneEmailErr"

    file.write_text("{}")
    with State(folder, keep=True) as state, pytest.raises(OSError, match="delete it"):
        state.restore(emulator)
    with State(folder, keep=False) as state:
        state.restore(emulator)
    assert [path.name for path in folder.iterdir()] == ["lock"]
