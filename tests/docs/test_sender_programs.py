"""Run each program of docs/guides/senders.md against a bridge."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from signup_bridge import settings
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from signup_emulator.server import Emulator
from tests.docs.senders import GUIDE, PROGRAM, PROGRAMS, SECTIONS, TWO_WEBHOOKS, settings_of
from tests.support.bridge.instances import application, environment
from tests.support.bridge.serving import serving
from tests.support.bridge.signed_requests import SECRET
from tests.support.tools import node_packages


@pytest.mark.timeout(node_packages.INSTALL_LIMIT + 60)
@pytest.mark.parametrize(
    ("heading", "name", "program"),
    [
        pytest.param(*one, id=", ".join(one[:2]), marks=[pytest.mark.toolchain] if one[1].endswith(".js") else [])
        for one in PROGRAMS
    ],
)
def test_program_sends_verified_delivery(
    emulator: Emulator, request: pytest.FixtureRequest, tmp_path: Path, heading: str, name: str, program: str
) -> None:
    sender_settings = settings_of(heading)
    environ = dict(os.environ)
    if name.endswith(".js"):
        environ = node_packages.environ(request.getfixturevalue("npm_packages"))
    script = tmp_path / name
    script.write_text(program)
    with serving(application(settings.load(environment(emulator.url, **sender_settings)))) as server:
        url = f"http://127.0.0.1:{server.port}/webhooks/signup"
        environ |= {"BRIDGE_URL": url, "SIGNING_SECRET": sender_settings["WEBHOOK_SECRETS"], "NO_PROXY": "127.0.0.1"}
        command = ["node" if name.endswith(".js") else sys.executable, str(script)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    check_printed(done.stdout)
    assert [call.result for call in emulator.calls] == ["OK"]


def test_two_webhooks_program_sends_and_verifies_code(emulator: Emulator, tmp_path: Path) -> None:
    ((name, program),) = PROGRAM.findall(SECTIONS[TWO_WEBHOOKS])
    (tmp_path / name).write_text(program)
    with serving(application(settings.load(environment(emulator.url, SEND_CODES="true")))) as server:
        environ = os.environ | {"BRIDGE": f"http://127.0.0.1:{server.port}", "SIGNING_SECRET": SECRET}
        process = subprocess.Popen(
            [sys.executable, "-u", str(tmp_path / name)], env=environ | {"NO_PROXY": "127.0.0.1"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with process:
            assert process.stdout
            assert process.stdout.readline().startswith("202 {")
            assert json.loads(process.stdout.readline())["code"] == "sent"
            rest, _ = process.communicate(emulator.domain.sent_codes()[0].code + "\n", timeout=60)
    check_printed(rest.strip().removeprefix("The code: "))


def check_printed(printed: str) -> None:
    """Check the printed responses: for each, a line with status and headers, then the body."""
    response = re.compile(r"^200 \{([^}]*)\}\n(\{.*\})$", re.MULTILINE)  # Node prints headers on several lines
    assert response.search(printed)
    assert response.sub("", printed).strip() == ""
    for headers, text in response.findall(printed):
        assert "x-request-id" in headers.lower()
        document = json.loads(text)
        assert (document["code"], bool(document["api_request_id"])) == ("verified", True)


@pytest.mark.parametrize(("package", "webhook"), [("standardwebhooks", Webhook), ("svix", SvixWebhook)])
def test_library_signs_body_of_bytes_wrongly(package: str, webhook: Any) -> None:
    """The guide states this for these versions. Its programs therefore sign a string."""
    assert re.search(rf"`{package}` {re.escape(version(package))}\b", GUIDE)
    now, signer = datetime.now(timezone.utc), webhook(SECRET)
    assert signer.sign("msg_1", now, b"{}") != signer.sign("msg_1", now, "{}")
    assert signer.sign("msg_1", now, b"{}") == signer.sign("msg_1", now, "b'{}'")
