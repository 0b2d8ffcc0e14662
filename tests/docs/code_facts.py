"""Return facts of the code in the form in which the documents state them."""

from __future__ import annotations

import ast
import functools
import importlib
import json
import re
from functools import cache

from flask import Flask
from prometheus_client.parser import text_string_to_metric_families
from signup_bridge import ledger, settings
from signup_bridge.core.outcomes import OUTCOMES, Outcome
from signup_bridge.metrics import Metrics
from signup_bridge.settings import SETTINGS

from signup_emulator.api.account.behaviour import OPTIONS
from signup_emulator.api.faults.magic_contacts import MAGIC_CONTACTS
from signup_emulator.console import routes as console
from signup_emulator.server import Emulator
from tests.support.bridge.instances import bridge, environment
from tests.support.documents import ROOT

SETTING_NAMES = {setting.name for setting in SETTINGS}
SETTING_PREFIXES = {name.partition("_")[0] for name in SETTING_NAMES if "_" in name}
CODES = [outcome.code for outcome in OUTCOMES]


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def is_setting_name(word: str) -> bool:
    """Return whether a word begins like a setting, so that it must be one."""
    return word.partition("_")[0] in SETTING_PREFIXES


def responses() -> list[tuple[str, ...]]:
    """Return code, status, retryable and the retrying senders of each outcome."""
    return [
        (outcome.code, str(outcome.status), "yes" if outcome.retryable else "no", retrying_senders(outcome))
        for outcome in OUTCOMES
    ]


def retrying_senders(outcome: Outcome) -> str:
    """Return the senders that retry the outcome, according to the documentation of each sender."""
    if outcome.status < 300:
        return "none"
    retrying = ["Standard Webhooks", "Auth0"]
    if not outcome.abort:
        retrying.append("Svix, Clerk")
    if outcome.status == 429 or outcome.status >= 500:
        retrying.append("Zapier, Brevo")
    if outcome.status in (429, 503) and outcome.retry_after:
        retrying.append("Supabase")
    return "; ".join(retrying)


def routes_of(app: Flask) -> set[tuple[str, str]]:
    """Return method and path of each route. A variable part is written as `<name>`."""
    return {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"<\1>", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


@cache
def bridge_routes() -> set[tuple[str, str]]:
    app = bridge("http://127.0.0.1:9", METRICS="true", SEND_CODES="true").app
    return {(method, path.replace("<delivery_id>", "<id>")) for method, path in routes_of(app)}


def delivery_paths() -> set[str]:
    """Return the paths that accept a delivery or a request for a code."""
    return {path for method, path in bridge_routes() if method == "POST"}


def emulator_routes() -> list[tuple[str, str]]:
    with Emulator() as emulator:
        app = console.create_app(emulator.console, host="127.0.0.1")
    return sorted(route for route in routes_of(app) if route[1].startswith("/emulator/"))


@cache
def metrics() -> dict[str, tuple[str, set[str]]]:
    """Return type and labels of each metric by name."""
    text = Metrics("status").render(0).decode()
    return {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            {name for sample in family.samples for name in sample.labels} - {"le"},
        )
        for family in text_string_to_metric_families(text)
    }


def series_names() -> set[str]:
    """Return the names of all series that can be queried."""
    histograms = {f"{name}_bucket" for name, (kind, _) in metrics().items() if kind == "histogram"}
    return set(metrics()) | histograms


def labels() -> set[str]:
    """Return the labels that a query can use, including Prometheus's own `job`."""
    return {name for _, names in metrics().values() for name in names} | {"le", "job"}


def constant(name: str, module: str) -> tuple[float, ...]:
    """Return the numbers of a constant, such as `Class.NAME`, of a module below `signup_bridge`."""
    found = functools.reduce(getattr, name.split("."), importlib.import_module(f"signup_bridge.{module}"))
    return tuple(map(float, found if isinstance(found, tuple) else (found,)))


def log_lines() -> set[tuple[str, str]]:
    """Return message and level of each log line in the code. A value in a message is written as `…`."""
    logged = {("delivery", "INFO, ERROR"), ("request rejected", "INFO")}
    for path in sorted((ROOT / "function").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name("log"), attr=level), args=[message, *_]) if level in (
                    "debug",
                    "info",
                    "warning",
                    "error",
                ):
                    logged.add((re.sub("%[a-z]", "…", message_text(message)), level.upper()))
    return logged


def message_text(message: ast.expr) -> str:
    text = message.value if isinstance(message, ast.Constant) else getattr(ledger, ast.unparse(message))
    assert isinstance(text, str)
    return text


def tests_in_file(file: str) -> set[str]:
    """Return the tests of a file below tests/, as `file::test`."""
    names = re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE)
    return {f"{file}::{name}" for name in names}


def magic_contacts() -> list[tuple[str, ...]]:
    return [
        (
            f"`{row.phone}`",
            f"`{row.email}`",
            row.effect + (f" (`{row.fault}`)" if row.fault else ""),
            f"{row.status} `{row.outcome}`",
            f"{row.end_status} `{row.end}`",
        )
        for row in MAGIC_CONTACTS
    ]


def emulator_options() -> list[tuple[str, ...]]:
    return [(f"`{one.name}`", f"`{json.dumps(one.default)}`", one.constraint, one.meaning) for one in OPTIONS]


def setting_problems(changed: dict[str, str]) -> list[str]:
    """Return the problems of a valid configuration with these settings changed."""
    try:
        settings.load(environment("", **changed))
    except settings.SettingsError as error:
        return [str(error)]
    return []
