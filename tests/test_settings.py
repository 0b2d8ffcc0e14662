"""Test that settings are read from the environment, and that all problems are reported at once."""

from __future__ import annotations

import runpy

import pytest
from signup_bridge import settings
from signup_bridge.settings import SettingsError

from local_services.certificates import Tls
from tests.support import ROOT
from tests.support.bridge.instances import application, environment
from tests.support.bridge.signed_requests import SECRET

URL = "https://domain.tencentcloudapi.com"


def problems(**changed: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        settings.load(environment(URL, **changed))
    return raised.value.problems


def test_load_returns_defaults() -> None:
    loaded = settings.load({"TENCENT_SECRET_ID": "i", "TENCENT_SECRET_KEY": "k", "WEBHOOK_SECRETS": SECRET})
    assert loaded.domain_api_url == URL
    assert (loaded.request_budget, loaded.webhook_tolerance, loaded.concurrency) == (8.0, 300.0, 16)
    assert (loaded.webhook_auth, loaded.log_level, loaded.log_format) == ("standard-webhooks", "INFO", "auto")
    assert (loaded.host, loaded.port) == ("0.0.0.0", 9000)
    assert loaded.tencent_session_token is loaded.domain_api_ca_bundle is None


def test_load_log_format_is_json_on_scf_and_for_events() -> None:
    text = environment(URL, LOG_FORMAT="text")
    assert settings.load(text).log_format == "text"
    assert settings.load(text | {"TENCENTCLOUD_RUNENV": "SCF"}).log_format == "json"
    assert settings.load(text, event_function=True).log_format == "json"


def test_load_blank_value_counts_as_unset() -> None:
    assert settings.load(environment("", TENCENT_SESSION_TOKEN=" ", PORT="")).port == 9000


def test_load_without_webhook_secrets_is_rejected() -> None:
    (problem,) = problems(WEBHOOK_SECRETS="")
    assert problem.startswith("WEBHOOK_SECRETS: is not set")
    assert "WEBHOOK_AUTH=none" in problem
    assert settings.load(environment(URL, WEBHOOK_SECRETS="", WEBHOOK_AUTH="none")).webhook_secrets == ()


def test_load_reports_all_problems_at_once() -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load({"WEBHOOK_AUTH": "nobody", "PORT": "http", "REQUEST_BUDGET": "soon", "DOMAIN_API_URL": "ftp://x"})
    lines = str(raised.value).splitlines()
    assert lines[0] == "startup failed:"
    assert sorted(line.strip().partition(":")[0] for line in lines[1:]) == [
        "DOMAIN_API_URL", "PORT", "REQUEST_BUDGET", "TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "WEBHOOK_AUTH",
        "WEBHOOK_SECRETS",
    ]  # fmt: skip


@pytest.mark.parametrize(("profile", "budget"), [("", 8), ("status", 8), ("ack", 8), ("supabase", 4)])
def test_load_budget_follows_profile(profile: str, budget: float) -> None:
    loaded = settings.load(environment(URL, SENDER_PROFILE=profile))
    assert (loaded.profile.name, loaded.request_budget) == (profile or "status", budget)
    assert settings.load(environment(URL, SENDER_PROFILE=profile, REQUEST_BUDGET="3")).request_budget == 3


def test_load_budget_above_limit_of_supabase_is_rejected() -> None:
    (problem,) = problems(SENDER_PROFILE="supabase", REQUEST_BUDGET="8")
    assert problem.startswith("REQUEST_BUDGET: must be at most 4 with SENDER_PROFILE=supabase")
    assert problems(SENDER_PROFILE="Supabase", REQUEST_BUDGET="8") == [
        "SENDER_PROFILE: must be one of status, ack, supabase"
    ]


@pytest.mark.parametrize("name", ["TENCENT_SECRET_ID", "TENCENT_SECRET_KEY"])
def test_load_incomplete_credentials_are_rejected(name: str) -> None:
    assert problems(**{name: ""}) == [f"{name}: is not set; copy it from the account's API key"]


def test_load_on_scf_accepts_missing_credentials() -> None:
    environ = environment(URL, TENCENT_SECRET_ID="", TENCENT_SECRET_KEY="", TENCENTCLOUD_RUNENV="SCF")
    assert settings.load(environ).tencent_secret_id is None
    with pytest.raises(SettingsError):
        settings.load({**environ, "TENCENT_SECRET_ID": "half"})


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
        ("LOG_FORMAT", "logfmt"),
        ("DOMAIN_API_CA_BUNDLE", "/no/such/file.pem"),
        ("DOMAIN_API_CA_BUNDLE", "/tmp"),
        ("DOMAIN_API_CA_BUNDLE", "a\0b"),
        ("DOMAIN_API_CA_BUNDLE", __file__),
        ("TENCENT_SECRET_KEY", "two words"),
        ("TENCENT_SECRET_ID", "schlüssel"),
        ("WEBHOOK_SECRETS", "schlüssel"),
        ("SEND_INTERVAL", "3601"),
        ("SEND_PER_CONTACT", "-1"),
        *(("SEND_ALLOWED_PREFIXES", prefixes) for prefixes in ("+", "86,1", "+86 x", "٣", "++1", "00", "+0086")),
    ],
)  # fmt: skip
def test_load_invalid_value_is_rejected(name: str, value: str) -> None:
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
def test_load_valid_api_url_is_accepted(url: str) -> None:
    assert settings.load(environment(url)).domain_api_url == url.rstrip("/").lower()


