"""Test the command `signup-bridge deploy` in a separate process: its output and its exit status."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.command import format_result, read_credentials
from signup_deploy.packaging.package import Package
from tests.support import ROOT
from tests.support.deployer.deployments import ENVIRON, FUNCTION_KEY, YAML, archive, assert_no_secret, load
from tests.support.deployer.scf_api import FUNCTION_URL, SECRET_ID, SECRET_KEY, ScfCloud
from tests.support.emulator.command import IMPORTS

DEPLOYER = {"TENCENT_SECRET_ID": SECRET_ID, "TENCENT_SECRET_KEY": SECRET_KEY}
KEPT = ("PATH", "HOME", "COV")


@pytest.fixture
def cloud(cloud: ScfCloud) -> ScfCloud:
    """Return an account that completes changes quickly, because the command polls once a second."""
    cloud.turns = cloud.reserving_turns = cloud.url_turns = 0
    return cloud


@pytest.fixture
def package(tmp_path: Path) -> str:
    path = tmp_path / "function.zip"
    path.write_bytes(archive().data)
    return str(path)


PROGRAM = """
import argparse, sys
{before}
from signup_deploy import cli
parser = argparse.ArgumentParser()
cli.configure_deploy(parser)
sys.exit(cli.deploy(parser.parse_args(), endpoint={endpoint!r}))
"""


def command(cloud: ScfCloud, *arguments: str, before: str = "") -> list[str]:
    program = PROGRAM.format(before=before, endpoint=cloud.url)
    return [sys.executable, "-c", program, *arguments]


def environment(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith(KEPT)} | IMPORTS | environ


def run(
    cloud: ScfCloud, *arguments: str, environ: dict[str, str] | None = None, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command until it exits, and check that it printed no secret."""
    done = subprocess.run(
        command(cloud, *arguments, before=before),
        cwd=ROOT,
        env=environment({**ENVIRON, **DEPLOYER} if environ is None else environ),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert_no_secret(done.stdout + done.stderr)
    return done


def test_deploy_prints_url_and_command_to_try_it(cloud: ScfCloud, package: str) -> None:
    done = run(cloud, "--package", package)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-6] == FUNCTION_URL
    assert lines[-4].startswith("To send a signed delivery, set the same WEBHOOK_SECRETS")
    sent = f" -m signup_bridge send --url {FUNCTION_URL}/webhooks/signup --contact … --code …"
    assert lines[-1].endswith(sent)
    interpreter = lines[-1].strip().removesuffix(sent)
    assert os.access(ROOT / interpreter, os.X_OK)
    again = run(cloud, "--package", package)
    assert (again.returncode, again.stderr) == (0, "")
    assert again.stdout.splitlines()[0] == "nothing to change"
    assert FUNCTION_URL in again.stdout


def test_deploy_uploads_built_package(cloud: ScfCloud, built: Package) -> None:
    done = run(cloud, "--package", str(built.archive))
    assert done.returncode == 0, done.stderr
    assert cloud.function.code == built.archive.read_bytes()


def test_deploy_prints_send_command_for_webhook_auth(cloud: ScfCloud, package: str) -> None:
    done = run(cloud, "--package", package, environ={**ENVIRON, **DEPLOYER, "WEBHOOK_AUTH": "github"})
    assert f"send --url {FUNCTION_URL}/webhooks/signup --sender github --contact … --code …" in done.stdout


