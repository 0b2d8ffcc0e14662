"""Test serverless.yml: its content, its variables, and values that are rejected before a deployment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from signup_bridge.settings import SETTINGS

from signup_deploy.config.function_config import Config, UrlTrigger
from tests.support.bridge.signed_requests import SECRET
from tests.support.deployer.deployments import ENVIRON, REDIS, YAML, changed_yaml, event_function, load, problems


def test_default_file_describes_web_function_with_url(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config == Config(
        name="signup-bridge",
        namespace="default",
        region="ap-guangzhou",
        shape="web",
        runtime="Python3.10",
        memory=64,
        timeout=12,
        init_timeout=30,
        variables={
            "CONCURRENCY": "16",
            "TENCENT_SECRET_ID": ENVIRON["FUNCTION_SECRET_ID"],
            "TENCENT_SECRET_KEY": ENVIRON["FUNCTION_SECRET_KEY"],
            "WEBHOOK_SECRETS": ENVIRON["WEBHOOK_SECRETS"],
        },
        concurrency=16,
        url=UrlTrigger("url-trigger", "$DEFAULT", "NONE", extranet=True, intranet=False, enabled=True),
        ckafka=None,
        description=None,
        role=None,
        vpc=None,
        cls=None,
        public_access=True,
        eip=False,
        tags={},
    )
    assert not config.shared_ledger
    assert config.handler is None


def test_file_names_every_setting() -> None:
    named = set(yaml.safe_load(YAML)["inputs"]["environment"]["variables"])
    fixed = {"HOST", "PORT", "LOG_FORMAT"}  # SCF requires the defaults of the first two, and logs there are always JSON
    assert named == {setting.name for setting in SETTINGS} - fixed


def test_file_contains_no_secret_and_no_deployer_key() -> None:
    variables = yaml.safe_load(YAML)["inputs"]["environment"]["variables"]
    literal = {name: value for name, value in variables.items() if not re.fullmatch(r"\$\{env:\w+\}", value)}
    assert literal == {"CONCURRENCY": "16"}
    sources = {name: value[6:-1] for name, value in variables.items() if name not in literal}
    assert {name: source for name, source in sources.items() if name != source} == {
        "TENCENT_SECRET_ID": "FUNCTION_SECRET_ID",
        "TENCENT_SECRET_KEY": "FUNCTION_SECRET_KEY",
        "TENCENT_SESSION_TOKEN": "FUNCTION_SESSION_TOKEN",
    }


def test_timeout_must_exceed_budget_of_profile(tmp_path: Path) -> None:
    assert load(tmp_path, SENDER_PROFILE="supabase").settings.request_budget == 4
    assert load(tmp_path, YAML.replace("timeout: 12", "timeout: 5"), SENDER_PROFILE="supabase").timeout == 5
    too_short = "inputs.timeout: must be greater than REQUEST_BUDGET ("
    assert problems(tmp_path, YAML.replace("timeout: 12", "timeout: 5"))[0].startswith(f"{too_short}8);")
    assert problems(tmp_path, YAML, REQUEST_BUDGET="20")[0].startswith(f"{too_short}20);")
    (problem,) = problems(tmp_path, YAML, REQUEST_BUDGET="8", SENDER_PROFILE="supabase")
    assert problem.startswith("inputs.environment.variables.REQUEST_BUDGET: must be at most 4")


def test_variables_that_scf_command_misreads_are_rejected(tmp_path: Path) -> None:
    text = changed_yaml(role="role-of-${env:NOBODY}", description="${env:SELF}")
    found = problems(tmp_path, text, SELF="a ${env:SELF}")
    assert found[:2] == [
        "inputs.description: SELF refers to itself; set its value directly",
        "inputs.role: NOBODY is not set, and cannot be omitted within a longer string; set it",
    ]


def test_all_problems_are_reported_with_variable_to_set(tmp_path: Path) -> None:
    text = changed_yaml(timeout="12", memorySize=100, region=None, layer=[], description="a-b")
    path = "inputs.environment.variables"
    hint = "is not set; copy it from the account's API key (set FUNCTION_SECRET"
    secrets = (
        f"{path}.WEBHOOK_SECRETS: is not set; set it to the sender's secret, or set WEBHOOK_AUTH=none to accept "
        "unsigned requests from anyone (set WEBHOOK_SECRETS in the environment)"
    )
    assert problems(tmp_path, text, {}) == [
        "inputs.layer: is not supported; correct it, or remove it",
        "inputs.region: is required; it must be a region such as ap-guangzhou",
        "inputs.memorySize: must be 64 or a multiple of 128 up to 3072",
        "inputs.timeout: must be a whole number from 1 to 900; SCF's default is 3",
        "inputs.description: must be 1 to 900 letters, digits, spaces, commas, full stops and line breaks",
        f"{path}.TENCENT_SECRET_ID: {hint}_ID in the environment)",
        f"{path}.TENCENT_SECRET_KEY: {hint}_KEY in the environment)",
        secrets,
    ]


def test_unread_env_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    assert problems(tmp_path, YAML, {})[-1].startswith(
        "(.env is not loaded automatically; load it with `set -a; . ./.env; set +a`"
    )


def http(**members: Any) -> list[dict[str, Any]]:
    network = {"enableExtranet": True, "enableIntranet": False}
    parameters = {"qualifier": "$DEFAULT", "authType": "NONE", "netConfig": network, **members}
    return [{"http": {"parameters": {key: value for key, value in parameters.items() if value is not None}}}]


CONCURRENCY = {"enable": True, "dynamicEnabled": False, "maxConcurrency": 16}

VARIABLES = {
    "TENCENT_SECRET_ID": "a",
    "TENCENT_SECRET_KEY": "b",
    "WEBHOOK_SECRETS": SECRET,
}


def variables(**members: Any) -> dict[str, Any]:
    return {"variables": {**VARIABLES, **members}}


@pytest.mark.parametrize(
    ("members", "problem"),
    [
        ({"name": "1st"}, "inputs.name: must be 2 to 60 letters"),
        ({"name": "a" * 61}, "inputs.name: must be 2 to 60 letters"),
        ({"name": "bridge-"}, "inputs.name: must be 2 to 60 letters"),
        ({"name": "brücke"}, "inputs.name: must be 2 to 60 letters"),
        ({"name": "${name}-x"}, "inputs.name: contains ${…}; only ${env:NAME} without a default"),
        ({"namespace": "1"}, "inputs.namespace: must be at most 30 letters"),
        ({"type": "http"}, "inputs.type: must be web or event"),
        ({"type": None}, "inputs.type: is required; it must be web or event"),
        ({"runtime": "Python3.9"}, "inputs.runtime: must be Python3.10"),
        ({"src": "./"}, "inputs.src: must be ./build/function"),
        ({"memorySize": True}, "inputs.memorySize: must be 64 or"),
        ({"timeout": 901}, "inputs.timeout: must be a whole number from 1 to 900"),
        ({"timeout": 8}, "inputs.timeout: must be greater than REQUEST_BUDGET (8)"),
        ({"initTimeout": 2}, "inputs.initTimeout: must be a whole number from 3 to 300"),
        ({"publicAccess": "false"}, "inputs.publicAccess: must be true or false"),
        ({"publicAccess": False, "eip": True}, "inputs.eip: requires publicAccess: true"),
        ({"vpcConfig": {"vpcId": "vpc-1"}}, "inputs.vpcConfig: must have vpcId and subnetId"),
        (
            {"cls": {"logsetId": "a", "topicId": "b"}},
            "inputs.cls: requires `role`, which permits the function to write",
        ),
        ({"cls": {}}, "inputs.cls: must have logsetId and topicId"),
        ({"tags": {"a": "b"}}, "inputs.tags: must be a list of mappings with `key` and `value`"),
        ({"handler": "index.main_handler"}, "inputs.handler: is supported for event functions only"),
        ({"instanceConcurrencyConfig": None}, "inputs.instanceConcurrencyConfig: is required; without it"),
        ({"instanceConcurrencyConfig": True}, "inputs.instanceConcurrencyConfig: must have"),
        (
            {"instanceConcurrencyConfig": {**CONCURRENCY, "maxConcurrency": 17}},
            "inputs.instanceConcurrencyConfig.maxConcurrency: must equal CONCURRENCY (16); change both",
        ),
        (
            {"instanceConcurrencyConfig": {**CONCURRENCY, "maxConcurrency": 101}},
            "inputs.instanceConcurrencyConfig.maxConcurrency: must be a whole number from 1 to 100",
        ),
        ({"instanceConcurrencyConfig": {**CONCURRENCY, "enable": False}}, "inputs.instanceConcurrencyConfig.enable"),
        ({"environment": variables(CONCURRENCY="4")}, "inputs.instanceConcurrencyConfig.maxConcurrency: must equal C"),
        ({"environment": variables(CONCURRENCY="many")}, "inputs.environment.variables.CONCURRENCY: must be a whole"),
        ({"environment": {"variable": {}}}, "inputs.environment: must have only the key `variables`"),
        ({"environment": variables(LOG_LEVEL=1)}, "inputs.environment.variables.LOG_LEVEL: must be a string"),
        ({"environment": variables(LOG_LEVEL="")}, "inputs.environment.variables.LOG_LEVEL: is empty"),
        (
            {"environment": variables(LOG_LEVEL="${env:L, 'I'}")},
            "inputs.environment.variables.LOG_LEVEL: contains ${…}",
        ),
        ({"environment": variables(LOG_LEVEL="LOUD")}, "inputs.environment.variables.LOG_LEVEL: must be one of"),
        (
            {"environment": variables(SCF_X="1")},
            "inputs.environment.variables.SCF_X: starts with a prefix that SCF reserves",
        ),
        (
            {"environment": variables(TENCENTCLOUD_X="1")},
            "inputs.environment.variables.TENCENTCLOUD_X: starts with a prefix",
        ),
        ({"environment": variables(QCLOUD_X="1")}, "inputs.environment.variables.QCLOUD_X: starts with a prefix"),
        ({"environment": variables(**{"A-B": "1"})}, "inputs.environment.variables.A-B: is not a valid name"),
        (
            {"environment": variables(X="x" * 4096)},
            "inputs.environment.variables: must have at most 4096 bytes in total, but has 4187",
        ),
        (
            {"environment": variables(LEDGER_URL="sqlite:////var/x.db")},
            "inputs.environment.variables.LEDGER_URL: a SQLite file must be in /tmp",
        ),
        (
            {"environment": variables(LEDGER_URL="sqlite:////tmp/../var/x.db")},
            "inputs.environment.variables.LEDGER_URL: a SQLite file must be in /tmp",
        ),
        (
            {"environment": variables(LEDGER_URL="sqlite:////tmp/%2e%2e/x.db")},
            "inputs.environment.variables.LEDGER_URL: a SQLite file must be in /tmp",
        ),
        (
            {"environment": variables(LEDGER_URL="sqlite:///tmp/x.db")},
            "inputs.environment.variables.LEDGER_URL: is a relative path; write four slashes",
        ),
        (
            {"environment": variables(LEDGER_URL="Redis://r:6379")},
            "inputs.environment.variables.LEDGER_URL: must be sqlite:////absolute/path, redis://host:port/0",
        ),
        (
            {"environment": variables(ROLE_CREDENTIALS_FROM_HEADERS=" true ", WEBHOOK_AUTH=" none ")},
            "inputs.environment.variables.ROLE_CREDENTIALS_FROM_HEADERS: is not supported with WEBHOOK_AUTH=none",
        ),
        (
            {"environment": variables(LEDGER_URL="redis://r:6379")},
            "inputs.environment.variables.LEDGER_KEY: is not set; with Redis",
        ),
        (
            {"environment": variables(ROLE_CREDENTIALS_FROM_HEADERS="true", WEBHOOK_AUTH="none")},
            "inputs.environment.variables.ROLE_CREDENTIALS_FROM_HEADERS: is not supported with WEBHOOK_AUTH=none",
        ),
        ({"events": {}}, "inputs.events: must be a list of mappings with one key each"),
        ({"events": [{"apigw": {}}]}, "inputs.events[0].apigw: is not supported; use http"),
        ({"events": http() * 2}, "inputs.events[0].http: occurs 2 times"),
        ({"events": [{"http": {}}]}, "inputs.events[0].http: must have only the key `parameters`"),
        ({"events": [{"http": {"parameters": []}}]}, "inputs.events[0].http.parameters: must be a mapping"),
        ({"events": http(qualifier=None)}, "inputs.events[0].http.parameters.qualifier: is required"),
        ({"events": http(authType="none")}, "inputs.events[0].http.parameters.authType: must be NONE or CAM"),
        (
            {"events": http(netConfig={"enableExtranet": True})},
            "inputs.events[0].http.parameters.netConfig: must have enableExtranet and enableIntranet",
        ),
    ],
)
def test_invalid_member_is_rejected(tmp_path: Path, members: dict[str, Any], problem: str) -> None:
    found = problems(tmp_path, changed_yaml(**members))
    assert [one for one in found if one.startswith(problem)], found


def test_whitespace_around_variables_is_stripped(tmp_path: Path) -> None:
    spaced = {name: f" {value}\n" for name, value in {**ENVIRON, **REDIS}.items()}
    config = load(tmp_path, YAML, spaced, WEBHOOK_AUTH=" github ")
    assert config.shared_ledger
    assert config.variables["LEDGER_URL"] == REDIS["LEDGER_URL"]
    assert config.settings.webhook_auth == "github"
    assert load(tmp_path, event_function(), spaced).shared_ledger
    environ = {"WEBHOOK_SECRETS": SECRET}
    config = load(tmp_path, changed_yaml(role="signup-bridge"), environ, ROLE_CREDENTIALS_FROM_HEADERS="true ")
    assert config.settings.role_credentials_from_headers
    assert len(problems(tmp_path, YAML, environ, ROLE_CREDENTIALS_FROM_HEADERS="true ")) == 1


def test_web_function_uses_role_credentials_only_from_headers(tmp_path: Path) -> None:
    environ = {"WEBHOOK_SECRETS": SECRET}
    assert len(problems(tmp_path, changed_yaml(role="signup-bridge"), environ)) == 2
    config = load(tmp_path, changed_yaml(role="signup-bridge"), environ, ROLE_CREDENTIALS_FROM_HEADERS="true")
    assert "TENCENT_SECRET_ID" not in config.variables
    (problem,) = problems(tmp_path, YAML, environ, ROLE_CREDENTIALS_FROM_HEADERS="true")
    assert problem.startswith("inputs.role: is required")


def test_webhook_auth_none_needs_no_secret(tmp_path: Path) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != "WEBHOOK_SECRETS"}
    assert load(tmp_path, YAML, environ, WEBHOOK_AUTH="none").variables["WEBHOOK_AUTH"] == "none"


def test_paths_of_function_are_not_checked_locally(tmp_path: Path) -> None:
    config = load(tmp_path, DOMAIN_API_CA_BUNDLE="/var/user/ca.pem")
    assert config.variables["DOMAIN_API_CA_BUNDLE"] == "/var/user/ca.pem"
    redis = {**ENVIRON, **REDIS, "LEDGER_URL": "rediss://:p@h/0?ssl_ca_certs=/var/user/ca.pem"}
    assert load(tmp_path, YAML, redis).shared_ledger


@pytest.mark.parametrize("text", ["a: 1", "inputs: []", "component: scf\nname: a\ninputs: {environment: 1}"])
def test_file_of_another_tool_is_rejected(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text)


def test_problems_hide_values(tmp_path: Path) -> None:
    text = changed_yaml(
        environment=variables(WEBHOOK_SECRETS="whsec_@canary", LEDGER_KEY="canary", LEDGER_URL="canary://")
    )
    assert "canary" not in "\n".join(problems(tmp_path, text))
