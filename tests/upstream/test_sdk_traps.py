"""Test pitfalls of the SDK and its transport. The bridge avoids each, and otherwise the test would fail."""

from __future__ import annotations

import json
import logging
import re
import socket
import warnings
from pathlib import Path

import pytest
import requests
from signup_bridge import settings
from signup_bridge.upstream.credentials import Credentials
from signup_bridge.upstream.reply import Reply, classify

from tests.support.bridge.instances import Bridge, bridge, environment
from tests.support.bridge.signed_requests import CODE, PHONE
from tests.support.network.api_calls import api_at, call, succeed
from tests.support.network.upstream import SUCCESS, Script, Upstream, cut, reply


def header_of(request: bytes, name: str) -> str | None:
    match = re.search(rf"^{name}: (.*)\r$", request.decode(), re.IGNORECASE | re.MULTILINE)
    return match and match[1]


def test_request_has_the_documented_parameters_and_headers(upstream: Upstream) -> None:
    bridge(upstream.url).deliver()
    request = upstream.requests[0]
    assert json.loads(request.partition(b"\r\n\r\n")[2]) == {"Type": 1, "Code": PHONE, "VerifyCode": CODE}
    assert header_of(request, "X-TC-Action") == "CreateIntlPhoneEmail"
    assert header_of(request, "X-TC-Version") == "2018-08-08"
    assert header_of(request, "X-TC-Region") is None
    assert header_of(request, "Accept-Encoding") == "identity"


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_proxy_of_the_environment_is_ignored(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with Upstream(succeed) as proxy:
        monkeypatch.setenv(name, proxy.url)
        call(api_at(upstream.url))
        assert (len(upstream.requests), len(proxy.requests)) == (1, 0)


def test_netrc_is_ignored(upstream: Upstream, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    call(api_at(upstream.url))
    assert (header_of(upstream.requests[0], "Authorization") or "").startswith("TC3-HMAC-SHA256 Credential=id/")


def test_cookie_of_a_reply_is_not_sent() -> None:
    def set_cookie(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS, headers="Set-Cookie: who=me; Path=/\r\n"))

    with Upstream(set_cookie) as upstream:
        api = api_at(upstream.url)
        call(api)
        call(api)
        assert [header_of(request, "Cookie") for request in upstream.requests] == [None, None]


def test_calls_share_no_headers(upstream: Upstream) -> None:
    api = api_at(upstream.url)
    call(api)
    call(api)
    first, second = (header_of(request, "X-TC-TraceId") for request in upstream.requests)
    assert first != second


def test_sdk_never_uses_its_own_transport(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(requests.Session, "request", fail)
    assert isinstance(call(api_at(upstream.url)).result, Reply)


def test_call_is_signed_with_its_own_credentials(upstream: Upstream) -> None:
    api = api_at(upstream.url)
    for credentials in (Credentials("first", "key"), Credentials("second", "key", "a-token")):
        call(api, credentials=credentials)
    ids = [re.findall("Credential=([a-z]+)/", header_of(one, "Authorization") or "") for one in upstream.requests]
    assert ids == [["first"], ["second"]]
    assert [header_of(one, "X-TC-Token") for one in upstream.requests] == [None, "a-token"]


def test_configured_token_is_sent(upstream: Upstream) -> None:
    bridge(upstream.url, TENCENT_SESSION_TOKEN="a-token").deliver()
    assert header_of(upstream.requests[0], "X-TC-Token") == "a-token"


def test_execution_role_credentials_are_read_at_every_call(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = environment(upstream.url, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="", TENCENTCLOUD_RUNENV="SCF")
    bridged = Bridge(settings.load(environ, event_function=True))
    for turn in ("first", "second"):
        monkeypatch.setenv("TENCENTCLOUD_SECRETID", turn)
        monkeypatch.setenv("TENCENTCLOUD_SECRETKEY", "key")
        monkeypatch.setenv("TENCENTCLOUD_SESSIONTOKEN", f"token-{turn}")
        bridged.deliver()
    ids = [re.findall("Credential=([a-z]+)/", header_of(one, "Authorization") or "") for one in upstream.requests]
    assert ids == [["first"], ["second"]]
    assert [header_of(one, "X-TC-Token") for one in upstream.requests] == ["token-first", "token-second"]


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
def test_redirects_are_not_followed(upstream: Upstream, status: str) -> None:
    def redirect(connection: socket.socket) -> None:
        connection.sendall(reply(SUCCESS, status=status, headers=f"Location: {upstream.url}/elsewhere\r\n"))

    with Upstream(redirect) as redirecting:
        result = classify(call(api_at(redirecting.url)))
        assert result.outcome.code == "upstream-failed"
        assert (len(redirecting.requests), len(upstream.requests)) == (1, 0)


CONTENT_TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON",
    "text/plain",
    "text/html",
    None,
]


@pytest.mark.parametrize("content_type", CONTENT_TYPES)
@pytest.mark.parametrize(
    ("document", "outcome"),
    [
        ({"Response": {"Error": {"Code": "InternalError.VerifyCodeErr"}, "RequestId": "1"}}, "code-incorrect"),
        ({"Response": {}}, "upstream-failed"),
        ({"Response": {"RequestId": ""}}, "upstream-failed"),
        ({"Response": {"RequestId": "1", "Error": None}}, "upstream-failed"),
        ({"Response": None}, "upstream-failed"),
        ([], "upstream-failed"),
        (b"{", "upstream-failed"),
        (SUCCESS, "verified"),
    ],
)
def test_reply_is_judged_by_the_bridge_and_not_by_the_sdk(
    content_type: str | None, document: object, outcome: str
) -> None:
    headers = f"Content-Type: {content_type}\r\n" if content_type else ""
    with Upstream(lambda connection: connection.sendall(reply(document, headers=headers))) as upstream:
        assert classify(call(api_at(upstream.url))).outcome.code == outcome


def test_deprecation_warning_in_a_reply_changes_nothing() -> None:
    """The SDK raises a Python warning for this reply and resets the process's warning filters."""
    document = {"Response": {**SUCCESS["Response"], "DeprecatedWarning": "use another"}}
    with Upstream(lambda connection: connection.sendall(reply(document))) as upstream, warnings.catch_warnings():
        warnings.simplefilter("error")
        # The SDK signs with this function, which Python 3.12 and later deprecate.
        warnings.filterwarnings("ignore", "datetime.datetime.utcfromtimestamp", DeprecationWarning)
        filters = list(warnings.filters)
        assert classify(call(api_at(upstream.url))).outcome.code == "verified"
        assert warnings.filters == filters


THROTTLED = {"Response": {"Error": {"Code": "RequestLimitExceeded", "Message": "…"}, "RequestId": "1"}}


@pytest.mark.parametrize(
    ("fail", "outcome"),
    [(lambda connection: connection.sendall(reply(THROTTLED)), "upstream-throttled"), (cut, "outcome-unknown")],
    ids=["throttled", "reset"],
)
def test_sdk_never_retries(fail: Script, outcome: str) -> None:
    def fail_once(connection: socket.socket) -> None:
        (fail if len(failing.requests) == 1 else succeed)(connection)

    with Upstream(fail_once) as failing:
        assert classify(call(api_at(failing.url))).outcome.code == outcome
        assert len(failing.requests) == 1


@pytest.mark.parametrize("level", [logging.DEBUG, logging.NOTSET])
def test_sdk_logger_never_prints(upstream: Upstream, caplog: pytest.LogCaptureFixture, level: int) -> None:
    caplog.set_level(level)
    caplog.set_level(level, "tencentcloud_sdk_common")
    call(api_at(upstream.url), credentials=Credentials("id", "a-secret"))
    assert [record for record in caplog.records if record.name.startswith("tencent")] == []
    assert PHONE not in caplog.text
