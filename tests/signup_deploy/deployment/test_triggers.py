"""Test the triggers of a deployed function: its URL, CKafka, and triggers that the deployer does not manage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config
from tests.support.deployer.deployments import ENVIRON, REDIS, archive, deploy, event_function, load
from tests.support.deployer.scf_api import FUNCTION_URL, ScfCloud


def test_url_trigger_of_another_name_is_updated(deployed: ScfCloud, config: Config) -> None:
    trigger = deployed.function.triggers[0]
    described = json.loads(trigger["TriggerDesc"])
    described["NetConfig"]["EnableIntranet"] = True
    trigger |= {"TriggerName": "hulrzrbh9f", "TriggerDesc": json.dumps(described)}
    deploy(deployed, config)
    assert deployed.writes == ["UpdateTrigger"]
    assert deployed.parameters("UpdateTrigger")["TriggerName"] == "hulrzrbh9f"
    trigger["Enable"] = 0
    deploy(deployed, config)
    assert deployed.writes == ["UpdateTrigger"] * 2
    assert trigger["Enable"] == 1
    trigger["TriggerDesc"] = '{"AuthType": "NONE"}'
    deploy(deployed, config)
    assert deployed.writes == ["UpdateTrigger"] * 3


def test_unmanaged_triggers_are_reported(cloud: ScfCloud, tmp_path: Path) -> None:
    deploy(cloud, load(tmp_path, event_function(), ENVIRON, **REDIS))
    cloud.function.triggers.insert(0, {**cloud.function.triggers[0], "TriggerName": "second", "Qualifier": "1"})
    run = deploy(cloud, load(tmp_path, event_function().replace("signups", "others"), ENVIRON, **REDIS))
    assert run.printed.splitlines()[-2:] == [
        "WARNING: serverless.yml does not contain the http trigger second of the qualifier 1; it stays unchanged",
        "WARNING: serverless.yml does not contain the ckafka trigger ckafka-xxxxxxxx-signups; it stays unchanged",
    ]
    assert run.url == FUNCTION_URL


def test_taken_trigger_name_is_explained(deployed: ScfCloud, config: Config) -> None:
    deployed.function.triggers[0]["Qualifier"] = "$LATEST"
    with pytest.raises(DeployError) as raised:
        deploy(deployed, config)
    assert str(raised.value) == (
        "CreateTrigger: the http trigger url-trigger of the qualifier $LATEST already has this name; "
        "remove it in the console, or set another `name` under `events` in serverless.yml"
    )


def test_missing_url_is_waited_for_with_limit(cloud: ScfCloud, config: Config) -> None:
    cloud.url_turns = 1_000_000
    assert deploy(cloud, config).url is None


def test_event_function_gets_ckafka_trigger(cloud: ScfCloud, tmp_path: Path) -> None:
    config = load(tmp_path, event_function(), ENVIRON, **REDIS)
    assert deploy(cloud, config).url == FUNCTION_URL
    assert cloud.writes == ["CreateFunction", "CreateTrigger", "CreateTrigger"]
    created = cloud.parameters("CreateFunction")
    assert (created["Type"], created["Handler"]) == ("Event", "index.main_handler")
    trigger = cloud.parameters("CreateTrigger")
    assert json.loads(trigger.pop("TriggerDesc")) == {
        "maxMsgNum": 10,
        "offset": "latest",
        "retry": 10_000,
        "timeOut": 60,
        "consumerGroupName": "",
        "InstanceId": "ckafka-xxxxxxxx",
        "Topic": "signups",
    }
    name = "ckafka-xxxxxxxx-signups"
    assert trigger == {"TriggerName": name, "Type": "ckafka", "Qualifier": "$DEFAULT", "Enable": "OPEN"}
    cloud.clear_calls()
    assert deploy(cloud, config).printed == "nothing to change\n"
    assert cloud.writes == []
    more = load(tmp_path, event_function().replace("maxMsgNum: 10 ", "maxMsgNum: 20 "), ENVIRON, **REDIS)
    deploy(cloud, more, archive("changed"))
    assert cloud.writes == [
        "UpdateFunctionConfiguration",
        "UpdateFunctionCode",
        "UpdateFunctionConfiguration",
        "UpdateTrigger",
    ]
    assert cloud.parameters("UpdateFunctionCode")["Handler"] == "index.main_handler"
