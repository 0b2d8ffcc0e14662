"""Test which credentials are used: configured ones, or the execution role's from the environment or headers."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
from signup_bridge import settings
from signup_bridge.settings import SettingsError

from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from tests.support.bridge.deliveries import deliver
from tests.support.bridge.event_builders import DIRECT, handle, url_event
from tests.support.bridge.instances import Bridge, calls, environment
from tests.support.bridge.responses import HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import PHONE, body, signed
from tests.support.network.upstream import SUCCESS, Upstream, reply, send

ON_SCF = {"TENCENT_SECRET_ID": "", "TENCENT_SECRET_KEY": "", "TENCENTCLOUD_RUNENV": "SCF"}
FROM_HEADERS = ON_SCF | {"ROLE_CREDENTIALS_FROM_HEADERS": "true"}
ROLE = {
    "X-Scf-Secret-Id": "id-of-the-role",
    "X-Scf-Secret-Key": "key-of-the-role",
    "X-Scf-Session-Token": "token-of-the-role",
}
MISCONFIGURED = problem("bridge-misconfigured", 500, retryable=True)
PLAIN = {"content-type": "application/problem+json"}


@pytest.fixture(autouse=True)
def account(emulator: Emulator) -> None:
    """Let the account accept the role's credentials, too."""
    emulator.keys["id-of-the-role"] = "key-of-the-role"
    emulator.tokens["id-of-the-role"] = "token-of-the-role"


def web(url: str, **changed: str) -> Bridge:
    return Bridge(settings.load(environment(url, **FROM_HEADERS | changed)))


def post(to: Bridge, headers: dict[str, Any], **members: Any) -> HttpResponse:
    data = body(**members)
    return to.post(data, signed(data) | headers)


def tokens(upstream: Upstream) -> list[str]:
    return [re.findall(r"(?i)x-tc-token: (\S+)", request.decode())[0] for request in upstream.requests]


def test_request_headers_of_the_platform_sign_the_call(emulator: Emulator) -> None:
    assert post(web(emulator.url), ROLE).json["code"] == "verified"


def test_request_headers_are_read_at_every_request_and_not_kept() -> None:
    with Upstream(send(reply(SUCCESS))) as upstream:
        bridged = web(upstream.url)
        for turn in ("first", "second"):
            post(bridged, ROLE | {"X-Scf-Session-Token": turn}, contact=f"10{turn.__len__()}86")
        assert tokens(upstream) == ["first", "second"]
        check_problem(post(bridged, {}, contact="10010"), MISCONFIGURED, PLAIN)
        assert len(upstream.requests) == 2


@pytest.mark.parametrize("name", list(ROLE))
@pytest.mark.parametrize("value", [None, "", "two,values", "two values", "\u00e9", "tab\there"])
def test_request_headers_that_are_incomplete_or_duplicate_are_ignored(
    emulator: Emulator, name: str, value: str | None
) -> None:
    headers = {key: one for key, one in (ROLE | {name: value}).items() if one is not None}
    check_problem(post(web(emulator.url), headers), MISCONFIGURED, PLAIN)
    assert calls(emulator) == []


