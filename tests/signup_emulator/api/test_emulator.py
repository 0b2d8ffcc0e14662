"""The stand-in for the API: signatures really checked, the API's own errors, state, faults, and the command line."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from contextlib import closing, nullcontext
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from signup_emulator.api.account.error_codes import ApiError
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_emulator.state import State
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import CODE, PHONE

EXAMPLE = {"Type": 1, "Code": PHONE, "VerifyCode": CODE}


def sdk(
    emulator: Emulator,
    *,
    secret_id: str = DEMO_SECRET_ID,
    key: str = DEMO_SECRET_KEY,
    version: str = "2018-08-08",
    method: str = "POST",
    sign_method: str = "TC3-HMAC-SHA256",
) -> Any:
    """The official SDK's client as its documentation shows it."""
    endpoint = emulator.url.removeprefix("http://")
    http = HttpProfile(protocol="http", endpoint=endpoint, reqMethod=method)
    profile = ClientProfile(httpProfile=http, signMethod=sign_method)
    return CommonClient("domain", version, Credential(secret_id, key), "", profile)


def error_of(client: Any, action: str, parameters: object) -> str:
    with pytest.raises(TencentCloudSDKException) as raised:
        client.call_json(action, parameters)
    assert raised.value.get_request_id()
    code: str = raised.value.get_code()
    return code


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


def test_unknown_key_wrong_signature_and_token_are_rejected(emulator: Emulator) -> None:
    action = "CreateIntlPhoneEmail"
    assert error_of(sdk(emulator, secret_id="AKIDother"), action, EXAMPLE) == "AuthFailure.SecretIdNotFound"
    assert error_of(sdk(emulator, key="wrong"), action, EXAMPLE) == "AuthFailure.SignatureFailure"
    tokened = sdk(emulator)
    tokened.credential.token = "a-token"
    assert error_of(tokened, action, EXAMPLE) == "AuthFailure.TokenFailure"
    assert [call.result for call in emulator.calls] == [
        "AuthFailure.SecretIdNotFound",
        "AuthFailure.SignatureFailure",
        "AuthFailure.TokenFailure",
    ]


@pytest.mark.parametrize("off", [-303, 303])
def test_stale_timestamp_is_rejected(off: float) -> None:
    with Emulator(now=lambda: time.time() + off) as emulator:
        assert error_of(sdk(emulator), "CreateIntlPhoneEmail", EXAMPLE) == "AuthFailure.SignatureExpire"


def signed_by_hand(
    body: bytes, host: str, *, at: int | None = None, service: str = "domain", date: str = "", method: str = "POST"
) -> dict[str, str]:
    """TC3-HMAC-SHA256 once more, as its description shows it in steps."""
    timestamp = int(time.time()) if at is None else at
    date = date or datetime.fromtimestamp(timestamp, timezone.utc).strftime("%Y-%m-%d")
    digest = hashlib.sha256(body).hexdigest()
    canonical = f"{method}\n/\n\ncontent-type:application/json\nhost:{host}\n\ncontent-type;host\n{digest}"
    scope = f"{date}/{service}/tc3_request"
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = hmac.digest(b"TC3" + DEMO_SECRET_KEY.encode(), date.encode(), "sha256")
    key = hmac.digest(hmac.digest(key, service.encode(), "sha256"), b"tc3_request", "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    return {
        "Content-Type": "application/json",
        "X-TC-Action": "CreateIntlPhoneEmail",
        "X-TC-Version": "2018-08-08",
        "X-TC-Timestamp": str(timestamp),
        "Authorization": f"TC3-HMAC-SHA256 Credential={DEMO_SECRET_ID}/{scope}, SignedHeaders=content-type;host, "
        f"Signature={signature}",
    }


def ask(emulator: Emulator, body: bytes, headers: dict[str, str]) -> str:
    response = requests.post(emulator.url, data=body, headers=headers, timeout=60).json()["Response"]
    return response["Error"]["Code"] if "Error" in response else "OK"


@pytest.mark.parametrize("service", ["127", "domain"])
@pytest.mark.parametrize("with_port", [False, True])
def test_signature_for_any_host_is_accepted_unless_strict(emulator: Emulator, service: str, with_port: bool) -> None:
    """What some SDKs sign when the endpoint is an address and a port; not so strictly, and only if it is wanted."""
    host, body = emulator.url.removeprefix("http://"), json.dumps(EXAMPLE).encode()
    headers = signed_by_hand(body, host if with_port else "127.0.0.1", service=service)
    assert ask(emulator, body + b" ", headers) == "AuthFailure.SignatureFailure"
    assert ask(emulator, body, headers) == "OK"
    emulator.reset()
    emulator.domain.change({"any_host_signed": False})
    strictly = {("domain", True): "OK", ("domain", False): "AuthFailure.SignatureFailure"}
    assert ask(emulator, body, headers) == strictly.get((service, with_port), "AuthFailure.InvalidAuthorization")


def test_changed_body_header_host_or_date_is_rejected(emulator: Emulator) -> None:
    host, body = emulator.url.removeprefix("http://"), json.dumps(EXAMPLE).encode()
    headers = signed_by_hand(body, host)
    assert ask(emulator, body.replace(b"123456", b"123457"), headers) == "AuthFailure.SignatureFailure"
    assert ask(emulator, body, headers | {"Content-Type": "text/plain"}) == "AuthFailure.SignatureFailure"
    assert ask(emulator, body, signed_by_hand(body, "other:80")) == "AuthFailure.SignatureFailure"
    assert ask(emulator, body, signed_by_hand(body, host, date="2020-01-01")) == "AuthFailure.SignatureFailure"
    assert ask(emulator, body, signed_by_hand(body, host, service="cvm")) == "AuthFailure.InvalidAuthorization"
    assert ask(emulator, body, headers | {"Authorization": "Bearer x"}) == "AuthFailure.InvalidAuthorization"
    assert ask(emulator, body, {}) == "AuthFailure.InvalidAuthorization"
    assert ask(emulator, body, headers | {"X-TC-Action": ""}) == "MissingParameter"
    assert ask(emulator, b"no json", signed_by_hand(b"no json", host)) == "MissingParameter"
    assert ask(emulator, body, headers) == "OK"


