from __future__ import annotations

import os
import runpy
import subprocess
import sys

import pytest
from bridge import settings
from bridge.app import create_app
from bridge.settings import SettingsError
from builders import ROOT, SECRET, environment
from conftest import Tls

URL = "https://domain.tencentcloudapi.com"


def problems(**changed: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        settings.load(environment(URL, **changed))
    return raised.value.problems


def test_defaults() -> None:
    loaded = settings.load({"TENCENT_SECRET_ID": "i", "TENCENT_SECRET_KEY": "k", "WEBHOOK_SECRETS": SECRET})
    assert loaded.domain_api_url == URL
    assert (loaded.request_budget, loaded.webhook_tolerance, loaded.concurrency) == (8.0, 300.0, 16)
    assert (loaded.webhook_auth, loaded.log_level, loaded.host, loaded.port) == (
        "standard-webhooks",
        "INFO",
        "0.0.0.0",
        9000,
    )
    assert loaded.tencent_session_token is loaded.domain_api_ca_bundle is None


def test_a_name_that_is_set_to_nothing_is_not_set() -> None:
    assert settings.load(environment("", TENCENT_SESSION_TOKEN=" ", PORT="")).port == 9000


def test_without_secrets_the_start_is_refused() -> None:
    (problem,) = problems(WEBHOOK_SECRETS="")
    assert problem.startswith("WEBHOOK_SECRETS: is not set")
    assert "WEBHOOK_AUTH=none" in problem
    assert settings.load(environment(URL, WEBHOOK_SECRETS="", WEBHOOK_AUTH="none")).webhook_secrets == ()


def test_all_problems_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load({"WEBHOOK_AUTH": "nobody", "PORT": "http", "REQUEST_BUDGET": "soon", "DOMAIN_API_URL": "ftp://x"})
    lines = str(raised.value).splitlines()
    assert lines[0] == "start refused:"
    assert sorted(line.strip().partition(":")[0] for line in lines[1:]) == [
        "DOMAIN_API_URL", "PORT", "REQUEST_BUDGET", "TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "WEBHOOK_AUTH",
        "WEBHOOK_SECRETS",
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["TENCENT_SECRET_ID", "TENCENT_SECRET_KEY"])
def test_one_half_of_the_credentials(name: str) -> None:
    assert problems(**{name: ""}) == [f"{name}: is not set; it comes with the account's API key"]


def test_the_platform_may_give_the_credentials() -> None:
    environ = environment(URL, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="")
    assert settings.load(environ, role_credentials=True).tencent_secret_id is None
    with pytest.raises(SettingsError):
        settings.load({**environ, "TENCENT_SECRET_ID": "half"}, role_credentials=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("DOMAIN_API_URL", url) for url in (
            "domain.tencentcloudapi.com", "http://domain.tencentcloudapi.com", "https://", "https://h/path", "https://h?q",
            "https://user:key@h", "https://h:port", "http://10.0.0.1", "https://[::1", "https://[...]", "https://[:]", "https://[1.2.3.4]",
            "https://h:", "https://h:0443", "https://h:65536", "https://a..b", "https://-a.b", "https://a b",
            "https://\u00fc.example",
        )),
        *(("REQUEST_BUDGET", number) for number in ("0", "-1", "nan", "inf", "1e9", "8s", "1_0", "٣", ".5")),
        *(("CONCURRENCY", number) for number in ("0", "101", "1.5", "-1", "٣", "1_6", "0000000000001")),
        ("PORT", "65536"),
        ("WEBHOOK_TOLERANCE", "0"),
        ("WEBHOOK_AUTH", "None"),
        ("LOG_LEVEL", "verbose"),
        ("DOMAIN_API_CA_BUNDLE", "/no/such/file.pem"),
        ("DOMAIN_API_CA_BUNDLE", "/tmp"),
        ("DOMAIN_API_CA_BUNDLE", "a\0b"),
        ("DOMAIN_API_CA_BUNDLE", __file__),
        ("TENCENT_SECRET_KEY", "two words"),
        ("TENCENT_SECRET_ID", "schlüssel"),
        ("WEBHOOK_SECRETS", "schlüssel"),
    ],
)  # fmt: skip
def test_values_that_are_refused(name: str, value: str) -> None:
    (problem,) = problems(**{name: value})
    assert problem.startswith(f"{name}: must ")


