"""docs/senders.md: its programs are run against a bridge as they stand, its settings are settings, its bodies real."""

from __future__ import annotations

import importlib.util
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
from signup_bridge.inbound.payload_mapping import PRESETS
from standardwebhooks import Webhook
from svix.webhooks import Webhook as SvixWebhook

from signup_emulator.server import Emulator
from tests.support import node_packages
from tests.support.builders import ROOT, SECRET, application, documented, environment
from tests.support.sender_policies import POLICIES, TOKEN
from tests.support.serving import serving

GUIDE = (ROOT / "docs" / "senders.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", GUIDE, re.MULTILINE))
BOTH = "The code, by a webhook, too"
PROGRAM = re.compile(r"saved as\s`([\w.-]+)`:\n\n```(python|js)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    (heading, name, program)
    for heading, text in SECTIONS.items()
    if heading != BOTH
    for name, _, program in PROGRAM.findall(text)
]
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\| \[.*", GUIDE, re.MULTILINE)]


def anchor(heading: str) -> str:
    return re.sub("[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def settings_of(heading: str) -> dict[str, str]:
    """What the table at the top says of a section's sender."""
    row = next(row for row in ROWS if f"(#{anchor(heading)})" in row[0])
    names = ("WEBHOOK_AUTH", "SENDER_PROFILE", "PAYLOAD_PRESET")
    named = {name: value.strip("`") for name, value in zip(names, row[1:4], strict=True) if value}
    return named | {"WEBHOOK_SECRETS": SECRET if named["WEBHOOK_AUTH"] == "standard-webhooks" else TOKEN}


@pytest.mark.timeout(node_packages.INSTALL_LIMIT + 60)
@pytest.mark.parametrize(
    ("heading", "name", "program"),
    [
        pytest.param(*one, id=", ".join(one[:2]), marks=[pytest.mark.toolchain] if one[1].endswith(".js") else [])
        for one in PROGRAMS
    ],
)
def test_a_program_sends_a_delivery_that_is_verified(
    emulator: Emulator, request: pytest.FixtureRequest, tmp_path: Path, heading: str, name: str, program: str
) -> None:
    given = settings_of(heading)
    environ = dict(os.environ)
    if name.endswith(".js"):
        environ = node_packages.environ(request.getfixturevalue("npm_packages"))
    script = tmp_path / name
    script.write_text(program)
    with serving(application(settings.load(environment(emulator.url, **given)))) as server:
        url = f"http://127.0.0.1:{server.port}/webhooks/signup"
        environ |= {"BRIDGE_URL": url, "SIGNING_SECRET": given["WEBHOOK_SECRETS"], "NO_PROXY": "127.0.0.1"}
        command = ["node" if name.endswith(".js") else sys.executable, str(script)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    check_printed(done.stdout)
    assert [call.result for call in emulator.calls] == ["OK"]


def test_the_program_that_signs_up_by_two_webhooks(emulator: Emulator, tmp_path: Path) -> None:
    ((name, _, program),) = PROGRAM.findall(SECTIONS[BOTH])
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
            assert json.loads(process.stdout.readline())["status"] == "sent"
            rest, _ = process.communicate(emulator.domain.sent_codes()[0].code + "\n", timeout=60)
    check_printed(rest.strip().removeprefix("The code: "))


def check_printed(printed: str) -> None:
    """Whole responses: each a line with status and headers, then the body."""
    response = re.compile(r"^200 \{([^}]*)\}\n(\{.*\})$", re.MULTILINE)  # Node prints headers on several lines
    assert response.search(printed)
    assert response.sub("", printed).strip() == ""
    for headers, text in response.findall(printed):
        assert "x-request-id" in headers.lower()
        document = json.loads(text)
        assert (document["status"], bool(document["request_id"])) == ("verified", True)


def test_there_are_programs_for_each_library() -> None:
    assert {(heading, name.rpartition(".")[2]) for heading, name, _ in PROGRAMS} >= {
        (heading, suffix) for heading in ("Standard Webhooks", "Svix") for suffix in ("py", "js")
    }
    assert len(PROGRAMS) + 1 == len(re.findall("^```(?:python|js)$", GUIDE, re.MULTILINE))


def test_no_program_is_named_as_a_package_is() -> None:
    names = [name for text in SECTIONS.values() for name, _, _ in PROGRAM.findall(text)]
    assert len(set(names)) == len(names) > 8
    for name in names:
        stem = name.partition(".")[0]
        assert stem not in sys.stdlib_module_names
        assert importlib.util.find_spec(stem) is None, name


@pytest.mark.parametrize(("package", "webhook"), [("standardwebhooks", Webhook), ("svix", SvixWebhook)])
def test_a_body_of_bytes_is_signed_wrongly(package: str, webhook: Any) -> None:
    """As the guide says of these versions; each program gives a string."""
    assert re.search(rf"`{package}` {re.escape(version(package))}\b", GUIDE)
    now, signer = datetime.now(timezone.utc), webhook(SECRET)
    assert signer.sign("msg_1", now, b"{}") != signer.sign("msg_1", now, "{}")
    assert signer.sign("msg_1", now, b"{}") == signer.sign("msg_1", now, "b'{}'")


def test_every_sender_is_set_as_settings_take_it() -> None:
    assert {row[3].strip("`") for row in ROWS} == {"", *PRESETS}
    for heading in SECTIONS:
        if any(f"(#{anchor(heading)})" in row[0] for row in ROWS):
            settings.load(environment("", **settings_of(heading)))
    for policy in POLICIES:
        row = next(row for row in ROWS if policy.name.partition(",")[0] in row[0])
        assert (row[1].strip("`"), row[3].strip("`")) == (policy.auth, policy.preset or "")


@pytest.mark.parametrize("preset", PRESETS)
def test_the_bodies_are_those_that_the_tests_send(preset: str) -> None:
    (section,) = (text for heading, text in SECTIONS.items() if f"PAYLOAD_PRESET={preset}`" in text)
    (sample,) = re.findall(r"^```json\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    assert sample == (ROOT / "tests" / "samples" / f"{preset}.json").read_text()


def test_each_sender_is_said_to_do_something_with_each_answer() -> None:
    for heading in ("Standard Webhooks", "Svix", "Clerk", "Supabase Auth", "Auth0", "Zapier and Brevo"):
        answers = " ".join(row[0] for row in documented(heading, "docs/senders.md"))
        assert re.search("200", answers)
        assert re.search("refusal", answers)
        assert re.search("50[0-9]|5xx", answers)
