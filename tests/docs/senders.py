"""Return the senders, their settings and the programs in docs/guides/senders.md."""

from __future__ import annotations

import re

from tests.support.bridge.signed_requests import SECRET
from tests.support.documents import cells, read, sections
from tests.support.scenarios.sender_policies import TOKEN

GUIDE = read("docs/guides/senders.md")
SECTIONS = sections("docs/guides/senders.md")
TWO_WEBHOOKS = "Send the code through the bridge"
PROGRAM = re.compile(r"saved as\s`([\w.-]+)`:\n\n```(?:python|js)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAMS = [
    (heading, name, program)
    for heading, text in SECTIONS.items()
    if heading != TWO_WEBHOOKS
    for name, program in PROGRAM.findall(text)
]
((_, TWO_WEBHOOKS_PROGRAM),) = PROGRAM.findall(SECTIONS[TWO_WEBHOOKS])
ROWS = [cells(line) for line in re.findall(r"^\| \[.*", GUIDE, re.MULTILINE)]


def anchor(heading: str) -> str:
    return re.sub("[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


def row_of(name: str) -> list[str]:
    """Return a sender's row in the first table, by its name or by its name and a variant."""
    return next(row for row in ROWS if name.partition(",")[0] in row[0])


def has_settings(heading: str) -> bool:
    """Return whether the first table has settings for the sender of a section."""
    return any(f"(#{anchor(heading)})" in row[0] for row in ROWS)


def settings_of(heading: str) -> dict[str, str]:
    """Return the settings in the first table for the sender of a section."""
    row = next(row for row in ROWS if f"(#{anchor(heading)})" in row[0])
    names = ("WEBHOOK_AUTH", "SENDER_PROFILE", "PAYLOAD_PRESET")
    named = {name: value.strip("`") for name, value in zip(names, row[1:4], strict=True) if value}
    return named | {"WEBHOOK_SECRETS": SECRET if named["WEBHOOK_AUTH"] == "standard-webhooks" else TOKEN}


def program_suffixes() -> set[tuple[str, str]]:
    """Return the section and the file suffix of each program."""
    return {(heading, name.rpartition(".")[2]) for heading, name, _ in PROGRAMS}
