"""Test that a secret repeated by the API is never printed, in any encoding."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from signup_deploy.api.errors import DeployError
from signup_deploy.api.masking import Mask, collect_secrets
from tests.support.bridge.signed_requests import SECRET
from tests.support.deployer.deployments import ENVIRON, REDIS, YAML, deploy, load
from tests.support.deployer.scf_api import SECRET_KEY, ScfCloud

QUOTED = {**REDIS, "LEDGER_URL": "rediss://:canary%40pw%2Bd@redis.example:6379/0"}
ODD = {**REDIS, "LEDGER_URL": 'rediss://:canary"pw\\x&y@redis.example:6379/0'}
BEARER = {"WEBHOOK_AUTH": "bearer", "WEBHOOK_SECRETS": "abcdefghijklmnop12 canary-of-another-word"}
SHORT = {"WEBHOOK_AUTH": "bearer", "WEBHOOK_SECRETS": "abc12"}


@pytest.mark.parametrize(
    ("environ", "shown"),
    [
        (ODD, ODD["LEDGER_URL"]),
        (ODD, json.dumps(ODD["LEDGER_URL"])),
        (ODD, json.dumps({"Value": json.dumps(ODD["LEDGER_URL"])[1:-1]})),
        (ODD, repr(ODD["LEDGER_URL"])),
        (QUOTED, "rediss://:canary%40pw%2Bd@elsewhere"),
        (QUOTED, "the password canary@pw+d"),
        (BEARER, "the secret canary-of-another-word"),
        ({"LEDGER_KEY": "canaryé" * 6}, json.dumps("canaryé" * 6)),
        ({"LEDGER_KEY": "canaryé" * 6}, json.dumps("canaryé" * 6, ensure_ascii=False)),
        ({"LEDGER_KEY": "canary'\t" * 6}, repr("canary'\t" * 6)),
        ({"LEDGER_KEY": "canaryé'" * 5}, ascii("canaryé'" * 5)),
        (REDIS, f"cut short: {REDIS['LEDGER_KEY'][:20]}..."),
        (REDIS, f"cut short: {REDIS['LEDGER_KEY'][:8]}…, and {REDIS['LEDGER_KEY'][:9]}..."),
        (REDIS, f"cut short: {REDIS['LEDGER_URL'][:24]}..."),
        ({}, f"the deployer's: {SECRET_KEY[:12]}..."),
        ({}, f"without its beginning: {SECRET.removeprefix('whsec_')}"),
    ],
)
def test_no_encoding_of_secret_is_shown(cloud: ScfCloud, tmp_path: Path, environ: dict[str, str], shown: str) -> None:
    cloud.refuse("CreateFunction", "InvalidParameterValue.Environment", f"The value {shown} is faulty.")
    with pytest.raises(DeployError) as raised:
        deploy(cloud, load(tmp_path, YAML, ENVIRON, **environ))  # also checks the output for secrets
    text = str(raised.value)
    assert "The value " in text
    assert " is faulty." in text
    assert "…" in text


def test_short_secret_is_masked(cloud: ScfCloud, tmp_path: Path) -> None:
    cloud.refuse("CreateFunction", "InvalidParameterValue.Environment", "The value abc12 is faulty.")
    with pytest.raises(DeployError, match=r"The value … is faulty\."):
        deploy(cloud, load(tmp_path, YAML, ENVIRON, **SHORT))


def test_password_with_unescaped_separators_is_masked_completely() -> None:
    mask = Mask(collect_secrets({"OTHER": "redis://default:Sup3r@S3cretTail#77@127.0.0.1:6379/0"}))
    assert mask.apply("The value Sup3r@S3cretTail#77 is faulty.") == "The value … is faulty."


def test_values_that_are_not_secret_are_kept() -> None:
    secrets = collect_secrets({"CONCURRENCY": "16", "LEDGER_KEY": "0123456789...", "LEDGER_URL": "http://[no url"})
    assert "16" not in secrets
    mask = Mask(secrets)
    assert mask.apply("16, 01234567 and 0123456") == "16, 01234567 and 0123456"
    assert mask.apply("0123456789...!") == "…!"
    assert mask.apply("0123456789..") == "0123456789.."
    assert mask.apply("01234567...") == "…..."
