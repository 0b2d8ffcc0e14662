"""Compare each fact that a document repeats from the code, in one table.

Programs and queries of the documents are run by other files of this folder.
"""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

import pytest
from signup_bridge.core.actions import CREATE, DELETE, DESCRIBE
from signup_bridge.inbound.payload_mapping import PRESETS
from signup_bridge.settings import LOG_LEVELS, SETTINGS

from tests.docs import code_facts, operations, readmes, senders
from tests.support.deployer import scf_api
from tests.support.documents import ROOT, blocks, broken_links, column, empty_cells, read, table, words
from tests.support.log_lines import LOG_FIELDS
from tests.support.scenarios.sender_policies import POLICIES
from tests.support.tools.node_packages import HERE as NODE

PAGES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))
PROJECT = ["CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "tests/README.md"]
DOCUMENTS = [readmes.ENGLISH, readmes.CHINESE, *PROJECT, *PAGES]

DEPLOY, OPERATE, SENDERS = (f"docs/guides/{name}.md" for name in ("deploy", "operate", "senders"))
HTTP_API, SETTINGS_PAGE, LOGS, METRICS, EMULATOR = (
    f"docs/reference/{name}.md" for name in ("http-api", "settings", "logs", "metrics", "emulator")
)
SEMANTICS, SECURITY = (f"docs/explanation/{name}.md" for name in ("semantics", "security"))


MAX_WORDS = 15_000
"""The limit of words on all pages, without code."""


class Check(NamedTuple):
    """A comparison. Both sides are functions, so that an exception fails only its own test."""

    document: str
    subject: str
    documented: Callable[[], Collection[Any]]
    code: Callable[[], Collection[Any]]
    complete: bool = True
    """Whether the document must name everything. Otherwise it must only name things that exist."""
    at_least: int = 1
    """The minimum number of facts in the document, so that a pattern without matches fails."""


def known(
    document: str,
    subject: str,
    documented: Callable[[], Collection[Any]],
    code: Callable[[], Collection[Any]],
    at_least: int = 0,
) -> Check:
    return Check(document, subject, documented, code, complete=False, at_least=at_least)


def none(document: str, subject: str, contradictions: Callable[[], list[Any]]) -> Check:
    return Check(document, subject, contradictions, list, at_least=0)


def found(document: str, pattern: str) -> set[Any]:
    return set(re.findall(pattern, read(document), re.MULTILINE))


def setting_names(document: str) -> set[str]:
    return {name for name in constant_names(document) if code_facts.is_setting_name(name)} - constants(document)


def constant_names(document: str) -> set[str]:
    """Return the names in capitals before the table of constants, without the platform's own."""
    return set(re.findall(r"\b(?!TENCENTCLOUD_)[A-Z]+(?:_[A-Z]+)+\b", read(document).partition("## Constants")[0]))


def constants(document: str) -> set[str]:
    """Return the names in the table of constants. Another check compares them with the code."""
    return set(re.findall(r"^\| `([A-Z_]+)` \|", read(document).partition("## Constants")[2], re.MULTILINE))


def make_targets(document: str) -> set[str]:
    text = read(document)
    code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return {name for one in code for name in re.findall(r"(?:^|[^\w-])make ([a-z-]+)", one)}


ROUTE = r"`(GET|POST) (/[^`\s]*)`"


# -- semantics.md --


def documented_constants() -> dict[tuple[str, str], tuple[float, ...]]:
    """Return the numbers of each constant by name and module."""
    return {
        (name, module): tuple(float(n) * (2**20 if "MiB" in value else 1) for n in re.findall("[0-9.]+", value))
        for name, value, module in table(SEMANTICS, "Constants", 0, 1, 2)
    }


# -- security.md --

TEST = r"`([\w/]*test_\w+\.py)::(test_\w+)`"


def named_tests() -> set[str]:
    return {f"{file}::{name}" for file, name in found(SECURITY, TEST)}


def existing_tests() -> set[str]:
    files = {name.partition("::")[0] for name in named_tests()}
    return {name for file in files for name in code_facts.tests_in_file(file)}


def claims_without_a_test() -> list[str]:
    headings = ("What an attacker can and cannot do", "Already verified")
    claims = [row for heading in headings for row in table(SECURITY, heading)]
    assert len(claims) > 25
    return [row[0] for row in claims if not re.fullmatch(rf"({TEST} ?)+", row[-1])]


def settings_to_set() -> set[str]:
    names = {name for cell in column(SECURITY, "What to set", 0) for name in re.findall("([A-Z_]{6,})", cell)}
    assert {"WEBHOOK_AUTH", "MAX_WRONG_CODES", "REVEAL_ALREADY_VERIFIED"} <= names
    return names


# -- deploy.md --


def policy_actions(number: int) -> set[str]:
    return set(json.loads(blocks(DEPLOY, "json")[number])["statement"][0]["action"])


# -- senders.md --


def settings_of_policies() -> list[tuple[str, str, str]]:
    rows = {policy.name: senders.row_of(policy.name) for policy in POLICIES}
    return [(name, row[1].strip("`"), row[3].strip("`")) for name, row in rows.items()]


def refused_settings() -> list[str]:
    headings = [heading for heading in senders.SECTIONS if senders.has_settings(heading)]
    assert len(headings) > 5
    return [problem for one in headings for problem in code_facts.setting_problems(senders.settings_of(one))]


def bodies() -> dict[str, list[str]]:
    """Return the JSON bodies in each preset's section."""
    texts = senders.SECTIONS.values()
    return {
        preset: [
            sample
            for text in texts
            if f"PAYLOAD_PRESET={preset}`" in text
            for sample in re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
        ]
        for preset in PRESETS
    }


def reactions() -> dict[str, list[str]]:
    """Return the kinds of response that the table in each sender's section explains."""
    kinds = {"success": "200", "refusal": "refusal", "failure": "50[0-9]|5xx"}
    headings = ("Standard Webhooks", "Svix", "Clerk", "Supabase Auth", "Auth0", "Zapier and Brevo")
    explained = {heading: " ".join(column(SENDERS, heading, 0)) for heading in headings}
    return {
        heading: [kind for kind, pattern in kinds.items() if re.search(pattern, text)]
        for heading, text in explained.items()
    }


def programs_named_as_packages() -> list[str]:
    names = [name for text in senders.SECTIONS.values() for name, _ in senders.PROGRAM.findall(text)]
    assert len(set(names)) == len(names) > 8
    stems = [name.partition(".")[0] for name in names]
    return [stem for stem in stems if stem in sys.stdlib_module_names or importlib.util.find_spec(stem)]


CHECKS: list[Check] = [
    *(Check(readmes.CHINESE, subject, partial(fact, readmes.CHINESE), partial(fact, readmes.ENGLISH), at_least=3)
      for subject, fact in readmes.FACTS.items()),
    known("README.md", "settings and defaults", lambda: readmes.settings("README.md"),
          lambda: [(setting.name, setting.default) for setting in SETTINGS], 10),
    Check(SETTINGS_PAGE, "settings and defaults", lambda: table(SETTINGS_PAGE, "Settings", 0, 1),
          lambda: [(setting.name, setting.default) for setting in SETTINGS]),
    Check(HTTP_API, "codes, statuses, senders that retry", lambda: table(HTTP_API, "Codes", 0, 1, 3, 4),
          code_facts.responses),
    Check(HTTP_API, "headings of the codes", lambda: re.findall("^### (.*)", read(HTTP_API), re.MULTILINE),
          lambda: code_facts.CODES),
    Check(HTTP_API, "routes", partial(found, HTTP_API, ROUTE), lambda: {
        route for route in code_facts.bridge_routes() if route[0] != "OPTIONS"
    }),
    *(known(document, "names of settings", partial(setting_names, document),
            lambda: code_facts.SETTING_NAMES) for document in DOCUMENTS),
    known(SEMANTICS, "names of settings and constants", partial(constant_names, SEMANTICS),
          lambda: code_facts.SETTING_NAMES | constants(SEMANTICS)),
    *(known(document, "routes", partial(found, document, ROUTE),
            lambda: code_facts.bridge_routes() | set(code_facts.emulator_routes()))
      for document in DOCUMENTS if document not in (HTTP_API, EMULATOR, "CHANGELOG.md")),
    *(known(document, "names of metrics", partial(found, document, "signup_bridge_[a-z_]+"),
            code_facts.series_names) for document in DOCUMENTS),
    *(known(document, "make targets", partial(make_targets, document), code_facts.make_targets)
      for document in DOCUMENTS),
    *(none(document, "broken links", partial(broken_links, document))
      for document in DOCUMENTS),
    Check(SEMANTICS, "constants", documented_constants,
          lambda: {key: code_facts.constant(*key) for key in documented_constants()}),
    # operate.md, logs.md, metrics.md
    Check(OPERATE, "codes with something to do", lambda: column(OPERATE, "What to do for each code", 0),
          lambda: code_facts.CODES),
    none(OPERATE, "codes with nothing to do", lambda: empty_cells(OPERATE, "What to do for each code", 1)),
    Check(METRICS, "metrics, types, labels", operations.documented_metrics, code_facts.metrics),
    known(OPERATE, "labels in queries", operations.queried_labels, code_facts.labels, 3),
    known(OPERATE, "codes in queries", operations.queried_codes, lambda: code_facts.CODES, 6),
    Check(LOGS, "log fields and types", operations.documented_fields, lambda: LOG_FIELDS),
    none(LOGS, "log fields without a meaning", lambda: empty_cells(LOGS, "Fields", 2)),
    Check(LOGS, "log messages and levels", operations.documented_lines, code_facts.log_lines),
    Check(LOGS, "paths of deliveries", operations.delivery_paths, code_facts.delivery_paths),
    known(LOGS, "log levels", operations.documented_levels, lambda: LOG_LEVELS, 3),
    known(OPERATE, "log fields in queries of CLS", operations.queried_fields, lambda: LOG_FIELDS, 9),
    Check(OPERATE, "alarms", operations.alarms_in_table, operations.alarms_in_rules),
    # security.md
    known(SECURITY, "tests that show a claim", named_tests, existing_tests, 3),
    none(SECURITY, "claims without a test", claims_without_a_test),
    known(SECURITY, "settings to set", settings_to_set, lambda: code_facts.SETTING_NAMES, 3),
    # emulator.md
    Check(EMULATOR, "routes", lambda: sorted(found(EMULATOR, r"^\| `([A-Z]+) (/emulator/[^`]*)` \|")),
          code_facts.emulator_routes),
    Check(EMULATOR, "contacts that choose an outcome", lambda: table(EMULATOR, "Outcomes chosen by the contact"),
          code_facts.magic_contacts),
    Check(EMULATOR, "options of its behaviour", lambda: table(EMULATOR, "Behaviour"),
          code_facts.emulator_options),
    known(EMULATOR, "the program for Node's SDK", lambda: [(NODE / "signup.js").read_text()],
          lambda: blocks(EMULATOR, "js")),
    # deploy.md
    Check(DEPLOY, "the deployer's policy", lambda: policy_actions(0),
          lambda: {f"scf:{action}" for action in scf_api.PARAMETERS}),
    Check(DEPLOY, "the function's policy", lambda: policy_actions(1),
          lambda: {f"domain:{action}" for action in (CREATE, DESCRIBE)}),
    Check(DEPLOY, "the action that a release needs", lambda: found(DEPLOY, "with `(domain:[A-Za-z]+)`"),
          lambda: {f"domain:{DELETE}"}),
    known(DEPLOY, "variables for keys", lambda: {
        "FUNCTION_SECRET_ID", "FUNCTION_SECRET_KEY", "TENCENT_SECRET_ID", "TENCENT_SECRET_KEY",
    }, lambda: found(DEPLOY, "[A-Z_]{10,}"), 3),
    # senders.md
    Check(SENDERS, "presets", lambda: {row[3].strip("`") for row in senders.ROWS}, lambda: {"", *PRESETS}),
    Check(SENDERS, "settings of each sender", settings_of_policies,
          lambda: [(policy.name, policy.auth, policy.preset or "") for policy in POLICIES]),
    none(SENDERS, "settings that are refused", refused_settings),
    Check(SENDERS, "bodies of the presets", bodies,
          lambda: {one: [(ROOT / "tests" / "samples" / f"{one}.json").read_text()] for one in PRESETS}),
    Check(SENDERS, "what each sender does with each kind of response", reactions,
          lambda: {heading: ["success", "refusal", "failure"] for heading in reactions()}),
    Check(SENDERS, "libraries with a program", lambda: {
        (heading, suffix) for heading, suffix in senders.program_suffixes() if heading in ("Standard Webhooks", "Svix")
    }, lambda: {(heading, suffix) for heading in ("Standard Webhooks", "Svix") for suffix in ("py", "js")}),
    Check(SENDERS, "code blocks that are run", lambda: sorted(blocks(SENDERS, "(?:python|js)")),
          lambda: sorted([senders.TWO_WEBHOOKS_PROGRAM, *(program for _, _, program in senders.PROGRAMS)])),
    none(SENDERS, "programs with the name of a package", programs_named_as_packages),
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.document}: {check.subject}")
def test_document_matches_code(check: Check) -> None:
    documented, code = check.documented(), check.code()
    assert len(documented) >= check.at_least
    if check.complete:
        assert documented == code
    else:
        assert set(documented) <= set(code)


def test_readme_is_short() -> None:
    assert readmes.words(readmes.ENGLISH) < readmes.MAX_WORDS


def test_pages_are_short() -> None:
    assert sum(map(words, PAGES)) <= MAX_WORDS
