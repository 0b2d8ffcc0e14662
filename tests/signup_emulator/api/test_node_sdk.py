"""Test the official Node SDK from npm against `signup-bridge emulate`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from signup_emulator.api.account.error_codes import API_CODES
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.instances import wait_for
from tests.support.emulator.command import COMMAND, IMPORTS
from tests.support.tools import node_packages

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(node_packages.INSTALL_LIMIT + 60)]

REQUEST_ID = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[str]:
    """Start an emulator in a separate process, as the documentation describes; yield its URL."""
    port, log = ports.free(), tmp_path / "log"
    command = [*COMMAND, "emulate", "--emulator-port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | IMPORTS, stdout=output, stderr=output)
    try:
        wait_for(f"http://127.0.0.1:{port}/emulator/calls", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def node(packages: Path, script: Path, url: str) -> Any:
    """Return the JSON that a script prints."""
    command = ["node", str(script), url.rpartition(":")[2]]
    environ = node_packages.environ(packages)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_node_sdk_signup_verifies_contact(npm_packages: Path, serving: str) -> None:
    results = node(npm_packages, node_packages.HERE / "signup.js", serving)
    calls = requests.get(f"{serving}/emulator/calls", timeout=60).json()[::-1]
    assert [(call["action"], call["result"]) for call in calls] == [
        ("SendIntlPhoneEmailCode", "OK"),
        ("CreateIntlPhoneEmail", "InternalError.VerifyCodeErr"),
        ("CreateIntlPhoneEmail", "OK"),
        ("CreateIntlPhoneEmail", "InternalError.VerifiedPhoneEmailErr"),
        ("DescribeIntlPhoneEmailList", "OK"),
        ("DeleteIntlPhoneEmail", "OK"),
    ]
    ids = [call["request_id"] for call in calls]
    assert all(re.fullmatch(REQUEST_ID, one) for one in ids)
    (row,) = results["listed"].pop("PhoneEmailList")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", row.pop("CreatedOn"))
    assert row == {"Code": "jo@example.com", "Type": 2}
    wrong, listed = (
        {"code": code, "message": message, "requestId": request_id}
        for code, message, request_id in (
            ("InternalError.VerifyCodeErr", "Incorrect verification code.", ids[1]),
            ("InternalError.VerifiedPhoneEmailErr", "The contact has already been verified.", ids[3]),
        )
    )
    assert results == {
        "sent": {"RequestId": ids[0]},
        "wrong": wrong,
        "verified": {"RequestId": ids[2]},
        "again": listed,
        "listed": {"TotalCount": 1, "RequestId": ids[4]},
        "removed": {"RequestId": ids[5]},
    }


def test_node_sdk_reports_armed_error(npm_packages: Path, serving: str, tmp_path: Path) -> None:
    armed = {"fault": "AuthFailure.TokenFailure", "action": "DeleteIntlPhoneEmail"}
    requests.post(f"{serving}/emulator/faults", json=armed, timeout=60)
    script = tmp_path / "armed.js"
    text = (node_packages.HERE / "signup.js").read_text()
    script.write_text(
        text.replace('"DeleteIntlPhoneEmail", contact)', '"DeleteIntlPhoneEmail", contact).catch(refusal)')
    )
    removed = node(npm_packages, script, serving)["removed"]
    newest = requests.get(f"{serving}/emulator/calls", timeout=60).json()[0]
    assert removed == {
        "code": armed["fault"],
        "message": API_CODES[armed["fault"]],
        "requestId": newest["request_id"],
    }


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("http-502", "Bad Gateway"),
        ("close", "request to {url}/ failed, reason: socket hang up"),
        ("empty-response", "The response has no RequestId: the outcome is unknown."),
    ],
)
def test_node_sdk_error_without_code_leaves_outcome_unknown(
    npm_packages: Path, serving: str, tmp_path: Path, fault: str, message: str
) -> None:
    armed = {"fault": fault, "action": "DeleteIntlPhoneEmail"}
    requests.post(f"{serving}/emulator/faults", json=armed, timeout=5)
    script = tmp_path / "armed.js"
    text = (node_packages.HERE / "signup.js").read_text()
    script.write_text(
        text.replace('"DeleteIntlPhoneEmail", contact)', '"DeleteIntlPhoneEmail", contact).catch(refusal)')
    )
    removed = node(npm_packages, script, serving)["removed"]
    assert (removed.get("code"), removed["message"]) == (None, message.format(url=serving))
    left = [] if fault == "close" else ["jo@example.com"]
    listed = [one["contact"] for one in requests.get(f"{serving}/emulator/verified", timeout=5).json()]
    assert listed == left


def test_node_packages_are_locked_without_registry() -> None:
    lock = json.loads((node_packages.HERE / "package-lock.json").read_text())
    wanted = json.loads((node_packages.HERE / "package.json").read_text())["dependencies"]
    assert lock["packages"].pop("")["dependencies"] == wanted
    assert {name.removeprefix("node_modules/") for name in lock["packages"]} >= set(wanted)
    for package in lock["packages"].values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package
        assert "hasInstallScript" not in package
