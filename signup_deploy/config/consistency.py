"""Whether what serverless.yml says goes together, and whether the function will start with it.

In comes a tree whose form is right (`rules`), out come the problems, each naming a key and the remedy. The settings are
judged by the function's own check, so that what it would refuse at its start is refused before anything is deployed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from signup_bridge import settings
from signup_bridge.web.profiles import PROFILES

from .schema import HANDLER, variables_of

FROM_HEADERS = "ROLE_CREDENTIALS_FROM_HEADERS"
KEY = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY")
_VARIABLES = "inputs.environment.variables"


def of_function(inputs: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What is wrong with a file of the right form: keys that do not go together, settings that do not work."""
    kinds = {kind: event[kind]["parameters"] for event in inputs.get("events", []) for kind in event}
    return [
        *(_of_web(inputs, kinds) if inputs["type"] == "web" else _of_event_function(inputs, kinds)),
        *_of_times(inputs),
        *_of_services(inputs),
        *of_settings(inputs, sources),
    ]


def _of_web(inputs: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[str]:
    concurrency = _setting(variables_of(inputs), "CONCURRENCY")
    instance = inputs.get("instanceConcurrencyConfig")
    if instance is None:
        yield "inputs.instanceConcurrencyConfig: is missing; without it an instance takes one request at a time"
    elif concurrency is not None and instance["maxConcurrency"] != concurrency:
        yield f"inputs.instanceConcurrencyConfig.maxConcurrency: must be CONCURRENCY, {concurrency}; change both"
    if "handler" in inputs:
        yield "inputs.handler: is an event function's; a web function starts by scf_bootstrap"
    if "ckafka" in kinds:
        yield "inputs.events: ckafka calls event functions only; say `type: event`"


def _of_event_function(inputs: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("handler") != HANDLER:
        yield f"inputs.handler: is missing; it must be {HANDLER}"
    if "instanceConcurrencyConfig" in inputs:
        yield "inputs.instanceConcurrencyConfig: is a web function's; take it out"
    if not is_redis(variables_of(inputs)):
        yield (
            f"{_VARIABLES}.LEDGER_URL: must be redis://… or rediss://…; an event function has an "
            "instance for each event at a time, and these must share what they remember"
        )
    ckafka = kinds.get("ckafka")
    if ckafka and ckafka["name"] != f"{ckafka['instanceId']}-{ckafka['topic']}":
        yield "inputs.events: ckafka's name must be <instanceId>-<topic>, by which SCF finds the topic"


def _of_times(inputs: Mapping[str, Any]) -> Iterator[str]:
    variables = variables_of(inputs)
    budget = _setting(variables, "REQUEST_BUDGET")
    profile = PROFILES.get(_setting(variables, "SENDER_PROFILE"))
    if profile and "REQUEST_BUDGET" not in variables:
        budget = profile.budget
    if budget is not None and inputs["timeout"] <= budget:
        yield f"inputs.timeout: must be more than REQUEST_BUDGET, {budget:g}; else SCF cuts the answer off"


def _of_services(inputs: Mapping[str, Any]) -> Iterator[str]:
    if "cls" in inputs and "role" not in inputs:
        yield "inputs.cls: needs `role`, by which the function may write there; name one, or take cls out"
    if inputs.get("eip") and inputs.get("publicAccess") is False:
        yield "inputs.eip: is an address on the internet; it needs publicAccess: true"


def of_settings(inputs: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What the function's own check would refuse at its start, and what only SCF makes wrong."""
    variables = variables_of(inputs)
    found = list(_of_key(inputs, variables))
    try:
        settings_of(inputs.get("type"), variables)
    except settings.SettingsError as error:
        found += error.problems
    located = [_located(problem, variables, sources) for problem in found]
    return [*_of_role(inputs, variables), *_of_ledger_file(variables), *located]


def settings_of(shape: str | None, variables: Mapping[str, str]) -> settings.Settings:
    """As the function will read them. Raises SettingsError."""
    environ = {**variables, "TENCENTCLOUD_RUNENV": "SCF"}
    # The files that they name are the function's, not this machine's.
    return settings.load(environ, event_function=shape == "event", check_files=False)


def _has_role_credentials(inputs: Mapping[str, Any], variables: Mapping[str, str]) -> bool:
    return inputs.get("type") == "event" or _setting(variables, FROM_HEADERS) is True


def _of_key(inputs: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    """On SCF the function starts without a key, since its role may give one; whether it does is known here."""
    if not _has_role_credentials(inputs, variables) and not any(name in variables for name in KEY):
        for name in KEY:
            yield f"{name}: is not set; it comes with the account's API key"


def _of_role(inputs: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    without_key = not any(name in variables for name in KEY)
    if without_key and _has_role_credentials(inputs, variables) and "role" not in inputs:
        yield "inputs.role: is missing; without FUNCTION_SECRET_ID the function calls with its role's credentials"


def _of_ledger_file(variables: Mapping[str, str]) -> Iterator[str]:
    try:
        path = _ledger_file(variables)
    except settings.SettingsError:  # it is told with the other settings
        return
    if path and PurePosixPath("/tmp") not in PurePosixPath(os.path.normpath(path)).parents:  # noqa: S108  SCF's
        yield f"{_VARIABLES}.LEDGER_URL: a SQLite file must lie in /tmp; nothing else can be written"


def _located(problem: str, variables: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """The problem with the path of its key, and with the name that must be set, where one is to be set."""
    name = problem.partition(":")[0]
    source = sources.get(f"{_VARIABLES}.{name}")
    hint = f" (set {source} in the environment)" if source and name not in variables else ""
    return f"{_VARIABLES}.{problem}{hint}"


def _setting(variables: Mapping[str, str], name: str) -> Any:
    """A setting as the function will read it; None when it cannot."""
    setting = next(one for one in settings.SETTINGS if one.name == name)
    try:
        return setting.parse(variables.get(name, setting.default).strip())
    except ValueError:
        return None


def is_redis(variables: Mapping[str, str]) -> bool:
    """Whether a function with these variables shares what it remembers; not when its ledger's setting is wrong."""
    try:
        return _ledger_file(variables) is None
    except settings.SettingsError:
        return False


def _ledger_file(variables: Mapping[str, str]) -> Path | None:
    """Where its SQLite ledger is; None when it is a Redis. Raises SettingsError, for no other setting than this one."""
    others = {"TENCENTCLOUD_RUNENV": "SCF", "WEBHOOK_AUTH": "none", "LEDGER_KEY": "-" * 32}
    return settings.load({**others, "LEDGER_URL": variables.get("LEDGER_URL", "")}, check_files=False).ledger_file
