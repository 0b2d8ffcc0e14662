"""Define fixtures for the deployer: an emulated SCF account and a configuration to deploy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from signup_deploy.config.function_config import Config
from tests.support.deployer import deployments
from tests.support.deployer.scf_api import ScfCloud


@pytest.fixture
def cloud() -> Iterator[ScfCloud]:
    """Start an emulated SCF account without a function."""
    with ScfCloud() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Load the configuration of serverless.yml."""
    return deployments.load(tmp_path)


@pytest.fixture
def deployed(cloud: ScfCloud, config: Config) -> ScfCloud:
    """Deploy the function to the account and clear the recorded calls."""
    deployments.deploy(cloud, config)
    cloud.clear_calls()
    return cloud
