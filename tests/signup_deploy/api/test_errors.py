"""Test that `make deploy` explains each API error, or a missing response, with a remedy and without secrets."""

from __future__ import annotations

import re
import socket
import threading
from typing import Any

import pytest

from signup_deploy.api.errors import BUSY, MEANINGS, ApiError, DeployError
from signup_deploy.api.scf_api import Credentials
from signup_deploy.config.function_config import Config
from signup_deploy.deployment.function_state import DeployedFunction
from signup_deploy.deployment.triggers import parse_triggers
from tests.support.deployer.deployments import api, assert_no_secret, deploy
from tests.support.deployer.scf_api import SECRET_ID, SECRET_KEY, TOKEN, ScfCloud

NO_PERMISSION = "[request id:1]you are not authorized to perform operation"
WHO = {"FunctionName": "signup-bridge", "Namespace": "default"}


def refused(cloud: ScfCloud, config: Config) -> str:
    with pytest.raises(DeployError) as raised:
        deploy(cloud, config)
    return str(raised.value)


@pytest.mark.parametrize(
    ("action", "code", "message", "expected"),
    [
        (
            "CreateFunction",
            "UnauthorizedOperation.CAM",
            f"{NO_PERMISSION} (scf:CreateFunction)\nresource (qcs::scf:gz:uin/1:ns/default) has no permission",
            "CreateFunction: The deployer's key lacks the permission scf:CreateFunction on qcs::scf:gz:uin/1:ns/",
        ),
        (
            "CreateTrigger",
            "AuthFailure.UnauthorizedOperation",
            "No.",
            "CreateTrigger: The deployer's key lacks the permission scf:CreateTrigger. Add it",
        ),
        (
            "CreateFunction",
            "UnauthorizedOperation.CAM",
            f"{NO_PERMISSION} (cam:PassRole)",
            "CreateFunction: The deployer's key lacks the permission cam:PassRole. Add it",
        ),
        ("GetFunction", "UnauthorizedOperation.Region", "No.", "GetFunction: The account may not use this region."),
        ("GetFunction", "ResourceNotFound.Namespace", "No.", "GetFunction: The namespace does not exist"),
        (
            "CreateFunction",
            "InvalidParameterValue.VpcX",
            "No.",
            "CreateFunction: SCF rejected the call. See the error below.\n",
        ),
        ("CreateFunction", "LimitExceeded.Quota", "No.", "CreateFunction: A quota of the account is used up."),
        (
            "CreateFunction",
            "ResourceInUse.Function",
            "No.",
            "CreateFunction: The resource was created at the same time",
        ),
        ("CreateTrigger", "ResourceInUse.TriggerName", "No.", "CreateTrigger: The function already has this trigger"),
        ("CreateTrigger", "ResourceInUse.Trigger", "No.", "CreateTrigger: The function already has this trigger"),
        (
            "PutReservedConcurrencyConfig",
            "FailedOperation.ReservedExceedTotal",
            "No.",
            "PutReservedConcurrencyConfig: The account's concurrency quota is too small",
        ),
    ],
)
def test_api_error_is_explained_with_remedy(
    cloud: ScfCloud, config: Config, action: str, code: str, message: str, expected: str
) -> None:
    cloud.refuse(action, code, message)
    text = refused(cloud, config)
    assert text.startswith(expected), text
    assert f"\n  API error {code}: " in text


def test_api_error_with_variables_hides_values(cloud: ScfCloud, config: Config) -> None:
    values = " ".join((*config.variables.values(), SECRET_ID, SECRET_KEY))
    cloud.refuse("CreateFunction", "InvalidParameterValue.Environment", f"faulty: {values}")
    text = refused(cloud, config)
    assert text.startswith("CreateFunction: The variables are not accepted. Check `environment` in serverless.yml")
    assert "faulty: " in text
    assert_no_secret(text)
    assert SECRET_ID not in text


def test_failed_function_reason_hides_values(cloud: ScfCloud, config: Config) -> None:
    cloud.fails.append("CreateFailed")
    cloud.reason = f"unhealthy: {config.variables['WEBHOOK_SECRETS']}"
    assert refused(cloud, config) == "CreateFunction: the function is CreateFailed: unhealthy: …"


@pytest.mark.parametrize(
    ("secret_id", "secret_key", "token", "expected"),
    [
        (SECRET_ID, "wrong", None, "TENCENT_SECRET_KEY does not belong to TENCENT_SECRET_ID"),
        ("AKIDofNobody", SECRET_KEY, None, "The key in TENCENT_SECRET_ID does not exist or is disabled"),
        (SECRET_ID, SECRET_KEY, "old", "TENCENT_SESSION_TOKEN has expired"),
        (" spaced ", SECRET_KEY, None, "TENCENT_SECRET_ID, TENCENT_SECRET_KEY: secret id should not contain spaces"),
    ],
)
def test_wrong_key_is_explained(
    cloud: ScfCloud, config: Config, secret_id: str, secret_key: str, token: str | None, expected: str
) -> None:
    with pytest.raises(DeployError) as raised:
        api(cloud, config, credentials=Credentials(secret_id, secret_key, token)).call("GetFunction", WHO)
    assert expected in str(raised.value)
    assert secret_key not in str(raised.value)


def test_temporary_key_is_accepted(cloud: ScfCloud, config: Config) -> None:
    client = api(cloud, config, credentials=Credentials(SECRET_ID, SECRET_KEY, TOKEN))
    with pytest.raises(ApiError) as raised:
        client.call("GetFunction", WHO)
    assert raised.value.is_not_found()


