"""Check that the keys of serverless.yml are consistent, and that the function starts with its settings.

The form must be valid (`schema`). Each problem names a key and the remedy. The function's own check validates the
settings, so that invalid settings stop the deployment instead of the function.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from signup_bridge import settings
from signup_bridge.web.profiles import PROFILES

from .schema import HANDLER, get_variables

FROM_HEADERS = "ROLE_CREDENTIALS_FROM_HEADERS"
KEY = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY")
_VARIABLES = "inputs.environment.variables"


def check_function(inputs: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """Return the problems of a file with a valid form: inconsistent keys, invalid settings."""
    kinds = {kind: event[kind]["parameters"] for event in inputs.get("events", []) for kind in event}
    return [
        *(_check_web(inputs, kinds) if inputs["type"] == "web" else _check_event_function(inputs, kinds)),
        *_check_timeout(inputs),
        *_check_services(inputs),
        *check_settings(inputs, sources),
    ]


def _check_web(inputs: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[str]:
    concurrency = _setting(get_variables(inputs), "CONCURRENCY")
    instance = inputs.get("instanceConcurrencyConfig")
    if instance is None:
        yield "inputs.instanceConcurrencyConfig: is required; without it, an instance handles one request at a time"
    elif concurrency is not None and instance["maxConcurrency"] != concurrency:
        yield f"inputs.instanceConcurrencyConfig.maxConcurrency: must equal CONCURRENCY ({concurrency}); change both"
    if "handler" in inputs:
        yield "inputs.handler: is supported for event functions only; remove it"
    if "ckafka" in kinds:
        yield "inputs.events: ckafka is supported for event functions only; set `type: event`"


def _check_event_function(inputs: Mapping[str, Any], kinds: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("handler") != HANDLER:
        yield f"inputs.handler: is required; it must be {HANDLER}"
    if "instanceConcurrencyConfig" in inputs:
        yield "inputs.instanceConcurrencyConfig: is supported for web functions only; remove it"
    if not is_redis(get_variables(inputs)):
        yield (
            f"{_VARIABLES}.LEDGER_URL: must be redis://… or rediss://…; an event function runs one instance for each "
            "concurrent event, and all instances must share the ledger"
        )
    ckafka = kinds.get("ckafka")
    if ckafka and ckafka["name"] != f"{ckafka['instanceId']}-{ckafka['topic']}":
        yield "inputs.events: the name of the ckafka trigger must be <instanceId>-<topic>, which SCF requires"


def _check_timeout(inputs: Mapping[str, Any]) -> Iterator[str]:
    variables = get_variables(inputs)
    budget = _setting(variables, "REQUEST_BUDGET")
    profile = PROFILES.get(_setting(variables, "SENDER_PROFILE"))
    if profile and "REQUEST_BUDGET" not in variables:
        budget = profile.budget
    if budget is not None and inputs["timeout"] <= budget:
        yield f"inputs.timeout: must be greater than REQUEST_BUDGET ({budget:g}); otherwise SCF aborts the request"


def _check_services(inputs: Mapping[str, Any]) -> Iterator[str]:
    if "cls" in inputs and "role" not in inputs:
        yield "inputs.cls: requires `role`, which permits the function to write logs; set role, or remove cls"
    if inputs.get("eip") and inputs.get("publicAccess") is False:
        yield "inputs.eip: requires publicAccess: true, because it is a public IP address"


def check_settings(inputs: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """Return the problems that the function would report at startup, and those that occur only on SCF."""
    variables = get_variables(inputs)
    found = list(_check_key(inputs, variables))
    try:
        load_settings(inputs.get("type"), variables)
    except settings.SettingsError as error:
        found += error.problems
    located = [_locate(problem, variables, sources) for problem in found]
    return [*_check_role(inputs, variables), *_check_ledger_file(variables), *located]


def load_settings(shape: str | None, variables: Mapping[str, str]) -> settings.Settings:
    """Parse the settings as the function does. Raises SettingsError."""
    environ = {**variables, "TENCENTCLOUD_RUNENV": "SCF"}
    # The files that they refer to are in the function, not on this machine.
    return settings.load(environ, event_function=shape == "event", check_files=False)


def _has_role_credentials(inputs: Mapping[str, Any], variables: Mapping[str, str]) -> bool:
    return inputs.get("type") == "event" or _setting(variables, FROM_HEADERS) is True


def _check_key(inputs: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    """Check that there is a key. The function itself starts without one, because its role may provide it."""
    if not _has_role_credentials(inputs, variables) and not any(name in variables for name in KEY):
        for name in KEY:
            yield f"{name}: is not set; copy it from the account's API key"


def _check_role(inputs: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[str]:
    without_key = not any(name in variables for name in KEY)
    if without_key and _has_role_credentials(inputs, variables) and "role" not in inputs:
        yield "inputs.role: is required; without FUNCTION_SECRET_ID, the function uses its role's credentials"


def _check_ledger_file(variables: Mapping[str, str]) -> Iterator[str]:
    try:
        path = _ledger_file(variables)
    except settings.SettingsError:  # it is reported with the other settings
        return
    if path and PurePosixPath("/tmp") not in PurePosixPath(os.path.normpath(path)).parents:  # noqa: S108  SCF's
        yield f"{_VARIABLES}.LEDGER_URL: a SQLite file must be in /tmp, the only writable folder; change the path"


def _locate(problem: str, variables: Mapping[str, str], sources: Mapping[str, str]) -> str:
    """Add the path of the key, and the name of the environment variable if it is not set."""
    name = problem.partition(":")[0]
    source = sources.get(f"{_VARIABLES}.{name}")
    hint = f" (set {source} in the environment)" if source and name not in variables else ""
    return f"{_VARIABLES}.{problem}{hint}"


def _setting(variables: Mapping[str, str], name: str) -> Any:
    """Parse one setting as the function does; return None if it is not valid."""
    setting = next(one for one in settings.SETTINGS if one.name == name)
    try:
        return setting.parse(variables.get(name, setting.default).strip())
    except ValueError:
        return None


def is_redis(variables: Mapping[str, str]) -> bool:
    """Return whether the ledger is in Redis; False if the setting is not valid."""
    try:
        return _ledger_file(variables) is None
    except settings.SettingsError:
        return False


def _ledger_file(variables: Mapping[str, str]) -> Path | None:
    """Return the path of the SQLite ledger, or None for Redis. Raises SettingsError for LEDGER_URL only."""
    others = {"TENCENTCLOUD_RUNENV": "SCF", "WEBHOOK_AUTH": "none", "LEDGER_KEY": "-" * 32}
    return settings.load({**others, "LEDGER_URL": variables.get("LEDGER_URL", "")}, check_files=False).ledger_file