@pytest.mark.parametrize(
    "url",
    [
        "https://domain.intl.tencentcloudapi.com",
        "https://h:8443/",
        "http://localhost:1",
        "HTTPS://API.example",
        "http://LOCALHOST:1",
        "http://127.9.9.9:1",
        "http://[::1]:1",
    ],
)
def test_urls_that_are_taken(url: str) -> None:
    assert settings.load(environment(url)).domain_api_url == url.rstrip("/").lower()


@pytest.mark.parametrize(
    "secret", ["plain", "whsec_", "whsec_%%%", "v2,whsec_AAAA", "whsec_AAA", "whsec_AAAA!AAAA", "WHSEC_AAAA", "v1,AAAA"]
)
def test_a_secret_in_another_form_is_refused_by_its_position(secret: str) -> None:
    (problem,) = problems(WEBHOOK_SECRETS=f"{SECRET} {secret}")
    assert problem.startswith("WEBHOOK_SECRETS: number 2 must be written whsec_<base64>")
    assert secret not in problem.replace("whsec_<base64>", "")


@pytest.mark.parametrize(
    ("auth", "secrets", "weak"),
    [
        ("standard-webhooks", f"{SECRET} whsec_AA==", [2]),
        ("standard-webhooks", SECRET, []),
        ("bearer", "x sixteen-bytes-or-more", [1]),
        ("none", "", []),
    ],
)
def test_secrets_that_can_be_guessed_are_told_at_the_start(
    caplog: pytest.LogCaptureFixture, auth: str, secrets: str, weak: list[int]
) -> None:
    loaded = settings.load(environment(URL, WEBHOOK_AUTH=auth, WEBHOOK_SECRETS=secrets))
    assert loaded.weak_secrets == weak
    create_app(loaded)
    assert [record.getMessage() for record in caplog.records] == (
        [f"WEBHOOK_SECRETS: number {weak[0]} can be guessed; use 24 random bytes"] if weak
        else ["WEBHOOK_AUTH=none: any caller is trusted"] if auth == "none"
        else []
    )  # fmt: skip


def test_secrets_are_never_shown() -> None:
    hidden = {"TENCENT_SECRET_ID": "id-7Q", "TENCENT_SECRET_KEY": "key-7Q", "TENCENT_SESSION_TOKEN": "token-7Q"}
    loaded = settings.load(environment(URL, **hidden))
    shown = repr(loaded) + str(problems(**hidden, PORT="x"))
    assert not any(value in shown for value in (*hidden.values(), SECRET))


def test_a_ca_bundle(tls: Tls) -> None:
    assert settings.load(environment(URL, DOMAIN_API_CA_BUNDLE=str(tls.bundle))).domain_api_ca_bundle == str(tls.bundle)


def test_an_application_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(URL).items():
        monkeypatch.setenv(name, value)
    assert create_app().test_client().get("/health").status_code == 200


def test_what_stands_in_gunicorns_file(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(URL, HOST="::1", PORT="9001", CONCURRENCY="7", REQUEST_BUDGET="2.5").items():
        monkeypatch.setenv(name, value)
    conf = runpy.run_path(str(ROOT / "function" / "gunicorn.conf.py"))
    expected = {
        "wsgi_app": "bridge.app:create_app()",
        "bind": "[::1]:9001",
        "workers": 1,
        "threads": 7 + 64 + 4,
        "graceful_timeout": 4,
        "timeout": 34,
        "accesslog": None,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "pythonpath": str(ROOT / "function"),
    }
    assert {name: conf[name] for name in expected} == expected


def test_gunicorn_refuses_to_start_in_one_message() -> None:
    command = [sys.executable, "-m", "gunicorn", "-c", "function/gunicorn.conf.py"]
    environ = {name: value for name, value in os.environ.items() if name.startswith("COV")} | {"PORT": "http"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("start refused:\n  PORT: must be a whole number from 1 to 65535\n")
    assert "Traceback" not in done.stderr
