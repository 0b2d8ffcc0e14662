"""docs/senders.md: its programs are run against a bridge as they stand, its settings are settings, its bodies real."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import node_packages
import pytest
from bridge import settings
from bridge.app import create_app
from bridge.mapping import PRESETS
from builders import ROOT, SECRET, documented, environment
from sender_policies import POLICIES, TOKEN
from serving import serving

from emulator.server import Emulator

GUIDE = (ROOT / "docs" / "senders.md").read_text()
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", GUIDE, re.MULTILINE))
BOTH = "The code, by a webhook, too"
PROGRAMS = [
    (heading, language, program)
    for heading, text in SECTIONS.items()
    if heading != BOTH
    for language, program in re.findall(r"^```(python|js)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
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
    ("heading", "language", "program"),
    [
        pytest.param(*one, id=", ".join(one[:2]), marks=[pytest.mark.toolchain] if one[1] == "js" else [])
        for one in PROGRAMS
    ],
)
def test_a_program_sends_a_delivery_that_is_verified(
    emulator: Emulator, request: pytest.FixtureRequest, tmp_path: Path, heading: str, language: str, program: str
) -> None:
    given = settings_of(heading)
    environ = dict(os.environ)
    if language == "js":
        environ = node_packages.environ(request.getfixturevalue("npm_packages"))
    script = tmp_path / f"program.{language}"
    script.write_text(program)
    with serving(create_app(settings.load(environment(emulator.url, **given)))) as server:
        url = f"http://127.0.0.1:{server.port}/webhooks/signup"
        environ |= {"BRIDGE_URL": url, "SIGNING_SECRET": given["WEBHOOK_SECRETS"], "NO_PROXY": "127.0.0.1"}
        command = ["node" if language == "js" else sys.executable, str(script)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == {"200 verified"}
    assert [call.result for call in emulator.calls] == ["OK"]


def test_the_program_that_signs_up_by_two_webhooks(emulator: Emulator, tmp_path: Path) -> None:
    (program,) = re.findall(r"^```python\n(.*?)^```", SECTIONS[BOTH], re.MULTILINE | re.DOTALL)
    with serving(create_app(settings.load(environment(emulator.url, SEND_CODES="true")))) as server:
        environ = os.environ | {"BRIDGE": f"http://127.0.0.1:{server.port}", "SIGNING_SECRET": SECRET}
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program], env=environ | {"NO_PROXY": "127.0.0.1"}, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        with process:
            assert process.stdout
            assert process.stdout.readline().startswith("(202, {'status': 'sent'")
            rest, _ = process.communicate(emulator.domain.sent_codes()[0].code + "\n", timeout=60)
    assert "(200, {'status': 'verified'" in rest


def test_there_are_programs_for_each_library() -> None:
    assert {(heading, language) for heading, language, _ in PROGRAMS} >= {
        (heading, language) for heading in ("Standard Webhooks", "Svix") for language in ("python", "js")
    }


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
