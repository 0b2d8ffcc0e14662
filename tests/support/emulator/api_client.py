"""Call the emulated API with the official SDK, or with requests signed by hand."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import datetime, timezone
from typing import Any

import pytest
import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
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
    """Return the official SDK's client, configured as in its documentation."""
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


def signed_by_hand(
    body: bytes, host: str, *, at: int | None = None, service: str = "domain", date: str = "", method: str = "POST"
) -> dict[str, str]:
    """Return headers with a TC3-HMAC-SHA256 signature, a second implementation of its documented steps."""
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
