"""Test the settings of the ledger: its URL, its key and its folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from signup_bridge import settings
from signup_bridge.app import build_ledger
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.settings import SettingsError

from tests.support import ROOT
from tests.support.bridge.instances import environment

URL = "https://domain.tencentcloudapi.com"


def test_load_returns_ledger_defaults() -> None:
    loaded = settings.load(environment(URL, DOMAIN_API_RATE=""))
    assert (loaded.domain_api_rate, loaded.ledger_ttl, loaded.resolve_unknown) == (20.0, 345_600.0, "describe")
    assert (loaded.max_wrong_codes, loaded.wrong_code_window, loaded.after_verified) == (5, 600.0, "keep")
    assert loaded.ledger_key is None


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////var/lib/bridge.db", "/var/lib/bridge.db"),
        ("sqlite:////with%20space/b.db", "/with space/b.db"),
        ("redis://h:6379/0", None),
        ("rediss://user:canary-s3@h.example/1", None),
    ],
)
def test_load_ledger_url_is_parsed(url: str, file: str | None) -> None:
    loaded = settings.load(environment(URL, LEDGER_URL=url, LEDGER_KEY="k" * 32))
    assert loaded.ledger_file == (Path(file) if file else None)
    assert not loaded.ledger_is_default
    assert "canary-s3" not in repr(loaded)


@pytest.mark.parametrize(
    "wrong",
    ["sqlite://", "sqlite:///", "sqlite://host/x.db", "/tmp/x.db", "redis://", "redis://h:x/0", "redis://h:0/0",
     "redis://h:99999", "mysql://h/0", "memory:", "Redis://h/0", "REDISS://h/0", "Sqlite:////tmp/x.db",
     "re\ndis://h/0"],
)  # fmt: skip
def test_load_invalid_ledger_url_is_rejected(wrong: str) -> None:
    with pytest.raises(SettingsError) as raised:
        settings.load(environment(URL, LEDGER_URL=wrong, LEDGER_KEY="k" * 32))
    assert raised.value.problems == [
        "LEDGER_URL: must be sqlite:////absolute/path, redis://host:port/0 or rediss://host:port/0"
    ]


def test_load_ledger_url_with_uppercase_scheme_is_rejected() -> None:
    with pytest.raises(SettingsError, match="LEDGER_URL: must be sqlite:////absolute/path, redis://host:port/0"):
        settings.load(environment(URL, LEDGER_URL="Redis://h/0"))


def test_load_redis_requires_ledger_key() -> None:
    for key_settings, says in (({}, "is not set"), ({"LEDGER_KEY": "k" * 31}, "must have at least 32 bytes")):
        with pytest.raises(SettingsError) as raised:
            settings.load(environment(URL, LEDGER_URL=" rediss://h/0", **key_settings))
        (problem,) = raised.value.problems
        assert problem.startswith(f"LEDGER_KEY: {says}")
        assert "kkk" not in problem
    settings.load(environment(URL, LEDGER_URL="redis://h/0", LEDGER_KEY="ä" * 16))


@pytest.mark.parametrize(
    ("environ", "file"),
    [
        ({"HOME": "/home/jo"}, "/home/jo/.local/state/signup-bridge/ledger.db"),
        ({"HOME": "/home/jo", "XDG_STATE_HOME": "/state of jo"}, "/state of jo/signup-bridge/ledger.db"),
        ({"HOME": "/root", "TENCENTCLOUD_RUNENV": "SCF"}, "/tmp/signup-bridge.db"),
        ({"HOME": "/root", "SCF_FUNCTIONNAME": "f"}, "/tmp/signup-bridge.db"),
        ({}, str(Path("~/.local/state/signup-bridge/ledger.db").expanduser())),
    ],
)
def test_load_default_ledger_file_follows_environment(environ: dict[str, str], file: str) -> None:
    loaded = settings.load({**environment(URL, LEDGER_URL=""), **environ})
    assert (loaded.ledger_file, loaded.ledger_is_default) == (Path(file), True)


def test_build_ledger_creates_private_state_folder(tmp_path: Path) -> None:
    loaded = settings.load(environment(URL, LEDGER_URL="", XDG_STATE_HOME=str(tmp_path / "state")))
    ledger = build_ledger(loaded, SystemClock())
    ledger.ping(deadline=Deadline(SystemClock(), 5))
    assert (tmp_path / "state" / "signup-bridge").stat().st_mode & 0o777 == 0o700
    ledger.close()


def test_ledger_clients_are_imported_only_if_needed() -> None:
    """Imports take time in a cold start."""
    program = "import sys; from signup_bridge import app; print('redis' in sys.modules, 'sqlite3' in sys.modules)"
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "function")}
    done = subprocess.run([sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