def test_get_request_returns_method_not_match(emulator: Emulator) -> None:
    action = "CreateIntlPhoneEmail"
    assert error_of(sdk(emulator, method="GET"), action, EXAMPLE) == "InternalError.MethodNotMatch"
    assert error_of(sdk(emulator, method="GET", key="wrong"), action, EXAMPLE) == "AuthFailure.SignatureFailure"
    old = sdk(emulator, method="GET", sign_method="HmacSHA256")
    assert error_of(old, action, EXAMPLE) == "AuthFailure.InvalidAuthorization"
    unsigned = requests.get(emulator.url, headers={"X-TC-Action": action}, timeout=5).json()
    assert unsigned["Response"]["Error"]["Code"] == "AuthFailure.InvalidAuthorization"
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS"):
        response = requests.request(method, emulator.url, headers={"X-TC-Action": action}, json={}, timeout=5)
        assert response.json()["Response"]["Error"]["Code"] == "AuthFailure.InvalidAuthorization"
    assert requests.get(emulator.url, timeout=5).headers["Content-Type"] == "text/html; charset=utf-8"
    sdk(emulator).call_json(action, EXAMPLE)  # nothing was verified


def test_unknown_http_method_returns_unsupported_protocol(emulator: Emulator) -> None:
    host, data = emulator.url.removeprefix("http://"), json.dumps(EXAMPLE).encode()
    headers = signed_by_hand(data, host, method="PUT")
    error = requests.put(emulator.url, data=data, headers=headers, timeout=5).json()["Response"]["Error"]
    assert error == {"Code": "UnsupportedProtocol", "Message": "The method PUT is not supported: send POST."}


def test_unsigned_payload_is_accepted_only_if_declared(emulator: Emulator) -> None:
    client = sdk(emulator)
    client.profile.unsignedPayload = True
    client.call_json("CreateIntlPhoneEmail", EXAMPLE)
    assert error_of(client, "CreateIntlPhoneEmail", EXAMPLE) == "InternalError.VerifiedPhoneEmailErr"

    host, data = emulator.url.removeprefix("http://"), json.dumps(EXAMPLE).encode()
    unsigned = signed_by_hand(b"UNSIGNED-PAYLOAD", host)
    assert ask(emulator, data, unsigned) == "AuthFailure.SignatureFailure", "it must say so"
    unsigned["X-TC-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    assert ask(emulator, data, unsigned) == "InternalError.VerifiedPhoneEmailErr"
    assert ask(emulator, data, signed_by_hand(data, host) | {"X-TC-Content-SHA256": "UNSIGNED-PAYLOAD"}) == (
        "AuthFailure.SignatureFailure"
    )


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
        assert bridge(emulator.url).deliver().json["status"] == "verified"


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
    assert bridged.deliver().json["status"] == "verified"


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
    """The lists of the API's reference, as the official SDK for Go repeats them at each action."""
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


def test_unknown_route_and_malformed_body_are_rejected(emulator: Emulator) -> None:
    for method, path in (("GET", "/nothing"), ("POST", "/emulator"), ("DELETE", "/console")):
        response = requests.request(method, emulator.url + path, data=b"", timeout=60)
        assert response.status_code == 404
        assert "GET /emulator/codes" in response.json()["routes"]
    assert requests.post(emulator.url, data=iter([b"{}"]), timeout=60).status_code == 411
    deep = requests.post(f"{emulator.url}/emulator/faults", data=b"[" * 200_000, timeout=60)
    assert deep.status_code == 422
    with closing(HTTPConnection(emulator.url.removeprefix("http://"), timeout=60)) as bare:  # as `curl -X POST`
        bare.putrequest("POST", "/emulator/reset")
        bare.endheaders()
        assert bare.getresponse().status == 200


def test_redirect_fault_looks_like_success_to_sdk(emulator: Emulator) -> None:
    """Where the fault points to: what follows it is there to be seen."""
    emulator.faults.arm(Fault("redirect"))
    followed = sdk(emulator).call_json("CreateIntlPhoneEmail", EXAMPLE)
    assert set(followed["Response"]) == {"RequestId"}
    assert [call.action for call in emulator.calls] == ["CreateIntlPhoneEmail", "redirected"]


def test_saved_state_is_restored(tmp_path: Path, emulator: Emulator) -> None:
    """Its whole life is in signup_emulator/test_run.py."""
    state = State(tmp_path / "run", keep=False)
    sdk(emulator).call_json("CreateIntlPhoneEmail", EXAMPLE)
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": "10086"})
    state.save(emulator)
    (file,) = (tmp_path / "run").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    with Emulator() as next_one:
        State(tmp_path / "run", keep=True).restore(next_one)
        assert next_one.domain.sent_codes() == emulator.domain.sent_codes()
        assert error_of(sdk(next_one), "CreateIntlPhoneEmail", EXAMPLE) == "InternalError.VerifiedPhoneEmailErr"

    file.write_text("{}")
    with pytest.raises(OSError, match="remove it"):
        State(tmp_path / "run", keep=True).restore(emulator)
    State(tmp_path / "run", keep=False).restore(emulator)
    assert list((tmp_path / "run").iterdir()) == []
