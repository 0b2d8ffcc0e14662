"""Test which TC3-HMAC-SHA256 signatures the emulated API accepts, and the errors for others."""

from __future__ import annotations

import json
import time

import pytest
import requests

from signup_emulator.server import Emulator
from tests.support.emulator.api_client import EXAMPLE, ask, error_of, sdk, signed_by_hand


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


@pytest.mark.parametrize("service", ["127", "domain"])
@pytest.mark.parametrize("with_port", [False, True])
def test_signature_for_any_host_is_accepted_unless_strict(emulator: Emulator, service: str, with_port: bool) -> None:
    """Some SDKs sign another host if the endpoint is an IP address with a port. A strict emulator rejects it."""
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
    sdk(emulator).call_json(action, EXAMPLE)  # the rejected call has verified nothing


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
    assert ask(emulator, data, unsigned) == "AuthFailure.SignatureFailure", "an unsigned payload must be declared"
    unsigned["X-TC-Content-SHA256"] = "UNSIGNED-PAYLOAD"
    assert ask(emulator, data, unsigned) == "InternalError.VerifiedPhoneEmailErr"
    assert ask(emulator, data, signed_by_hand(data, host) | {"X-TC-Content-SHA256": "UNSIGNED-PAYLOAD"}) == (
        "AuthFailure.SignatureFailure"
    )
