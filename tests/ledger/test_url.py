"""Test which values of `LEDGER_URL` are rejected at startup, and that the error repeats no part of the URL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from redis.connection import SSLConnection, parse_url
from signup_bridge import settings
from signup_bridge.ledger import url as ledger_url
from signup_bridge.ledger.url import RedisUrl
from signup_bridge.settings import SettingsError

from local_services.certificates import Tls
from local_services.redis_server import RedisServer
from tests.support.bridge.instances import application, environment

URL = "https://domain.tencentcloudapi.com"


def refusal(url: str) -> str:
    with pytest.raises(SettingsError) as raised:
        settings.load(environment(URL, LEDGER_URL=url, LEDGER_KEY="k" * 32))
    (problem,) = raised.value.problems
    assert problem.startswith("LEDGER_URL: ")
    return problem.removeprefix("LEDGER_URL: ")


@pytest.mark.parametrize(
    "url",
    [
        "redis://default:Sup3r@S3cretTail#77@127.0.0.1:6379/0",
        "redis://default:Sup3r@S3cretTail@127.0.0.1:6379/0",
        "redis://:S3cretTail#77@127.0.0.1:6379/0",
        "redis://:Sup3r?S3cretTail=77@127.0.0.1:6379/0",
        "redis://:Sup3r/S3cretTail@127.0.0.1:6379/0",
        "redis://:7/S3cretTail@127.0.0.1:6379/0",
        "redis://:Sup3r[S3cretTail@127.0.0.1:6379/0",
        "redis://:Sup3r]S3cretTail@127.0.0.1:6379/0",
        "redis://127.0.0.1:6379/0#S3cretTail",
        "redis://127.0.0.1:6379/0?ssl_ca_certs=/S3cretTail@x.pem",
        "sqlite:////tmp/S3cretTail#1.db",
    ],
)
def test_ambiguous_url_is_rejected_without_showing_it(url: str) -> None:
    problem = refusal(url)
    assert problem.startswith("is ambiguous; percent-encode ")
    assert not any(part in problem for part in ("S3cretTail", "Sup3r", "127.0.0.1"))


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis://h:6379/0?max_connections=20", "the option max_connections is not supported; remove it. Supported"),
        ("redis://h:6379/0?foo=bar", "the option foo is not supported; remove it. Supported options: ssl_ca_certs, "),
        ("redis://h:6379/0?foo", "the option foo is not supported"),
        ("redis://h:6379/0?socket_timeout=fast", "the option socket_timeout is not supported"),
        ("redis://h:6379/0?S3cretTail=1", "an option is not supported"),
        ("redis://h:6379?db=2", "the option db is not supported; write the database as the path, such as "),
        ("redis://h:6379?password=p", "the option password is not supported; write it before the host"),
        ("redis://h:6379?username=u", "the option username is not supported; write it before the host"),
        ("redis://h:6379/0?ssl_ca_certs=/ca.pem", "the option ssl_ca_certs requires TLS; start the URL with rediss://"),
        ("rediss://h:6379/0?ssl_ca_certs=", "the option ssl_ca_certs requires a value"),
        ("rediss://h/0?ssl_cert_reqs=none&ssl_cert_reqs=required", "the option ssl_cert_reqs must not be repeated"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "the option ssl_cert_reqs must be required or none"),
        ("rediss://h/0?ssl_check_hostname=0", "the option ssl_check_hostname must be true or false"),
        ("rediss://h/0?ssl_keyfile=/k.pem", "the option ssl_keyfile requires ssl_certfile; set both"),
        ("redis://h:6379/cache", "the database must be a number, such as redis://host:port/0"),
        ("redis://h:6379/1/2", "the database must be a number"),
        ("redis://h:6379/123456", "the database must be a number"),
        ("redis://user@h:6379/0", "has no password before the @; write redis://:password@host"),
        ("redis://default:@h:6379/0", "has no password before the @"),
        ("redis://[127.0.0.1]:6379/0", "must be sqlite:////absolute/path, "),
        ("redis://:50%off@h:6379/0", "contains a % that is not followed by two hexadecimal digits; write % as %25"),
        ("redis://:%ff@h:6379/0", "must be percent-encoded UTF-8"),
        ("sqlite:///three-slashes", "is a relative path; write four slashes and the absolute path: sqlite:////"),
        ("sqlite:////tmp/x.db?mode=ro", "the option mode is not supported with sqlite://; remove it"),
        ("sqlite:////tmp/", "must be the path of a file"),
        ("sqlite:////tmp/a%00b", "must not contain a null character, %00"),
        ("'redis://h:6379/0'", "must be sqlite:////absolute/path, redis://host:port/0 or rediss://host:port/0; "),
    ],
)  # fmt: skip
def test_rejected_url_names_option_and_remedy(url: str, problem: str) -> None:
    assert refusal(url).startswith(problem)


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6380",
        "redis://my_redis.internal:6379/15",
        "redis://[::1]:6379/0?",
        "rediss://:p%40ss%2Fw%3Fo%23rd%25@h:6379/2",
        "rediss://user:pa:ss\"wo\\rd$&@h/0?ssl_check_hostname=false&ssl_cert_reqs=required",
        "rediss://h/0?ssl_cert_reqs=none",
        "rediss://h/0?ssl_ca_certs=%2Fvar%2Fuser%2Fca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem",
    ],
)  # fmt: skip
def test_accepted_url_means_same_to_redis_library(url: str) -> None:
    """The client library parses the same server, credentials and options from each accepted URL."""
    parsed = ledger_url.parse(url)
    assert isinstance(parsed, RedisUrl)
    theirs: dict[str, Any] = {"port": 6379, "db": 0, **parse_url(url)}
    assert (theirs.pop("connection_class", None) is SSLConnection) == parsed.tls
    assert {name: value for name, value in parsed.options.items() if value is not None} == theirs
    assert "p%40ss" not in repr(parsed)
    assert "p@ss" not in repr(parsed)


@pytest.mark.parametrize("password", ["Sup3r\u2100S3cretTail", "Sup3r\uff20S3cretTail", "Sup3r\uff0f:S3cretTail"])
def test_unusual_password_reaches_server(tmp_path: Path, password: str) -> None:
    """Python's parser rejects characters whose compatibility forms contain ``@`` or ``/``, and shows the password."""
    with RedisServer(tmp_path, "--appendonly", "no", "--requirepass", password, password=password) as server:
        url = f"redis://default:{password}@127.0.0.1:{server.port}/0"
        app = application(settings.load(environment(URL, LEDGER_URL=url, LEDGER_KEY="k" * 32)))
        response = app.test_client().get("/ready")
        assert (response.status_code, b'"engine":"redis"' in response.data.replace(b" ", b"")) == (200, True)