@pytest.mark.parametrize(
    "secret", ["plain", "whsec_", "whsec_%%%", "v2,whsec_AAAA", "whsec_AAA", "whsec_AAAA!AAAA", "WHSEC_AAAA", "v1,AAAA"]
)
def test_load_malformed_secret_is_rejected_by_position(secret: str) -> None:
    (problem,) = problems(WEBHOOK_SECRETS=f"{SECRET} {secret}")
    assert problem.startswith("WEBHOOK_SECRETS: secret 2 must have the form whsec_<base64>")
    assert secret not in problem.replace("whsec_<base64>", "")


@pytest.mark.parametrize(
    ("auth", "secrets", "weak"),
    [
        ("standard-webhooks", "whsec_AA==", [1]),
        ("standard-webhooks", SECRET, []),
        ("bearer", "x", [1]),
        ("github", "sixteen-bytes-or-more another-one-of-16", []),
        ("none", "", []),
    ],
)
def test_weak_secret_is_logged_at_start(
    caplog: pytest.LogCaptureFixture, auth: str, secrets: str, weak: list[int]
) -> None:
    loaded = settings.load(environment(URL, WEBHOOK_AUTH=auth, WEBHOOK_SECRETS=secrets))
    assert loaded.weak_secrets == weak
    application(loaded)
    assert [record.getMessage() for record in caplog.records] == (
        [f"WEBHOOK_SECRETS: secret {weak[0]} can be guessed; use 24 random bytes"] if weak
        else ["WEBHOOK_AUTH=none: requests are not authenticated"] if auth == "none"
        else []
    )  # fmt: skip


@pytest.mark.parametrize(
    ("preset", "profile", "expected"),
    [
        ("supabase", "ack", ["SENDER_PROFILE=ack: Supabase treats rejections as success; set SENDER_PROFILE=supabase"]),
        ("supabase", "supabase", []),
        ("auth0", "ack", []),
    ],
)
def test_profile_that_supabase_misreads_is_logged_at_start(
    caplog: pytest.LogCaptureFixture, preset: str, profile: str, expected: list[str]
) -> None:
    application(settings.load(environment(URL, PAYLOAD_PRESET=preset, SENDER_PROFILE=profile)))
    assert [record.getMessage() for record in caplog.records] == expected


def test_settings_repr_and_problems_hide_secrets() -> None:
    hidden = {"TENCENT_SECRET_ID": "id-7Q", "TENCENT_SECRET_KEY": "key-7Q", "TENCENT_SESSION_TOKEN": "token-7Q"}
    loaded = settings.load(environment(URL, **hidden))
    shown = repr(loaded) + str(problems(**hidden, PORT="x"))
    assert not any(value in shown for value in (*hidden.values(), SECRET))


def test_load_ca_bundle_is_accepted(tls: Tls) -> None:
    assert settings.load(environment(URL, DOMAIN_API_CA_BUNDLE=str(tls.bundle))).domain_api_ca_bundle == str(tls.bundle)


def test_create_app_reads_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(URL).items():
        monkeypatch.setenv(name, value)
    assert application().test_client().get("/health").status_code == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "bridge-1.internal"])
def test_load_host_is_accepted(host: str) -> None:
    assert settings.load(environment(URL, HOST=host)).host == host


def test_gunicorn_config_follows_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment(URL, HOST="::1", PORT="9001", CONCURRENCY="7", REQUEST_BUDGET="2.5").items():
        monkeypatch.setenv(name, value)
    conf = runpy.run_path(str(ROOT / "function" / "gunicorn.conf.py"))
    expected = {
        "wsgi_app": "signup_bridge.app:create_app()",
        "bind": "[::1]:9001",
        "workers": 1,
        "threads": 7 + 64 + 4,
        "graceful_timeout": 4,
        "timeout": 0,
        "accesslog": None,
        "control_socket_disable": True,
        "forwarded_allow_ips": "",
        "pythonpath": str(ROOT / "function"),
    }
    assert {name: conf[name] for name in expected} == expected


def test_files_on_another_machine_are_not_checked() -> None:
    elsewhere = environment("http://127.0.0.1:9", DOMAIN_API_CA_BUNDLE="/no/such/ca.pem")
    assert settings.load(elsewhere, check_files=False).domain_api_ca_bundle == "/no/such/ca.pem"
    with pytest.raises(SettingsError, match="DOMAIN_API_CA_BUNDLE"):
        settings.load(elsewhere)
