"""The documents say what the code does: settings, codes, routes, metrics, log lines, commands, links."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from signup_bridge.core.outcomes import OUTCOMES, Outcome
from signup_bridge.metrics import Metrics
from signup_bridge.settings import LOG_LEVELS, SETTINGS
from signup_bridge.telemetry.logs import LOG_FIELDS

from tests.support.builders import ROOT, bridge, documented

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
OPERATIONS = "docs/operations.md"
TEXT = {path.name: path.read_text() for path in DOCUMENTS}


def column(rows: list[list[str]], number: int) -> list[str]:
    return [row[number].strip("`") for row in rows]


# -- settings --


def test_the_settings_table_is_what_settings_reads() -> None:
    rows = documented("Settings", "README.md")
    assert list(zip(column(rows, 0), column(rows, 1), strict=True)) == [(one.name, one.default) for one in SETTINGS]


def test_every_setting_that_is_named_exists() -> None:
    """What begins like one is one."""
    names = {setting.name for setting in SETTINGS}
    beginnings = {name.partition("_")[0] for name in names if "_" in name}
    named = {name for text in TEXT.values() for name in re.findall(r"\b[A-Z]+(?:_[A-Z]+)+\b", text)}
    assert {name for name in named if name.partition("_")[0] in beginnings} <= names


# -- codes --


def senders_that_retry(outcome: Outcome) -> str:
    """Who sends again by itself, from how each is documented to read an answer."""
    if outcome.kind == "done":
        return "nobody"
    retrying = ["Standard Webhooks", "Auth0"]
    if not outcome.abort:
        retrying.append("Svix, Clerk")
    if outcome.status == 429 or outcome.status >= 500:
        retrying.append("Zapier, Brevo")
    if outcome.status in (429, 503) and outcome.retry_after:
        retrying.append("Supabase")
    return "; ".join(retrying)


def test_the_answers_table_is_the_outcome_table() -> None:
    rows = [
        (code.strip("`"), status, retryable, senders)
        for code, status, _, retryable, senders in documented("Answers", "README.md")
    ]
    assert rows == [
        (one.code, str(one.status), "yes" if one.retryable else "no", senders_that_retry(one)) for one in OUTCOMES
    ]


def test_there_is_something_to_do_for_each_code() -> None:
    rows = documented("What to do for each code", OPERATIONS)
    assert column(rows, 0) == [outcome.code for outcome in OUTCOMES]
    assert all(person and operator for _, person, operator in rows)


# -- routes --


def routes() -> set[tuple[str, str]]:
    rules = bridge("http://127.0.0.1:9", METRICS="true", SEND_CODES="true").app.url_map.iter_rules()
    return {
        (method, rule.rule.replace("<path:delivery_id>", "<id>"))
        for rule in rules
        for method in (rule.methods or set()) - {"HEAD"}
    }


def test_every_route_is_in_the_readme() -> None:
    about = TEXT["README.md"].partition("## Answers")[0]
    said = set(re.findall(r"`(GET|POST) (/[^`\s]*)`", about)) | {
        ("POST", path) for path in re.findall(r"\(or `(/)`\)", about)
    }
    assert said == routes()


@pytest.mark.parametrize("name", ["README.md", "semantics.md", "operations.md", "design.md"])
def test_every_route_that_is_named_exists(name: str) -> None:
    assert set(re.findall(r"`(GET|POST) (/[^`\s]*)`", TEXT[name])) <= routes()


# -- metrics --


def families() -> dict[str, tuple[str, set[str]]]:
    """Each metric's type and its labels, by its name."""
    text = Metrics("status").render(0).body.decode()
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {name for sample in family.samples for name in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(text)
    }


