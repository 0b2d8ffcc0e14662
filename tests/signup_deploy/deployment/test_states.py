"""What `make deploy` does with a function that is in the middle of something, or that something went wrong with."""

from __future__ import annotations

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config
from tests.support.deployments import archive, deploy
from tests.support.scf_api import ScfCloud

UPDATE = "UpdateFunctionConfiguration"


@pytest.mark.parametrize(("key", "value"), [("Type", "Event"), ("Runtime", "Python3.9")])
def test_what_scf_cannot_change_is_refused(deployed: ScfCloud, config: Config, key: str, value: str) -> None:
    deployed.function.about[key] = value
    with pytest.raises(DeployError, match=f"signup-bridge: its {key.lower()} is {value}, serverless.yml wants"):
        deploy(deployed, config)
    assert deployed.writes == []


def test_a_function_that_is_worked_on_is_waited_for(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"], deployed.function.turns, deployed.function.then = "Updating", 3, "Active"
    run = deploy(deployed, config)
    assert deployed.writes == []
    assert run.printed.startswith("the function is Updating; waiting for the end of this change ….")


def test_a_function_that_is_being_deleted_is_made_anew(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"], deployed.function.turns = "Deleting", 2
    deploy(deployed, config)
    assert deployed.writes == ["CreateFunction", "PutReservedConcurrencyConfig", "CreateTrigger"]


def test_a_function_that_was_never_created_is_removed_first(cloud: ScfCloud, config: Config) -> None:
    cloud.fails.append("CreateFailed")
    with pytest.raises(DeployError, match="CreateFunction: the function is CreateFailed: something is wrong inside"):
        deploy(cloud, config)
    cloud.forget()
    run = deploy(cloud, config)
    assert cloud.writes == ["DeleteFunction", "CreateFunction", "PutReservedConcurrencyConfig", "CreateTrigger"]
    assert run.printed.startswith("the creation of the function failed: something is wrong inside\ndeleting the rest")


@pytest.mark.parametrize("status", ["UpdateFailed", "PublishFailed"])
def test_after_an_update_that_failed_everything_is_sent_again(deployed: ScfCloud, config: Config, status: str) -> None:
    deployed.function.about["Status"] = status
    deploy(deployed, config)
    assert deployed.writes == [UPDATE]
    assert "Environment" in deployed.parameters(UPDATE)
    assert deployed.function.about["Status"] == "Active"


def test_after_an_update_that_failed_new_code_does_not_hide_what_is_not_known(
    deployed: ScfCloud, config: Config
) -> None:
    deployed.function.about["Status"] = "UpdateFailed"
    deploy(deployed, config, archive("changed"))
    assert deployed.writes == [UPDATE, "UpdateFunctionCode", UPDATE]
    assert "Environment" in deployed.parameters(UPDATE)


def test_a_function_that_is_not_seen_at_once_is_waited_for(cloud: ScfCloud, config: Config) -> None:
    cloud.lag = 2
    deploy(cloud, config)
    assert cloud.function.about["Status"] == "Active"


def test_a_state_from_which_nothing_leads_is_told(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"] = "DeleteFailed"
    with pytest.raises(DeployError, match="the function is DeleteFailed; delete it in the console"):
        deploy(deployed, config)


def test_one_that_vanishes_meanwhile_is_told(deployed: ScfCloud, config: Config) -> None:
    deployed.vanishing = True
    with pytest.raises(DeployError, match="the function was deleted meanwhile; run the command again"):
        deploy(deployed, config, archive("changed"))


def test_one_that_is_worked_on_for_ever_is_not_waited_for_for_ever(deployed: ScfCloud, config: Config) -> None:
    deployed.function.about["Status"], deployed.function.turns = "Updating", 1_000_000
    with pytest.raises(DeployError, match="still in progress after 1 s; check it in the console"):
        deploy(deployed, config)