def test_request_headers_are_never_logged_or_returned(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    headers = {"X-Scf-Secret-Id": "id-canary", "X-Scf-Secret-Key": "key-canary", "X-Scf-Session-Token": "token-canary"}
    response = post(web(emulator.url), headers)
    assert response.json["code"] == "bridge-misconfigured"
    assert "canary" not in f"{response}{[record.__dict__ for record in caplog.records]}"


def test_request_headers_without_a_valid_signature_are_ignored(emulator: Emulator) -> None:
    bridged = web(emulator.url)
    assert bridged.post(body(), {"Content-Type": "application/json", **ROLE}).json["code"] == "signature-invalid"
    assert calls(emulator) == []


def test_request_headers_without_the_setting_are_ignored(emulator: Emulator) -> None:
    bridged = Bridge(settings.load(environment(emulator.url, **ON_SCF)))
    assert post(bridged, ROLE).json["code"] == "bridge-misconfigured"
    assert calls(emulator) == []


def test_configured_credentials_take_precedence(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    static = {"TENCENT_SECRET_ID": DEMO_SECRET_ID, "TENCENT_SECRET_KEY": DEMO_SECRET_KEY}
    bridged = web(emulator.url, **static)
    forged = ROLE | {"X-Scf-Secret-Id": "of-a-stranger"}
    assert post(bridged, forged).json["code"] == "verified"
    assert "ROLE_CREDENTIALS_FROM_HEADERS: no effect because TENCENT_SECRET_ID is set" in caplog.text


def test_event_function_reads_its_environment_at_every_call(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ignores the headers, which the caller of a Function URL controls."""
    bridged = Bridge(settings.load(environment(emulator.url, **ON_SCF), event_function=True))
    event = url_event()
    event["headers"] |= {name.lower(): value for name, value in ROLE.items()}
    check_problem(handle(bridged, event), MISCONFIGURED, PLAIN)
    for secret_id, secret_key, code in (
        ("", DEMO_SECRET_KEY, "bridge-misconfigured"),
        (DEMO_SECRET_ID, "", "bridge-misconfigured"),
        (DEMO_SECRET_ID, "a key", "bridge-misconfigured"),
        ("an\nid", DEMO_SECRET_KEY, "bridge-misconfigured"),
        (DEMO_SECRET_ID, "old", "bridge-misconfigured"),
        (DEMO_SECRET_ID, DEMO_SECRET_KEY, "verified"),
    ):
        monkeypatch.setenv("TENCENTCLOUD_SECRETID", secret_id)
        monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", secret_key)
        assert handle(bridged, DIRECT).json["code"] == code
    assert [result for _, result in calls(emulator)] == ["AuthFailure.SignatureFailure", "OK"]


def test_web_function_ignores_its_environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENCENTCLOUD_SECRETID", DEMO_SECRET_ID)
    monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", DEMO_SECRET_KEY)
    bridged = Bridge(settings.load(environment(emulator.url, **ON_SCF)))
    assert bridged.deliver().json["code"] == "bridge-misconfigured"


def test_call_without_credentials_logs_how_to_provide_them(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    bridged = Bridge(settings.load(environment(emulator.url, **ON_SCF)))
    assert deliver(bridged).json["code"] == "bridge-misconfigured"
    (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
    remedy = line.fields["remedy"]  # type: ignore[attr-defined]
    assert remedy.startswith("TENCENT_SECRET_ID and TENCENT_SECRET_KEY: are not set")
    assert "execution role" in remedy
    assert "ROLE_CREDENTIALS_FROM_HEADERS=true" in remedy
    assert PHONE not in caplog.text


def test_delivery_without_credentials_can_be_redelivered(emulator: Emulator) -> None:
    bridged = web(emulator.url)
    data = body()
    headers = signed(data)
    assert bridged.post(data, headers).json["code"] == "bridge-misconfigured"
    assert bridged.post(data, headers | ROLE).json["code"] == "verified"


@pytest.mark.parametrize(
    ("changed", "event_function", "says"),
    [
        ({"TENCENTCLOUD_RUNENV": ""}, False, "is supported on SCF only"),
        ({"WEBHOOK_AUTH": "none"}, False, "is not supported with WEBHOOK_AUTH=none"),
        ({}, True, "is for web functions only"),
    ],
)
def test_setting_for_request_headers_where_they_are_unsafe_is_rejected(
    changed: dict[str, str], event_function: bool, says: str
) -> None:
    environ = environment(
        "http://127.0.0.1:9", **FROM_HEADERS | {"TENCENT_SECRET_ID": "id", "TENCENT_SECRET_KEY": "key"}
    )
    with pytest.raises(SettingsError) as raised:
        settings.load(environ | changed, event_function=event_function)
    (reported,) = raised.value.problems
    assert reported.startswith(f"ROLE_CREDENTIALS_FROM_HEADERS: {says}")


@pytest.mark.parametrize("value", ["yes", "1", "TRUE"])
def test_setting_for_request_headers_accepts_only_booleans(value: str) -> None:
    with pytest.raises(SettingsError, match="ROLE_CREDENTIALS_FROM_HEADERS: must be one of true, false"):
        settings.load(environment("http://127.0.0.1:9", ROLE_CREDENTIALS_FROM_HEADERS=value))
