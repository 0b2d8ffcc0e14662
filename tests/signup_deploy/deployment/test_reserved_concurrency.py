"""Test that `make deploy` limits a function with a SQLite ledger to one instance at all times."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config
from tests.support.deployer.deployments import ENVIRON, REDIS, YAML, archive, deploy, load
from tests.support.deployer.scf_api import ScfCloud

PUT, DELETE = "PutReservedConcurrencyConfig", "DeleteReservedConcurrencyConfig"
UPDATE = "UpdateFunctionConfiguration"


def make_config(tmp_path: Path, memory: int = 128, **environ: str) -> Config:
    return load(tmp_path, YAML.replace("memorySize: 64", f"memorySize: {memory}"), ENVIRON, **environ)


def deployed(cloud: ScfCloud, config: Config) -> None:
    """Deploy the function and clear the recorded calls."""
    deploy(cloud, config)
    cloud.clear_calls()


def test_first_deploy_never_allows_two_instances(cloud: ScfCloud, tmp_path: Path) -> None:
    deploy(cloud, make_config(tmp_path))
    assert max(cloud.instances) == 1
    assert cloud.function.instances == 1


@pytest.mark.parametrize(("memory", "other"), [(128, 256), (256, 128)])
def test_memory_change_never_allows_two_instances(cloud: ScfCloud, tmp_path: Path, memory: int, other: int) -> None:
    deployed(cloud, make_config(tmp_path, memory))
    run = deploy(cloud, make_config(tmp_path, other), archive("changed"))
    assert max(cloud.instances) == 1
    assert cloud.function.reserved == other
    assert cloud.writes.count(PUT) == 1
    expected = f"the memory changes from {memory} to {other} MB; the function may not respond for some seconds\n"
    assert run.printed.startswith(expected)


@pytest.mark.parametrize("memory", [128, 256, 512])
def test_missing_limit_is_set_before_other_changes(cloud: ScfCloud, tmp_path: Path, memory: int) -> None:
    deployed(cloud, make_config(tmp_path, 256))
    cloud.function.reserved = None  # as after `scf deploy`
    deploy(cloud, make_config(tmp_path, memory), archive("changed"))
    assert cloud.writes[0] == PUT
    limited = [one != math.inf for one in cloud.instances]
    assert limited == sorted(limited), "the limit must not be lifted again"
    actions = [action for action, _ in cloud.calls]
    assert limited.index(True) < actions.index(UPDATE)
    assert max(cloud.instances[limited.index(True) :]) <= 1
    assert cloud.function.reserved == memory


@pytest.mark.parametrize(("memory", "other"), [(128, 128), (128, 256), (256, 128)])
def test_change_from_redis_to_sqlite_sets_limit_first(cloud: ScfCloud, tmp_path: Path, memory: int, other: int) -> None:
    deployed(cloud, make_config(tmp_path, memory, **REDIS))
    deploy(cloud, make_config(tmp_path, other))
    assert cloud.writes[:2] == [PUT, UPDATE]
    update = [action for action, _ in cloud.calls].index(UPDATE)
    assert max(cloud.instances[update:]) <= 1
    assert cloud.function.reserved == other


def test_limit_that_cannot_be_set_stops_deploy(cloud: ScfCloud, tmp_path: Path) -> None:
    deployed(cloud, make_config(tmp_path, 128, **REDIS))
    cloud.refuse(PUT, "FailedOperation.ReservedExceedTotal")
    with pytest.raises(DeployError, match="The account's concurrency quota is too small"):
        deploy(cloud, make_config(tmp_path))
    assert cloud.writes == [PUT]
    assert "LEDGER_URL" in cloud.function.variables


def test_limit_is_waited_for(cloud: ScfCloud, tmp_path: Path) -> None:
    cloud.reserving_turns = 1_000_000
    with pytest.raises(DeployError, match="128 MB are not reserved after 1 s; check the function's concurrency"):
        deploy(cloud, make_config(tmp_path))
    assert not cloud.function.triggers


def test_redis_ledger_needs_no_limit(cloud: ScfCloud, tmp_path: Path) -> None:
    deploy(cloud, make_config(tmp_path, 128, **REDIS))
    assert cloud.writes == ["CreateFunction", "CreateTrigger"]


@pytest.mark.parametrize("memory", [128, 256])
def test_change_from_sqlite_to_redis_lifts_limit_last(cloud: ScfCloud, tmp_path: Path, memory: int) -> None:
    deployed(cloud, make_config(tmp_path))
    run = deploy(cloud, make_config(tmp_path, memory, **REDIS))
    assert cloud.writes == [UPDATE, DELETE]
    assert "removing the limit to one instance: the instances share Redis" in run.printed


@pytest.mark.parametrize(("memory", "other"), [(128, 256), (256, 512)])
def test_limit_without_room_for_instance_is_lifted(cloud: ScfCloud, tmp_path: Path, memory: int, other: int) -> None:
    deployed(cloud, make_config(tmp_path, memory))
    config = make_config(tmp_path, other, **REDIS)
    cloud.refuse(DELETE, "InternalError")
    with pytest.raises(DeployError):
        deploy(cloud, config)
    assert cloud.function.instances == 0
    deploy(cloud, config)
    assert cloud.function.instances == math.inf


def test_reservation_of_others_is_kept(cloud: ScfCloud, tmp_path: Path) -> None:
    deployed(cloud, make_config(tmp_path))
    cloud.function.reserved = 1280
    run = deploy(cloud, make_config(tmp_path, 128, **REDIS))
    assert cloud.writes == [UPDATE]
    assert "the reservation of 1280 MB (10 instances) stays unchanged; if you did not set it" in run.printed


def test_dry_run_reports_limit_once(cloud: ScfCloud, tmp_path: Path) -> None:
    deployed(cloud, make_config(tmp_path, 256))
    printed = deploy(cloud, make_config(tmp_path), dry=True).printed
    assert [line.split()[2] for line in printed.splitlines() if "would call" in line] == [PUT, UPDATE]
