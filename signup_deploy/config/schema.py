"""Check the form of serverless.yml: keys, types and ranges, by the rules of SCF and of the `scf` command.

Each problem names a key and the remedy, never the value of a variable. The `scf` command ignores an unknown key; here
it is a problem.

Sources: the engine's declaration (serverless.component.yml) and its toolkit; SCF's API 3.0, version 2018-04-16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from signup_bridge.cli.installation import command_line

HANDLER = "index.main_handler"
SOURCE = "./build/function"
MEMORY_SIZES = (64, *range(128, 3072 + 1, 128))
VARIABLES_LIMIT = 4096
"""Maximum size of the names and values of all variables together, in bytes."""

RESERVED = ("TENCENTCLOUD_", "SCF_", "QCLOUD_")


@dataclass(frozen=True)
class Rule:
    """One key: the check of its value, the text of that requirement, and whether the key is required."""

    key: str
    accepts: Callable[[Any], bool]
    requirement: str
    required: bool = False


def _is_string(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _is_one_of(*values: object) -> Callable[[Any], bool]:
    return lambda value: any(value == one and type(value) is type(one) for one in values)


def _is_whole_number(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _has_strings(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and set(value) == set(keys) and all(map(_is_string, value.values()))


def _is_list_of(accepts: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(accepts, value))


def get_variables(inputs: Any) -> Any:
    """Return ``environment.variables``; None if ``environment`` has other keys."""
    environment = inputs.get("environment") if isinstance(inputs, dict) else None
    return environment.get("variables") if isinstance(environment, dict) and set(environment) == {"variables"} else None


TOP = (
    Rule("component", _matches("scf(@.+)?"), "must be scf", required=True),
    Rule("name", _is_string, "must be the instance's name", required=True),
    Rule("app", _is_string, "must be a string"),
    Rule("stage", _is_string, "must be a string"),
    Rule("org", _is_string, "must be a string"),
    Rule("inputs", lambda value: isinstance(value, dict), "must be a mapping", required=True),
)

INPUTS = (
    Rule(
        "name",
        _matches("[A-Za-z][A-Za-z0-9_-]{0,58}[A-Za-z0-9]"),
        "must be 2 to 60 letters, digits, - and _, start with a letter and end with a letter or a digit",
        required=True,
    ),
    Rule(
        "namespace",
        _matches("[A-Za-z][A-Za-z0-9_-]{0,29}"),
        "must be at most 30 letters, digits, - and _, and start with a letter",
    ),
    Rule("region", _matches("[a-z]+(-[a-z0-9]+)+"), "must be a region such as ap-guangzhou", required=True),
    Rule("type", _is_one_of("web", "event"), "must be web or event", required=True),
    Rule("runtime", _is_one_of("Python3.10"), "must be Python3.10, for which the package is built", required=True),
    Rule(
        "src",
        _is_one_of(SOURCE, {"src": SOURCE}),
        f"must be {SOURCE}, the output of `{command_line('package')}`",
        required=True,
    ),
    Rule("handler", _is_one_of(HANDLER), f"must be {HANDLER}"),
    Rule("memorySize", _is_one_of(*MEMORY_SIZES), "must be 64 or a multiple of 128 up to 3072", required=True),
    Rule(
        "timeout", _is_whole_number(1, 900), "must be a whole number from 1 to 900; SCF's default is 3", required=True
    ),
    Rule("initTimeout", _is_whole_number(3, 300), "must be a whole number from 3 to 300"),
    Rule(
        "description",
        _matches(r"[A-Za-z0-9 ,.\n]{1,900}"),
        "must be 1 to 900 letters, digits, spaces, commas, full stops and line breaks",
    ),
    Rule("role", _is_string, "must be the name of a role"),
    Rule("vpcConfig", _has_strings("vpcId", "subnetId"), "must have vpcId and subnetId"),
    Rule("cls", _has_strings("logsetId", "topicId"), "must have logsetId and topicId"),
    Rule("tags", _is_list_of(_has_strings("key", "value")), "must be a list of mappings with `key` and `value`"),
    Rule("publicAccess", _is_bool, "must be true or false"),
    Rule("eip", _is_bool, "must be true or false"),
    Rule(
        "environment",
        lambda value: get_variables({"environment": value}) is not None,
        "must have only the key `variables`",
        required=True,
    ),
    Rule(
        "instanceConcurrencyConfig",
        lambda value: isinstance(value, dict),
        "must have `enable`, `dynamicEnabled` and `maxConcurrency`",
    ),
    Rule(
        "events",
        _is_list_of(lambda one: isinstance(one, dict) and len(one) == 1),
        "must be a list of mappings with one key each",
    ),
)

CONCURRENCY = (
    Rule("enable", _is_one_of(True), "must be true, or an instance handles one request at a time", required=True),  # noqa: FBT003
    Rule("dynamicEnabled", _is_one_of(False), "must be false; CONCURRENCY sets the number", required=True),  # noqa: FBT003
    Rule("maxConcurrency", _is_whole_number(1, 100), "must be a whole number from 1 to 100", required=True),
)

_QUALIFIER = Rule("qualifier", _is_one_of("$DEFAULT"), "must be $DEFAULT", required=True)

HTTP = (
    Rule("name", _is_string, "must be a string"),
    _QUALIFIER,
    Rule("authType", _is_one_of("NONE", "CAM"), "must be NONE or CAM", required=True),
    Rule(
        "netConfig",
        lambda value: (
            isinstance(value, dict)
            and set(value) == {"enableExtranet", "enableIntranet"}
            and all(map(_is_bool, value.values()))
        ),
        "must have enableExtranet and enableIntranet, each true or false; both default to false",
        required=True,
    ),
    Rule("enable", _is_bool, "must be true or false"),
)

CKAFKA = (
    Rule("name", _is_string, "must be <instanceId>-<topic>", required=True),
    _QUALIFIER,
    Rule("instanceId", _matches("ckafka-[0-9a-z]+"), "must be the instance's id, ckafka-…", required=True),
    Rule("topic", _is_string, "must be the topic's name", required=True),
    Rule("maxMsgNum", _is_whole_number(1, 10_000), "must be a whole number from 1 to 10000"),
    Rule("offset", _is_one_of("latest", "earliest"), "must be latest or earliest"),
    Rule("retry", _is_whole_number(0, 10_000), "must be a whole number from 0 to 10000"),
    Rule("timeout", _is_whole_number(1, 60), "must be a whole number from 1 to 60"),
    Rule("consumerGroupName", _is_string, "must be a string"),
    Rule("enable", _is_bool, "must be true or false; it defaults to false", required=True),
)

EVENTS = {"http": HTTP, "ckafka": CKAFKA}


def check_form(tree: Mapping[str, Any]) -> list[str]:
    """Return the problems of the form: keys, types, ranges."""
    problems = list(_check_keys(TOP, tree, ""))
    inputs = tree.get("inputs")
    if isinstance(inputs, dict):
        problems += _check_keys(INPUTS, inputs, "inputs.")
        if isinstance(concurrency := inputs.get("instanceConcurrencyConfig"), dict):
            problems += _check_keys(CONCURRENCY, concurrency, "inputs.instanceConcurrencyConfig.")
        problems += _check_events(inputs.get("events"))
        problems += _check_variables(get_variables(inputs))
    return problems


def _check_keys(rules: tuple[Rule, ...], tree: Mapping[str, Any], path: str) -> Iterator[str]:
    known = {rule.key for rule in rules}
    for key in tree:
        if key not in known:
            yield f"{path}{key}: is not supported; correct it, or remove it"
    for rule in rules:
        if rule.key not in tree:
            if rule.required:
                yield f"{path}{rule.key}: is required; it {rule.requirement}"
        elif isinstance(tree[rule.key], str) and "${" in tree[rule.key]:
            yield f"{path}{rule.key}: contains ${{…}}; only ${{env:NAME}} without a default is supported"
        elif not rule.accepts(tree[rule.key]):
            yield f"{path}{rule.key}: {rule.requirement}"


def _check_events(events: Any) -> Iterator[str]:
    if not isinstance(events, list):
        return
    kinds = [kind for event in events if isinstance(event, dict) for kind in event]
    for position, event in enumerate(events):
        for kind, content in event.items() if isinstance(event, dict) else ():
            path = f"inputs.events[{position}].{kind}"
            if kind not in EVENTS:
                yield f"{path}: is not supported; use {' or '.join(EVENTS)}"
            elif kinds.count(kind) > 1:
                yield f"{path}: occurs {kinds.count(kind)} times; only one is supported"
            elif not isinstance(content, dict) or set(content) != {"parameters"}:
                yield f"{path}: must have only the key `parameters`"
            elif isinstance(content["parameters"], dict):
                yield from _check_keys(EVENTS[kind], content["parameters"], f"{path}.parameters.")
            else:
                yield f"{path}.parameters: must be a mapping"


def _check_variables(variables: Any) -> Iterator[str]:
    if not isinstance(variables, dict):
        return
    path = "inputs.environment.variables"
    for name, value in variables.items():
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name, re.ASCII):
            yield f"{path}.{name}: is not a valid name; use letters, digits and _, and start with a letter"
        elif name.startswith(RESERVED):
            yield f"{path}.{name}: starts with a prefix that SCF reserves ({', '.join(RESERVED)}); rename it"
        if not isinstance(value, str):
            yield f"{path}.{name}: must be a string; put it in quotes"
        elif not value.strip():
            yield f"{path}.{name}: is empty, which SCF rejects; unset it, or set a value"
        elif "${" in value:
            yield f"{path}.{name}: contains ${{…}}; only ${{env:NAME}} without a default is supported"
    size = sum(len(f"{name}{value}".encode("utf-8", "replace")) for name, value in variables.items())
    if size > VARIABLES_LIMIT:
        yield f"{path}: must have at most {VARIABLES_LIMIT} bytes in total, but has {size}; shorten the values"
