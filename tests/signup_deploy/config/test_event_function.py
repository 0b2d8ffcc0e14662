"""Test serverless.yml for an event function: its triggers, its role and its ledger."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from signup_deploy.config.function_config import Cls, Vpc
from tests.support.bridge.signed_requests import SECRET
from tests.support.deployer.deployments import ENVIRON, REDIS, changed_yaml, event_function, load, problems


def test_commented_event_function_is_valid(tmp_path: Path) -> None:
    config = load(tmp_path, event_function(), ENVIRON, **REDIS)
    assert (config.shape, config.handler, config.concurrency) == ("event", "index.main_handler", None)
    assert config.shared_ledger
    assert config.url
    assert config.ckafka
    assert (config.ckafka.name, config.ckafka.enabled) == ("ckafka-xxxxxxxx-signups", True)
    assert (config.role, config.eip) == ("signup-bridge", True)
    assert config.vpc == Vpc("vpc-xxxxxxxx", "subnet-xxxxxxxx")
    assert config.cls == Cls("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000")


@pytest.mark.parametrize(
    ("line", "other", "problem"),
    [
        ("enable: true  # required", "#", "inputs.events[1].ckafka.parameters.enable: is required"),
        (
            "name: ckafka-xxxxxxxx-signups",
            "name: other",
            "inputs.events: the name of the ckafka trigger must be <instanceId>-<topic>",
        ),
        (
            "maxMsgNum: 10 ",
            "maxMsgNum: 0 ",
            "inputs.events[1].ckafka.parameters.maxMsgNum: must be a whole number from 1",
        ),
        (
            "timeout: 60",
            "timeout: 61",
            "inputs.events[1].ckafka.parameters.timeout: must be a whole number from 1 to 60",
        ),
        ("offset: latest", "offset: oldest", "inputs.events[1].ckafka.parameters.offset: must be latest or earliest"),
        ("handler: index.main_handler", "#", "inputs.handler: is required; it must be index.main_handler"),
        ("memorySize: 64", "type: event", "column 3: duplicate key type"),
        (
            "memorySize: 64",
            "memorySize: 64\n  instanceConcurrencyConfig: {enable: true, dynamicEnabled: false, maxConcurrency: 16} #",
            "inputs.instanceConcurrencyConfig: is supported for web functions only; remove it",
        ),
    ],
)
def test_invalid_event_function_member_is_rejected(tmp_path: Path, line: str, other: str, problem: str) -> None:
    text = event_function()
    assert line in text
    assert problem in "\n".join(problems(tmp_path, text.replace(line, other, 1), None, **REDIS))


def test_event_function_needs_redis_and_uses_role_credentials(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, event_function())
    assert problem.startswith("inputs.environment.variables.LEDGER_URL: must be redis://… or rediss://…")
    needed, wrong = problems(tmp_path, event_function(), LEDGER_URL="mysql://h/0")
    assert needed == problem
    assert wrong.startswith("inputs.environment.variables.LEDGER_URL: must be sqlite:////absolute/path, redis://")
    without_key = {"WEBHOOK_SECRETS": SECRET, **REDIS}
    assert "TENCENT_SECRET_ID" not in load(tmp_path, event_function(), without_key).variables
    text = event_function().replace("  role: signup-bridge\n", "")
    cls, problem = problems(tmp_path, text, without_key)
    assert cls.startswith("inputs.cls: requires `role`")
    assert problem == ("inputs.role: is required; without FUNCTION_SECRET_ID, the function uses its role's credentials")
    half = problems(tmp_path, event_function(), {**without_key, "FUNCTION_SECRET_ID": "a"})
    assert [one.partition(":")[0] for one in half] == ["inputs.environment.variables.TENCENT_SECRET_KEY"]


def test_web_function_with_ckafka_is_rejected(tmp_path: Path) -> None:
    events = yaml.safe_load(event_function())["inputs"]["events"]
    (problem,) = problems(tmp_path, changed_yaml(events=events))
    assert problem == "inputs.events: ckafka is supported for event functions only; set `type: event`"
