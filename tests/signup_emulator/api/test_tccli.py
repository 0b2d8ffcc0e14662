"""Run the `tccli` commands of docs/reference/emulator.md, and check tccli's own log."""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from signup_emulator.server import Emulator
from tests.support import ROOT

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(660)]

VERSION = "3.1.193.1"
GUIDE = (ROOT / "docs" / "reference" / "emulator.md").read_text()


@pytest.fixture(scope="session")
def tccli() -> Path:
    """Install the command with the whole SDK into `build/tccli`, once; return its folder."""
    folder = ROOT / "build" / "tccli"
    folder.mkdir(parents=True, exist_ok=True)
    python, done = folder / "bin" / "python", folder / f"done-{VERSION}"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            uv = [sys.executable, "-m", "uv", "--quiet"]
            subprocess.run([*uv, "venv", "--allow-existing", "--python", sys.executable, str(folder)], check=True)
            install = [*uv, "pip", "install", "--python", str(python), f"tccli-intl-en=={VERSION}"]
            subprocess.run(install, check=True, timeout=600)
            done.touch()
    return python.parent


def test_documented_tccli_commands_work(tccli: Path, emulator: Emulator, tmp_path: Path) -> None:
    (commands,) = re.findall(r"^```sh\n(export TENCENTCLOUD_SECRET_ID.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert commands.count("127.0.0.1:9010") == 4
    commands = commands.replace("127.0.0.1:9010", emulator.url.removeprefix("http://"))
    environ = {"HOME": str(tmp_path), "PATH": f"{tccli}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    replies = [json.loads(text) for text in re.findall(r"^\{.*?^\}", done.stdout, re.MULTILINE | re.DOTALL)]
    assert [row["Code"] for row in replies[2]["PhoneEmailList"]] == ["jo@example.com"]
    assert [reply["RequestId"] for reply in replies] == [call.request_id for call in emulator.calls]
    assert [call.result for call in emulator.calls] == ["OK"] * 3
    file = tmp_path / "signup.json"
    assert file.stat().st_mode & 0o777 == 0o600

    log = (tmp_path / ".tccli" / "log" / "tccli.log").read_text()
    sending, verifying, *_ = re.findall(r"tccli domain .*", log)
    assert "--Code jo@example.com" in sending
    assert verifying.endswith("--cli-input-json file://signup.json")
    assert json.loads(file.read_text())["VerifyCode"] not in verifying


def test_tccli_reply_without_request_id_fails(tccli: Path, emulator: Emulator, tmp_path: Path) -> None:
    commands = """
    curl -s -d '{"fault": "empty-response"}' "$URL/emulator/faults" > faults
    tccli domain DescribeIntlPhoneEmailList --endpoint "$URL" --Type 2
    """
    environ = {"HOME": str(tmp_path), "PATH": f"{tccli}{os.pathsep}{os.environ['PATH']}", "NO_PROXY": "127.0.0.1"}
    environ |= {"URL": emulator.url, "TENCENTCLOUD_SECRET_ID": "x", "TENCENTCLOUD_SECRET_KEY": "x"}
    emulator.keys["x"] = "x"
    done = subprocess.run(
        ["bash", "-euc", commands], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["RequestId"] is None
