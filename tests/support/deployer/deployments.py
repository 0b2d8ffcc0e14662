"""Build configurations and zips, and deploy them to the emulated SCF API."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from signup_deploy.api.errors import DeployError
from signup_deploy.api.masking import collect_secrets
from signup_deploy.api.scf_api import Api, Credentials, DryRunApi, ScfApi
from signup_deploy.config import function_config
from signup_deploy.config.function_config import Config
from signup_deploy.config.serverless_file import ConfigError
from signup_deploy.deployment.calls import PollPolicy
from signup_deploy.deployment.deployment import Deployment
from signup_deploy.deployment.function_state import Archive
from signup_deploy.deployment.progress import ProgressReporter
from tests.support import ROOT
from tests.support.bridge.signed_requests import SECRET
from tests.support.deployer.scf_api import REGION, SECRET_ID, SECRET_KEY, ScfCloud

YAML = (ROOT / "serverless.yml").read_text()

FUNCTION_KEY = {"FUNCTION_SECRET_ID": "AKIDcanaryOfTheFunction", "FUNCTION_SECRET_KEY": "canary-of-the-functions-key"}
ENVIRON = {**FUNCTION_KEY, "WEBHOOK_SECRETS": f"{SECRET} whsec_Y2FuYXJ5LW9mLWFub3RoZXItc2VjcmV0"}
REDIS = {
    "LEDGER_URL": "rediss://:canary-password@redis.example:6379/0",
    "LEDGER_KEY": "canary-of-a-ledger-key-0123456789",
}
CANARIES = ("canary", "Canary", "Y2FuYXJ5", SECRET.removeprefix("whsec_"), SECRET_KEY)


def event_function(text: str = YAML) -> str:
    """Return serverless.yml with its commented parts enabled, and without the parts for web functions only."""
    text = re.sub(r"^( *)#(?! \S)", r"\1", text, flags=re.MULTILINE)
    text = text.replace("  type: web\n", "")
    return re.sub(r"^  instanceConcurrencyConfig:\n(    .*\n)+", "", text, flags=re.MULTILINE)


def changed_yaml(**members: Any) -> str:
    """Return the file with members of `inputs` changed or added. A member that is None is omitted."""
    tree = yaml.safe_load(YAML)
    tree["inputs"] = {key: value for key, value in {**tree["inputs"], **members}.items() if value is not None}
    return yaml.safe_dump(tree)


def load(tmp_path: Path, text: str = YAML, environ: Mapping[str, str] = ENVIRON, **changed: str) -> Config:
    """Return the configuration of a text and an environment, with variables changed or added."""
    path = tmp_path / "serverless.yml"
    path.write_text(text)
    return function_config.load(path, {**environ, **changed})


def problems(tmp_path: Path, text: str = YAML, environ: Mapping[str, str] | None = None, **changed: str) -> list[str]:
    """Return the problems of a text and an environment."""
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, text, ENVIRON if environ is None else environ, **changed)
    assert str(raised.value).startswith("deploy: serverless.yml is invalid:\n  ")
    return raised.value.problems


def archive(content: str = "print()") -> Archive:
    """Return the zip of a function with one line."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as out:
        out.writestr(zipfile.ZipInfo("index.py"), content)
        out.writestr(zipfile.ZipInfo("scf_bootstrap"), "")
    return Archive.from_bytes(data.getvalue())


@dataclass
class Run:
    """The output of a run, and the URL that it returned."""

    printed: str
    url: str | None


def api(cloud: ScfCloud, config: Config, **changed: Any) -> ScfApi:
    credentials = Credentials(SECRET_ID, SECRET_KEY)
    secrets = collect_secrets(config.variables)
    arguments: dict[str, Any] = {
        "credentials": credentials,
        "region": REGION,
        "secrets": secrets,
        "endpoint": cloud.url,
    }
    return ScfApi(**{**arguments, **changed})


class LeapingTime:
    """A replacement for the module ``time``: only sleeps advance the time, and they return immediately."""

    def __init__(self) -> None:
        self._now = 0.0

    def monotonic(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now += seconds


QUICK = PollPolicy(interval=0.005, state=0.7, busy=0.3, url=0.1, attempts=3)


def deploy(cloud: ScfCloud, config: Config, code: Archive | None = None, *, dry: bool = False, **options: Any) -> Run:
    """Deploy to the emulated API, and check that the output or the exception contains no secret."""
    out = io.StringIO()
    progress = ProgressReporter(out, live=not dry)
    real: Api = api(cloud, config)
    called = DryRunApi(real, progress.say) if dry else real
    run = Deployment(config, code or archive(), called, progress, polling=QUICK, **options)
    time = LeapingTime()
    try:
        with (
            patch("signup_deploy.deployment.calls.time", time),
            patch("signup_deploy.deployment.deployment.time", time),
        ):
            url = run.run()
    except DeployError as error:
        assert_no_secret(out.getvalue() + str(error))
        raise
    assert_no_secret(out.getvalue())
    return Run(out.getvalue(), url)


def assert_no_secret(text: str) -> None:
    assert not [canary for canary in CANARIES if canary in text]