def test_throttled_calls_are_retried_more_slowly(cloud: ScfCloud, config: Config) -> None:
    cloud.refuse("CreateFunction", "RequestLimitExceeded", times=2)
    deploy(cloud, config)
    assert cloud.writes.count("CreateFunction") == 3
    cloud.refuse("GetFunction", "RequestLimitExceeded.UinLimitExceeded", times=3)
    assert refused(cloud, config).startswith("GetFunction: Rate limit exceeded after several retries. Wait a minute")


@pytest.mark.parametrize("code", sorted(BUSY))
def test_busy_function_is_retried(cloud: ScfCloud, config: Config, code: str) -> None:
    cloud.refuse("PutReservedConcurrencyConfig", code, times=2)
    deploy(cloud, config)
    assert cloud.function.reserved == 64


def test_permanently_busy_function_is_reported(cloud: ScfCloud, config: Config) -> None:
    cloud.refuse("CreateTrigger", "FailedOperation.CreateTrigger", times=1000)
    assert refused(cloud, config).startswith("CreateTrigger: The operation failed. Run the command again")


def test_read_call_is_retried_after_connection_failure(cloud: ScfCloud, config: Config) -> None:
    cloud.refuse("GetFunction", None, times=2)
    deploy(cloud, config)
    assert cloud.function.about["Status"] == "Active"


@pytest.mark.parametrize("action", ["GetFunction", "ListTriggers"])
def test_read_call_is_retried_after_platform_failure(cloud: ScfCloud, config: Config, action: str) -> None:
    cloud.refuse(action, "InternalError.System", times=2)
    deploy(cloud, config)
    assert cloud.function.about["Status"] == "Active"
    cloud.refuse("UpdateFunctionConfiguration", "InternalError")
    cloud.function.about["Timeout"] = 1
    cloud.clear_calls()
    assert refused(cloud, config).startswith(
        "UpdateFunctionConfiguration: SCF has an internal error. Run the command again"
    )
    assert cloud.writes == ["UpdateFunctionConfiguration"]


def test_write_call_is_not_retried_after_connection_failure(cloud: ScfCloud, config: Config) -> None:
    cloud.refuse("CreateFunction", None)
    text = refused(cloud, config)
    assert text.startswith(f"CreateFunction: {cloud.url.removeprefix('http://')} did not respond. Check the network")
    assert cloud.writes == ["CreateFunction"]
    deploy(cloud, config)
    assert cloud.function.about["Status"] == "Active"


def test_unreachable_api_is_reported(config: Config) -> None:
    with ScfCloud() as gone:
        pass
    text = refused(gone, config)
    assert "did not respond. Check the network and HTTPS_PROXY, and run the command again" in text
    assert "refused" in text


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("text/html", b"<p>Please sign in to the network."),
        ("application/json", b"<p>Please sign in to the network."),
        ("application/json", b"{}"),
        ("text/html", b"{}"),
        ("text/html", b"[]"),
        ("text/html", b'{"Response": {}}'),
    ],
)
def test_foreign_response_is_not_taken_for_success(
    cloud: ScfCloud, config: Config, content_type: str, body: bytes
) -> None:
    cloud.replacement = content_type, body
    with pytest.raises(DeployError, match="the response is not from the API"):
        api(cloud, config).call("GetFunction", WHO)


@pytest.mark.parametrize(
    ("action", "reply", "needed"),
    [
        ("GetFunction", {}, "Status, MemorySize"),
        ("GetFunction", {"Status": "Active", "MemorySize": None}, "Status, MemorySize"),
        ("GetFunction", {"Status": "Active", "MemorySize": 128, "Tags": [{"Key": "a"}]}, "Key, Value"),
        ("ListTriggers", {"Triggers": [{"Type": "http"}]}, "Type, TriggerName"),
        ("ListTriggers", {"Triggers": ["http"]}, "Type, TriggerName"),
    ],
)
def test_incomplete_response_is_reported(action: str, reply: dict[str, Any], needed: str) -> None:
    read = {"GetFunction": DeployedFunction.from_reply, "ListTriggers": parse_triggers}[action]
    with pytest.raises(DeployError, match=f"{action}: the response has no {needed}. Run the command again"):
        read(reply)


def test_error_with_other_content_type_is_recognised(cloud: ScfCloud, config: Config) -> None:
    body = b'{"Response": {"Error": {"Code": "LimitExceeded.Function", "Message": "No."}, "RequestId": "r"}}'
    cloud.replacement = "application/json; charset=utf-8", body
    with pytest.raises(ApiError, match="The quota of functions is used up"):
        api(cloud, config).call("GetFunction", WHO)


def test_truncated_response_is_reported(config: Config) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, ScfCloud() as cloud:
        port = listening.getsockname()[1]
        client = api(cloud, config, endpoint=f"http://127.0.0.1:{port}")

        def send_reply() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{")

        thread = threading.Thread(target=send_reply)
        thread.start()
        with pytest.raises(DeployError, match=re.escape(f"127.0.0.1:{port} did not respond")):
            client.call("GetFunction", WHO)
        thread.join()


def test_other_status_is_reported(config: Config, cloud: ScfCloud) -> None:
    cloud.status = 502
    with pytest.raises(DeployError, match="did not respond"):
        api(cloud, config).call("GetFunction", WHO)


def test_every_explanation_says_what_to_do() -> None:
    for code, meaning in MEANINGS.items():
        assert re.fullmatch(r"[^.].+\. [A-Z].+\.", meaning), code
    assert not BUSY & set(MEANINGS)
