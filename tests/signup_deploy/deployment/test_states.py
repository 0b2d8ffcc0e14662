"""Test `make deploy` with a function that is being changed, or whose last change failed."""

from __future__ import annotations

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config
from tests.support.deployer.deployments import archive, deploy
from tests.support.deployer.scf_api import ScfCloud

UPDATE = "UpdateFunctionConfiguration"


@pytest.mark.parametrize(("key", "value"), [("Type", "Event"), ("Runtime", "Python3.9")])
def test_immutable_difference_is_rejected(deployed: ScfCloud, config: Config, key: str, value: str) -> None:
    deployed.function.about[key] = value
    with pytest.raises(DeployError, match=f"signup-bridge: the function's {key.lower()} is {value}, but must be"):
        deploy(deployed, config)
    assert deployed.writes == []


def test_updating_function_is_waited_for(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"], deployed.function.turns, deployed.function.then = "Updating", 3, "Active"
    run = deploy(deployed, config)
    assert deployed.writes == []
    assert run.printed.startswith("the function is Updating; waiting until this change is complete ….")


def test_deleting_function_is_created_again(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"], deployed.function.turns = "Deleting", 2
    deploy(deployed, config)
    assert deployed.writes == ["CreateFunction", "PutReservedConcurrencyConfig", "CreateTrigger"]


def test_failed_creation_is_removed_first(cloud: ScfCloud, config: Config) -> None:
    cloud.fails.append("CreateFailed")
    with pytest.raises(DeployError, match="CreateFunction: the function is CreateFailed: something is wrong inside"):
        deploy(cloud, config)
    cloud.clear_calls()
    run = deploy(cloud, config)
    assert cloud.writes == ["DeleteFunction", "CreateFunction", "PutReservedConcurrencyConfig", "CreateTrigger"]
    assert run.printed.startswith(
        "the creation of the function failed: something is wrong inside\ndeleting the incomplete"
    )


@pytest.mark.parametrize("status", ["UpdateFailed", "PublishFailed"])
def test_failed_update_is_sent_again_completely(deployed: ScfCloud, config: Config, status: str) -> None:
    deployed.function.about["Status"] = status
    deploy(deployed, config)
    assert deployed.writes == [UPDATE]
    assert "Environment" in deployed.parameters(UPDATE)
    assert deployed.function.about["Status"] == "Active"


def test_failed_update_with_new_code_is_sent_again_completely(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"] = "UpdateFailed"
    deploy(deployed, config, archive("changed"))
    assert deployed.writes == [UPDATE, "UpdateFunctionCode", UPDATE]
    assert "Environment" in deployed.parameters(UPDATE)


def test_function_that_appears_late_is_waited_for(cloud: ScfCloud, config: Config) -> None:
    cloud.lag = 2
    deploy(cloud, config)
    assert cloud.function.about["Status"] == "Active"


def test_undeletable_function_is_reported(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"] = "DeleteFailed"
    with pytest.raises(DeployError, match="the function is DeleteFailed; delete it in the console"):
        deploy(deployed, config)


def test_function_that_disappears_is_reported(deployed: ScfCloud, config: Config) -> None:
    deployed.vanishing = True
    with pytest.raises(DeployError, match="the function was deleted during the deployment; run the command again"):
        deploy(deployed, config, archive("changed"))


def test_endless_update_is_reported_after_limit(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"], deployed.function.turns = "Updating", 1_000_000
    with pytest.raises(DeployError, match="still in progress after 1 s; check it in the console"):
        deploy(deployed, config)
