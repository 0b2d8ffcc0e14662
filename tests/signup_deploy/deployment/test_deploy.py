"""Test `make deploy` against an emulated SCF API: each run makes exactly the necessary calls."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config
from signup_deploy.deployment.function_state import ZIP_LIMIT, Archive
from tests.support.deployer.deployments import ENVIRON, REDIS, YAML, archive, deploy, event_function, load
from tests.support.deployer.scf_api import FUNCTION_URL, ScfCloud

UPDATE = "UpdateFunctionConfiguration"


def changed(tmp_path: Path, old: str, new: str, **environ: str) -> Config:
    """Return the configuration of serverless.yml with one text replaced by another."""
    assert old in YAML
    return load(tmp_path, YAML.replace(old, new), ENVIRON, **environ)


def test_first_deploy_creates_function_limit_and_url(cloud: ScfCloud, config: Config) -> None:
    cloud.url_turns = 2
    run = deploy(cloud, config)
    assert cloud.writes == ["CreateFunction", "PutReservedConcurrencyConfig", "CreateTrigger"]
    function = cloud.function
    assert function.code == archive().data
    assert function.variables == config.variables
    assert function.reserved == 64
    created = cloud.parameters("CreateFunction")
    assert {key: value for key, value in created.items() if key not in ("Code", "Environment")} == {
        "Type": "HTTP",
        "Runtime": "Python3.10",
        "Description": f"Signup bridge, package {archive().marker}",
        "MemorySize": 64,
        "Timeout": 12,
        "InitTimeout": 30,
        "PublicNetConfig": {"PublicNetStatus": "ENABLE", "EipConfig": {"EipStatus": "DISABLE"}},
        "InstanceConcurrencyConfig": {"DynamicEnabled": "FALSE", "MaxConcurrency": 16},
    }
    trigger = cloud.parameters("CreateTrigger")
    assert json.loads(trigger.pop("TriggerDesc")) == {
        "AuthType": "NONE",
        "NetConfig": {"EnableIntranet": False, "EnableExtranet": True},
    }
    assert trigger == {"TriggerName": "url-trigger", "Type": "http", "Qualifier": "$DEFAULT", "Enable": "OPEN"}
    assert run.url == FUNCTION_URL
    lines = run.printed.splitlines()
    assert lines[0] == "creating the function signup-bridge in ap-guangzhou, namespace default …... 0 s"
    assert lines[1].startswith("limiting the function to one instance: instances cannot share a SQLite ledger")
    assert lines[2:] == ["creating the Function URL … 0 s", "waiting for the URL …. 0 s"]


def test_second_deploy_changes_nothing(deployed: ScfCloud, config: Config) -> None:
    run = deploy(deployed, config)
    assert deployed.writes == []
    assert run.printed == "nothing to change\n"
    assert run.url == FUNCTION_URL


def test_changed_code_is_uploaded_and_marked(deployed: ScfCloud, config: Config) -> None:
    run = deploy(deployed, config, archive("changed"))
    assert deployed.writes == [UPDATE, "UpdateFunctionCode", UPDATE]
    assert deployed.function.code == archive("changed").data
    assert "Handler" not in deployed.parameters("UpdateFunctionCode")
    assert deployed.parameters(UPDATE) == {"Description": f"Signup bridge, package {archive('changed').marker}"}
    assert "uploading the code, 0.00 MiB …" in run.printed
    deployed.clear_calls()
    deploy(deployed, config, archive("changed"))
    assert deployed.writes == []


def test_interrupted_upload_is_repeated(deployed: ScfCloud, config: Config) -> None:
    deployed.refuse(UPDATE, "InternalError", after=1)
    with pytest.raises(DeployError, match=r"SCF has an internal error\. Run the command again"):
        deploy(deployed, config, archive("changed"))
    assert deployed.function.code == archive("changed").data
    deployed.clear_calls()
    deploy(deployed, config)
    assert deployed.writes == ["UpdateFunctionCode", UPDATE]
    assert deployed.function.code == archive().data


def test_force_uploads_unchanged_code(deployed: ScfCloud, config: Config) -> None:
    deploy(deployed, config, force=True)
    assert deployed.writes == [UPDATE, "UpdateFunctionCode", UPDATE]


def test_code_of_another_tool_is_replaced(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Description"] = "This is a function in signup-bridge application"
    deploy(deployed, config)
    assert deployed.writes == ["UpdateFunctionCode", UPDATE]


def test_changed_variable_is_named_without_value(deployed: ScfCloud, tmp_path: Path) -> None:
    config = load(tmp_path, YAML, ENVIRON, WEBHOOK_SECRETS="whsec_Y2FuYXJ5", LOG_LEVEL="DEBUG")
    run = deploy(deployed, config)
    assert deployed.writes == [UPDATE]
    assert set(deployed.parameters(UPDATE)) == {"Environment"}
    assert deployed.function.variables == config.variables
    assert run.printed.startswith("updating LOG_LEVEL, WEBHOOK_SECRETS …")


def test_removed_variable_is_deleted_and_reported(cloud: ScfCloud, tmp_path: Path) -> None:
    deploy(cloud, load(tmp_path, YAML, ENVIRON, LOG_LEVEL="DEBUG", LEDGER_TTL="60", MAX_WRONG_CODES="3"))
    run = deploy(cloud, load(tmp_path, YAML, ENVIRON, MAX_WRONG_CODES="4"))
    assert "LOG_LEVEL" not in cloud.function.variables
    assert run.printed.startswith("updating MAX_WRONG_CODES; removing LEDGER_TTL, LOG_LEVEL …")
    assert deploy(cloud, load(tmp_path)).printed.startswith("removing MAX_WRONG_CODES …")


def test_change_from_redis_to_sqlite_is_warned_of(cloud: ScfCloud, tmp_path: Path) -> None:
    deploy(cloud, load(tmp_path, YAML, ENVIRON, **REDIS))
    first, *_ = deploy(cloud, load(tmp_path), dry=True).printed.splitlines()
    assert first.startswith("WARNING: the function's ledger changes from Redis to a SQLite file")
    printed = deploy(cloud, load(tmp_path)).printed
    assert first in printed
    assert "removing LEDGER_KEY, LEDGER_URL …" in printed
    assert "WARNING" not in deploy(cloud, load(tmp_path)).printed


def test_changed_timeout_alone_is_updated(deployed: ScfCloud, tmp_path: Path) -> None:
    run = deploy(deployed, changed(tmp_path, "timeout: 12", "timeout: 20"))
    assert deployed.writes == [UPDATE]
    assert deployed.parameters(UPDATE) == {"Timeout": 20}
    assert run.printed.startswith("updating Timeout …")


def test_other_changed_settings_are_updated(deployed: ScfCloud, tmp_path: Path) -> None:
    text = event_function()  # for the parts of the file that are commented out
    commented = text[text.index("  eip: true") : text.index("  events:")]
    config = changed(tmp_path, "  events:", commented + "  events:")
    deploy(deployed, config)
    assert deployed.writes == [UPDATE]
    assert deployed.parameters(UPDATE) == {
        "PublicNetConfig": {"PublicNetStatus": "ENABLE", "EipConfig": {"EipStatus": "ENABLE"}},
        "Role": "signup-bridge",
        "VpcConfig": {"VpcId": "vpc-xxxxxxxx", "SubnetId": "subnet-xxxxxxxx"},
        "ClsLogsetId": "00000000-0000-0000-0000-000000000000",
        "ClsTopicId": "00000000-0000-0000-0000-000000000000",
    }
    deployed.clear_calls()
    deploy(deployed, config)
    assert deployed.writes == []
    deployed.function.about["ClsTopicId"] = "another"
    deploy(deployed, config)
    assert set(deployed.parameters(UPDATE)) == {"ClsLogsetId", "ClsTopicId", "Role"}, "SCF requires them together"


def test_unmanaged_settings_and_triggers_are_kept_and_reported(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about |= {"Role": "theirs", "VpcConfig": {"VpcId": "vpc-1", "SubnetId": "subnet-1"}}
    deployed.function.about |= {"Tags": [{"Key": "a", "Value": "b"}], "AvailableStatus": "InsufficientBalance"}
    timer = {"Type": "timer", "TriggerName": "t", "TriggerDesc": '{"cron":"* * * * * * *"}', "Enable": 1}
    deployed.function.triggers.append({**timer, "Qualifier": "$DEFAULT"})
    run = deploy(deployed, config)
    assert deployed.writes == []
    assert run.printed.splitlines() == [
        "WARNING: the function has a role, but serverless.yml does not; it stays unchanged",
        "WARNING: the function has a vpcConfig, but serverless.yml does not; it stays unchanged",
        "WARNING: the tags differ, and stay unchanged; SCF sets tags only at creation",
        "WARNING: the account's balance is used up, and the function is suspended; top it up",
        "WARNING: serverless.yml does not contain the timer trigger t; it stays unchanged",
        "nothing to change",
    ]


def test_tags_are_set_at_creation(cloud: ScfCloud, tmp_path: Path) -> None:
    config = changed(tmp_path, "  events:", "  tags: [{key: team, value: signup}]\n  events:")
    deploy(cloud, config)
    assert cloud.function.about["Tags"] == [{"Key": "team", "Value": "signup"}]
    assert deploy(cloud, config).printed == "nothing to change\n"


def test_dry_run_reports_calls_and_changes_nothing(deployed: ScfCloud, tmp_path: Path) -> None:
    config = changed(tmp_path, "timeout: 12", "timeout: 20", **REDIS)
    run = deploy(deployed, config, archive("changed"), dry=True)
    assert deployed.writes == []
    assert deployed.calls
    assert run.url is None
    lines = run.printed.splitlines()
    assert [line.split()[2] for line in lines if line.startswith("  would call ")] == [
        UPDATE,
        "UpdateFunctionCode",
        UPDATE,
        "DeleteReservedConcurrencyConfig",
    ]
    assert "    Timeout: 20" in lines
    names = " ".join(f"{name}=…" for name in sorted(config.variables))
    assert f"    Environment: {names}" in lines


def test_dry_run_of_missing_or_failed_function_reports_calls(cloud: ScfCloud, config: Config) -> None:
    first = deploy(cloud, config, dry=True).printed
    assert cloud.writes == []
    assert [line.strip() for line in first.splitlines() if "would call" in line] == [
        "would call CreateFunction",
        "would call PutReservedConcurrencyConfig",
        "would call CreateTrigger",
    ]
    cloud.fails.append("CreateFailed")
    with pytest.raises(DeployError):
        deploy(cloud, config)
    cloud.clear_calls()
    again = deploy(cloud, config, dry=True).printed
    assert cloud.writes == []
    assert "  would call DeleteFunction\n" in again
    assert "  would call CreateFunction\n" in again


def test_dry_run_without_changes_reports_nothing_to_change(deployed: ScfCloud, config: Config) -> None:
    assert deploy(deployed, config, dry=True).printed == "nothing to change\n"


def test_unusable_zip_is_rejected_before_upload(tmp_path: Path) -> None:
    large = tmp_path / "function.zip"
    data = bytearray(ZIP_LIMIT + 1)
    small = archive().data
    data[-len(small) :] = small  # readers parse a zip from its end
    large.write_bytes(data)
    with pytest.raises(DeployError, match="has 7,800,001 bytes, but SCF's API accepts at most 7,800,000"):
        Archive.read(large)
    large.write_bytes(b"no zip")
    with pytest.raises(DeployError, match="is not a zip"):
        Archive.read(large)


def test_zip_without_index_is_rejected(tmp_path: Path) -> None:
    path = tmp_path / "function.zip"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("function/index.py", "")
        out.writestr("scf_bootstrap", "")
    with pytest.raises(
        DeployError, match=r"has no index\.py at its root, which SCF needs to start the function; deploy a"
    ):
        Archive.read(path)


def test_largest_zip_is_uploaded(cloud: ScfCloud, config: Config) -> None:
    data = bytes(ZIP_LIMIT - len(archive().data)) + archive().data
    deploy(cloud, config, Archive.from_bytes(data))
    assert cloud.function.code == data


def test_code_changed_elsewhere_is_replaced(deployed: ScfCloud, config: Config) -> None:
    ours = deployed.function.code
    deployed.function.code = ours + b"theirs"
    deploy(deployed, config)
    assert deployed.function.code == ours
    deployed.clear_calls()
    assert deploy(deployed, config).printed == "nothing to change\n"
