"""Whether what serverless.yml says goes together, and whether the function will start with it.

In comes a tree whose form is right (`rules`), out come the problems, each naming a key and the remedy. The settings are
judged by the function's own check, so that what it would refuse at its start is refused before anything is deployed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bridge import settings

from .rules import HANDLER, variables_of

FROM_HEADERS = "ROLE_CREDENTIALS_FROM_HEADERS"
CA_BUNDLE = "DOMAIN_API_CA_BUNDLE"
_VARIABLES = "inputs.environment.variables"


def of_function(inputs: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What is wrong with a file of the right form: keys that do not go together, settings that do not work."""
    kinds = {kind: event[kind]["parameters"] for event in inputs.get("events", []) for kind in event}
    return [
        *(_of_web(inputs, kinds) if inputs["type"] == "web" else _of_event_function(inputs, kinds)),
        *_of_times(inputs),
        *_of_network(inputs),
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
    budget = _setting(variables_of(inputs), "REQUEST_BUDGET")
    if budget is not None and inputs["timeout"] <= budget:
        yield f"inputs.timeout: must be more than REQUEST_BUDGET, {budget:g}; else SCF cuts the answer off"


def _of_network(inputs: Mapping[str, Any]) -> Iterator[str]:
    if inputs.get("eip") and inputs.get("publicAccess") is False:
        yield "inputs.eip: is an address on the internet; it needs publicAccess: true"


def of_settings(inputs: Mapping[str, Any], sources: Mapping[str, str]) -> list[str]:
    """What the function's own check would refuse at its start, and what only SCF makes wrong."""
    variables = variables_of(inputs)
    problems = list(_of_ledger_file(variables))
    from_headers = variables.get(FROM_HEADERS) == "true"
    if from_headers and "role" not in inputs:
        problems.append(f"inputs.role: is missing; {FROM_HEADERS} takes the role's credentials")
    # The file is the function's, not this machine's.
    environ = {name: value for name, value in variables.items() if name != CA_BUNDLE} | {"TENCENTCLOUD_RUNENV": "SCF"}
    role_credentials = from_headers or ("role" in inputs and inputs.get("type") == "event")
    try:
        settings.load(environ, role_credentials=role_credentials)
    except settings.SettingsError as error:
        problems += [_located(problem, variables, sources) for problem in error.problems]
    return problems


def _of_ledger_file(variables: Mapping[str, str]) -> Iterator[str]:
    url = variables.get("LEDGER_URL", "")
    if url.startswith("sqlite:") and not url.startswith("sqlite:////tmp/"):
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
        return setting.read(variables.get(name, setting.default).strip())
    except ValueError:
        return None


def is_redis(variables: Mapping[str, str]) -> bool:
    return variables.get("LEDGER_URL", "").startswith(("redis://", "rediss://"))