@pytest.mark.parametrize("option", ["ssl_ca_certs", "ssl_certfile"])
@pytest.mark.parametrize("content", [None, "no certificate"])
def test_unusable_tls_file_is_rejected_without_showing_path(tmp_path: Path, option: str, content: str | None) -> None:
    path = tmp_path / "file.pem"
    if content is not None:
        path.write_text(content)
    problem = refusal(f"rediss://h/0?{option}={path}")
    assert option in problem
    assert "must be the path" in problem
    assert str(path) not in problem


def test_tls_key_with_passphrase_is_rejected_without_prompt(tls: Tls, tmp_path: Path) -> None:
    key = serialization.load_pem_private_key(tls.pem.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"phrase")
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    )
    problem = refusal(f"rediss://h/0?ssl_certfile={tls.bundle}&ssl_keyfile={tmp_path / 'key.pem'}")
    assert "without a passphrase" in problem


def test_usable_tls_files_are_accepted(tls: Tls) -> None:
    url = f"rediss://h/0?ssl_ca_certs={tls.bundle}&ssl_certfile={tls.pem}"
    assert settings.load(environment(URL, LEDGER_URL=url, LEDGER_KEY="k" * 32)).verifies_ledger


@pytest.mark.parametrize("option", ["ssl_cert_reqs=none", "ssl_check_hostname=false"])
def test_disabled_certificate_check_is_logged_as_warning(caplog: pytest.LogCaptureFixture, option: str) -> None:
    """Port 9 refuses connections immediately."""
    url = f"rediss://127.0.0.1:9/0?{option}"
    application(settings.load(environment(URL, LEDGER_URL=url, LEDGER_KEY="k" * 32)))
    (message,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert message == (
        "LEDGER_URL: the certificate of the Redis server is not verified; set ssl_ca_certs to its CA, and remove "
        "ssl_cert_reqs=none and ssl_check_hostname=false"
    )


def test_default_file_is_absolute_for_relative_state_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = settings.load(environment(URL, LEDGER_URL="", XDG_STATE_HOME="state"))
    assert loaded.ledger_file == tmp_path / "state" / "signup-bridge" / "ledger.db"


def test_folder_instead_of_file_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="LEDGER_URL: is a folder; add the name of a file in it"):
        settings.load(environment(URL, LEDGER_URL=f"sqlite:///{tmp_path}"))
    assert list(tmp_path.iterdir()) == []