def test_the_metrics_table_is_what_is_told() -> None:
    told = {
        name.strip("`"): (kind, set(re.findall("[a-z]+", labels)))
        for name, kind, labels, _ in documented("Metrics", OPERATIONS)
    }
    assert told == families()


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = set(re.findall(r"signup_bridge_[a-z_]+", "".join(TEXT.values())))
    known = families()
    kinds = {name: [name, f"{name}_bucket"] if kind == "histogram" else [name] for name, (kind, _) in known.items()}
    assert asked <= {one for names in kinds.values() for one in names}
    labels = {name for _, names in known.values() for name in names} | {"le", "job"}  # job is Prometheus' own
    text = TEXT["operations.md"]
    for used in re.findall(r"by \(([a-z, ]+)\)", text) + re.findall(r"\{([a-z]+)=", text):
        assert set(re.findall("[a-z]+", used)) <= labels


def test_every_code_that_is_asked_for_exists() -> None:
    asked = re.findall(r'(?:outcome|result)=~?"([^"]+)"', TEXT["operations.md"])
    asked += re.findall(r'outcome:\(?"([^)`]+)"', TEXT["operations.md"])
    codes = {code for one in asked for code in re.findall("[a-z]+(?:-[a-z]+)+", one)}
    assert len(codes) > 5
    assert codes <= {outcome.code for outcome in OUTCOMES}


# -- the log --


def test_the_table_of_fields_is_what_may_stand_on_a_line() -> None:
    rows = documented("Fields", OPERATIONS)
    assert {
        name: kind.split(" ")[0].rstrip(",") for name, kind in zip(column(rows, 0), column(rows, 1), strict=True)
    } == LOG_FIELDS
    assert all(when and what for _, _, when, what in rows)


def messages() -> Iterator[tuple[str, str]]:
    """What is logged in the code, and at which level: the words that are written there, each value in them a …."""
    for path in sorted((ROOT / "function").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr=level), args=[message, *_]) if (
                    level != "log"
                ):
                    yield words_of(message), level.upper()


def words_of(message: ast.expr) -> str:
    from signup_bridge.ledger import KEY_CHANGED_WARNING  # noqa: PLC0415

    text = (
        message.value
        if isinstance(message, ast.Constant)
        else {"KEY_CHANGED_WARNING": KEY_CHANGED_WARNING}[ast.unparse(message)]
    )
    assert isinstance(text, str)
    return text


def test_the_table_of_lines_is_what_is_logged() -> None:
    told = {(message.strip("`"), level) for message, level, _ in documented("Lines", OPERATIONS)}
    logged = {*messages(), ("delivery", "INFO, ERROR"), ("request refused", "INFO")}

    def is_told(text: str, level: str, message: str, said: str) -> bool:
        pattern = ".*".join(map(re.escape, message.split("…")))
        return said == level and re.fullmatch(pattern, text) is not None

    assert [one for one in logged if not any(is_told(*one, *other) for other in told)] == []
    assert [other for other in told if not any(is_told(*one, *other) for one in logged)] == []
    assert {level for _, levels in told for level in levels.split(", ")} <= set(LOG_LEVELS)


def test_every_field_that_cls_is_asked_for_exists() -> None:
    (questions,) = re.findall(r"```text\n(message:.*?)```", TEXT["operations.md"], re.DOTALL)
    asked = set(re.findall(r"([a-z_]+):", questions)) | set(re.findall(r"percentile\(([a-z_]+),", questions))
    asked |= {name for names in re.findall(r"select ([a-z_, ]+), count", questions) for name in names.split(", ")}
    assert len(asked) > 8
    assert asked <= set(LOG_FIELDS)


# -- commands and links --


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in TEXT.values():
        code = re.findall(r"`([^`\n]+)`", text) + re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
        assert {name for one in code for name in re.findall(r"(?:^|[^\w-])make ([a-z-]+)", one)} <= targets


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings, as GitHub makes them."""
    without_code = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", document.read_text()):
        path = document.parent / target if target else document
        assert path.exists(), target
        assert not anchor or anchor in anchors(path.read_text()), f"{target}#{anchor}"