def test_greeting_without_url_or_with_cam_says_what_to_do(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert format_result(config, None).startswith("\nSCF has not assigned a URL yet. Run the command again")
    config = load(tmp_path, YAML.replace("authType: NONE", "authType: CAM"))
    assert (
        format_result(config, FUNCTION_URL)
        == f"\n{FUNCTION_URL}\n\nCallers must sign their requests with CAM (authType in serverless.yml)."
    )


def test_dry_run_without_key_shows_first_deployment(cloud: ScfCloud, package: str) -> None:
    done = run(cloud, "--dry-run", "--package", package, environ=ENVIRON)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "TENCENT_SECRET_ID is not set; the following calls are those of a first deployment"
    assert "  would call CreateFunction" in lines
    assert lines[-1] == "nothing was changed (--dry-run)"
    assert cloud.calls == []


def test_dry_run_with_key_reads_and_changes_nothing(cloud: ScfCloud, package: str) -> None:
    done = run(cloud, "--dry-run", "--package", package)
    assert done.returncode == 0
    assert cloud.calls
    assert cloud.writes == []


def test_deploy_needs_only_packages_of_make_run(cloud: ScfCloud, package: str) -> None:
    """Packages that only the development lock has cannot be imported."""
    installed = set(re.findall("^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    absent = [
        module
        for module, names in packages_distributions().items()
        if not installed & {re.sub("[-_.]+", "-", name).lower() for name in names}
    ]
    assert "pytest" in absent
    before = f"[sys.modules.setdefault(module, None) for module in {absent!r}]; "
    done = run(cloud, "--dry-run", "--package", package, before=before)
    assert (done.returncode, done.stderr) == (0, "")
    done = run(cloud, "--package", package, before=before)
    assert (done.returncode, done.stderr) == (0, "")


def test_deploy_works_on_ascii_terminal(cloud: ScfCloud, package: str) -> None:
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = run(cloud, "--dry-run", "--package", package, environ={**ENVIRON, **ascii_only})
    assert (done.returncode, done.stderr) == (0, "")
    assert "WEBHOOK_SECRETS=?" in done.stdout


def test_deploy_reports_missing_variables_before_building(cloud: ScfCloud) -> None:
    done = run(cloud, environ=DEPLOYER)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("deploy: serverless.yml is invalid:\n")
    assert "(set FUNCTION_SECRET_ID in the environment)" in done.stderr
    assert cloud.calls == []


@pytest.mark.parametrize(
    ("environ", "missing"),
    [
        ({}, "TENCENT_SECRET_ID and TENCENT_SECRET_KEY are not set"),
        ({"TENCENT_SECRET_ID": "a", "TENCENT_SECRET_KEY": " "}, "TENCENT_SECRET_KEY is not set"),
    ],
)
def test_deploy_without_key_builds_nothing(cloud: ScfCloud, environ: dict[str, str], missing: str) -> None:
    done = run(cloud, environ={**ENVIRON, **environ})
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"deploy: {missing}; set your own API key")


@pytest.mark.parametrize("name", [*DEPLOYER, "TENCENT_SESSION_TOKEN"])
@pytest.mark.parametrize("value", ["canary key", "canary\u00e9", "canary\tkey", "canary\u3000key"])
def test_malformed_key_is_rejected(name: str, value: str) -> None:
    with pytest.raises(DeployError) as raised:
        read_credentials({**DEPLOYER, name: value}, needed=True)
    expected = f"deploy: {name} must contain only visible ASCII characters, without spaces; check it"
    assert str(raised.value) == expected


def test_incomplete_key_is_rejected_in_dry_run_too(cloud: ScfCloud) -> None:
    done = run(cloud, "--dry-run", environ={**ENVIRON, "TENCENT_SECRET_KEY": "b"})
    assert done.stderr.startswith("deploy: TENCENT_SECRET_ID is not set")


def test_weak_choices_are_warned_of(cloud: ScfCloud, package: str) -> None:
    same = {"FUNCTION_SECRET_ID": SECRET_ID, "FUNCTION_SECRET_KEY": SECRET_KEY, "WEBHOOK_AUTH": " none "}
    done = run(cloud, "--package", package, environ={**DEPLOYER, **same})
    first, second, *_ = done.stdout.splitlines()
    assert first.startswith("WARNING: FUNCTION_SECRET_ID is your deployment key. An attacker who compromises")
    assert second == "WARNING: WEBHOOK_AUTH=none: requests from anyone who knows the URL are accepted"


def test_api_error_ends_deploy_with_explanation(cloud: ScfCloud, package: str) -> None:
    cloud.refuse("CreateFunction", "UnauthorizedOperation.CAM", f"no: {' '.join(FUNCTION_KEY.values())}")
    done = run(cloud, "--package", package)
    assert done.returncode == 1
    assert done.stderr.startswith("CreateFunction: The deployer's key lacks the permission scf:CreateFunction.")


def test_missing_zip_is_reported(cloud: ScfCloud) -> None:
    done = run(cloud, "--package", "/nowhere/function.zip")
    assert done.returncode == 1
    assert "No such file or directory: '/nowhere/function.zip'" in done.stderr


def test_ctrl_c_stops_deploy_which_can_be_repeated(cloud: ScfCloud, package: str) -> None:
    cloud.turns = 1000
    with subprocess.Popen(
        command(cloud, "--package", package),
        cwd=ROOT,
        env=environment({**ENVIRON, **DEPLOYER}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        end = time.monotonic() + 120
        while "CreateFunction" not in cloud.writes:
            assert time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=150)
    assert process.returncode == 130
    assert errors == "\nstopped; run the command again to continue\n"
    assert_no_secret(printed + errors)
    cloud.turns = cloud.function.turns = 0
    assert run(cloud, "--package", package).returncode == 0
    assert cloud.writes == ["CreateFunction", "PutReservedConcurrencyConfig", "CreateTrigger"]


def test_help_explains_keys(cloud: ScfCloud) -> None:
    done = run(cloud, "--help")
    assert done.returncode == 0
    for name in (*DEPLOYER, *FUNCTION_KEY, "WEBHOOK_SECRETS", "--dry-run", "--force", "--package"):
        assert name in done.stdout


def test_make_deploy_creates_environment_first() -> None:
    make_variables = ("MAKE", "PYTHON", "VENV_DIR")  # `make test PYTHON=…` exports its variables to the tests
    environ = {name: value for name, value in os.environ.items() if not name.startswith(make_variables)}
    done = subprocess.run(["make", "-n", "deploy"], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["python3 tools/venv.py", ".venv/bin/signup-bridge deploy"]
