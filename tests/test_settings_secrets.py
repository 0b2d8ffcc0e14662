"""Test secrets and keys that people write with comments, quotes or stray words into an environment."""

from __future__ import annotations

import pytest
from signup_bridge import settings
from signup_bridge.settings import SettingsError

from tests.support.bridge.instances import application, environment
from tests.support.bridge.signed_requests import SECRET

URL = "https://domain.tencentcloudapi.com"
TOKEN = "a-token-of-24-characters"
SHORT = "is shorter than 16 bytes; each word is accepted as a secret: remove it, or replace it with 24 random bytes"
FORM = "must have the form whsec_<base64> or v1,whsec_<base64>; separate several secrets with spaces"
COMMENT = "starts with #; comments are not supported, remove it and the text after it"


def problems(**changed: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        settings.load(environment(URL, **changed))
    return raised.value.problems


def warnings(caplog: pytest.LogCaptureFixture, **changed: str) -> list[str]:
    application(settings.load(environment(URL, **changed)))
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


@pytest.mark.parametrize("auth", ["bearer", "github"])
@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        (f"{TOKEN} # staging token", [f"secret 2 {COMMENT}"]),
        (f"{TOKEN} #the-token-of-the-staging-server", [f"secret 2 {COMMENT}"]),
        ("#the-token-of-the-staging-server", [f"secret 1 {COMMENT}"]),
        (f"{TOKEN} staging token", [f"secret 2 {SHORT}", f"secret 3 {SHORT}"]),
        (f"x {TOKEN}", [f"secret 1 {SHORT}"]),
        (f"x {TOKEN} # y", [f"secret 1 {SHORT}", f"secret 3 {COMMENT}"]),
    ],
)
def test_invalid_token_or_github_secret_is_rejected_by_position(auth: str, secrets: str, expected: list[str]) -> None:
    assert problems(WEBHOOK_AUTH=auth, WEBHOOK_SECRETS=secrets) == [f"WEBHOOK_SECRETS: {one}" for one in expected]


@pytest.mark.parametrize(
    ("secrets", "expected"),
    [
        (f"{SECRET} # staging", COMMENT),
        (f"{SECRET} whsec_AA==", SHORT),
        (f"{SECRET} staging", FORM),
        (f"{SECRET} '{SECRET}'", f"{FORM}; remove the quotes around it"),
    ],
)
def test_invalid_standard_webhooks_secret_is_rejected_by_position(secrets: str, expected: str) -> None:
    assert problems(WEBHOOK_SECRETS=secrets) == [f"WEBHOOK_SECRETS: secret 2 {expected}"]


def test_unused_secrets_are_not_checked() -> None:
    assert settings.load(environment(URL, WEBHOOK_AUTH="none", WEBHOOK_SECRETS="x # y")).webhook_auth == "none"
    (problem,) = problems(WEBHOOK_AUTH="nobody", WEBHOOK_SECRETS="x # y")
    assert problem.startswith("WEBHOOK_AUTH: ")


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize(
    "name", ["WEBHOOK_SECRETS", "TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN", "LEDGER_KEY"]
)
def test_quoted_secret_is_logged_as_warning(caplog: pytest.LogCaptureFixture, name: str, quote: str) -> None:
    base = {"WEBHOOK_AUTH": "bearer", "WEBHOOK_SECRETS": TOKEN}
    expected = f"{name}: the quotes around the value are part of it; remove them"
    assert warnings(caplog, **base | {name: f"{quote}{'k' * 32}{quote}"}) == [expected]


@pytest.mark.parametrize("secrets", [f'"{TOKEN} {TOKEN}-2"', f'{TOKEN} "{TOKEN}"'])
def test_quotes_around_several_secrets_are_logged_as_warning(caplog: pytest.LogCaptureFixture, secrets: str) -> None:
    assert warnings(caplog, WEBHOOK_AUTH="bearer", WEBHOOK_SECRETS=secrets) == [
        "WEBHOOK_SECRETS: the quotes around the value are part of it; remove them"
    ]


def test_comment_in_ledger_key_is_logged_as_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert warnings(caplog, LEDGER_KEY="short # the key of the production ledger") == [
        "LEDGER_KEY: the # and the text after it are part of the key; remove them if they are a comment"
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SEND_ALLOWED_PREFIXES", "+86 +1 # China, USA"),
        ("SEND_ALLOWED_PREFIXES", '"+86 +1"'),
        ("PORT", "'9000'"),
        ("HOST", "0.0.0.0 # all"),
        ("HOST", '"0.0.0.0"'),
        ("HOST", "[::1]"),
        ("DOMAIN_API_URL", '"https://domain.tencentcloudapi.com"'),
    ],
)
def test_other_settings_with_comment_or_quotes_are_rejected(name: str, value: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name}: must ")
    assert problem.endswith("; remove the quotes around it") == (value[0] in "'\"")
