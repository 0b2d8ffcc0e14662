"""The form of serverless.yml: keys, types and ranges, by the rules of SCF and of the `scf` command's engine.

In comes the resolved tree, out come the problems, each naming a key and the remedy, never a variable's value. The
engine ignores a key that it does not know, or that is misspelt; here it is a problem.

Sources: the engine's declaration (serverless.component.yml) and its toolkit; SCF's API 3.0, version 2018-04-16.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HANDLER = "index.main_handler"
SOURCE = "./build/function"
MEMORY_SIZES = (64, *range(128, 3072 + 1, 128))
VARIABLES_LIMIT = 4096
"""Bytes of all names and values of variables together."""

RESERVED = ("TENCENTCLOUD_", "SCF_", "QCLOUD_")


@dataclass(frozen=True)
class Rule:
    """One key: when it holds, what it must be, and whether it must be there."""

    key: str
    holds: Callable[[Any], bool]
    must: str
    needed: bool = False


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _matches(pattern: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None


def _is_one_of(*values: object) -> Callable[[Any], bool]:
    return lambda value: any(value == one and type(value) is type(one) for one in values)


def _is_whole_number(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and low <= value <= high


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _has_texts(*keys: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and set(value) == set(keys) and all(map(_is_text, value.values()))


def _is_list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(holds, value))


def variables_of(inputs: Any) -> Any:
    """What stands under ``environment.variables``; None when something else stands there, too."""
    environment = inputs.get("environment") if isinstance(inputs, dict) else None
    return environment.get("variables") if isinstance(environment, dict) and set(environment) == {"variables"} else None


TOP = (
    Rule("component", _matches("scf(@.+)?"), "must be scf", needed=True),
    Rule("name", _is_text, "must be the instance's name", needed=True),
    Rule("app", _is_text, "must be a text"),
    Rule("stage", _is_text, "must be a text"),
    Rule("org", _is_text, "must be a text"),
    Rule("inputs", lambda value: isinstance(value, dict), "must be a mapping", needed=True),
)

INPUTS = (
    Rule(
        "name",
        _matches("[A-Za-z][A-Za-z0-9_-]{0,58}[A-Za-z0-9]"),
        "must be 2 to 60 letters, digits, - and _, begin with a letter and end with a letter or a digit",
        needed=True,
    ),
    Rule("namespace", _matches("[A-Za-z][A-Za-z0-9_-]{0,29}"), "must be at most 30 letters, digits, - and _"),
    Rule("region", _matches("[a-z]+(-[a-z0-9]+)+"), "must be a region such as ap-guangzhou", needed=True),
    Rule("type", _is_one_of("web", "event"), "must be web or event", needed=True),
    Rule("runtime", _is_one_of("Python3.10"), "must be Python3.10, for which the package is built", needed=True),
    Rule(
        "src",
        _is_one_of(SOURCE, {"src": SOURCE}),
        f"must be {SOURCE}, what `signup-bridge package` builds",
        needed=True,
    ),
    Rule("handler", _is_one_of(HANDLER), f"must be {HANDLER}"),
    Rule("memorySize", _is_one_of(*MEMORY_SIZES), "must be a number: 64, 128, or more by 128 up to 3072", needed=True),
    Rule("timeout", _is_whole_number(1, 900), "must be a number from 1 to 900; SCF's default is 3", needed=True),
    Rule("initTimeout", _is_whole_number(3, 300), "must be a number from 3 to 300"),
    Rule("description", _matches(r"[A-Za-z0-9 ,.\n]{1,900}"), "must be letters, digits, blanks, commas, full stops"),
    Rule("role", _is_text, "must be the name of a role"),
    Rule("vpcConfig", _has_texts("vpcId", "subnetId"), "must have vpcId and subnetId"),
    Rule("cls", _has_texts("logsetId", "topicId"), "must have logsetId and topicId"),
    Rule("tags", _is_list_of(_has_texts("key", "value")), "must be a list of `key` and `value`"),
    Rule("publicAccess", _is_bool, "must be true or false"),
    Rule("eip", _is_bool, "must be true or false"),
    Rule(
        "environment",
        lambda value: variables_of({"environment": value}) is not None,
        "must have `variables`, and nothing else",
        needed=True,
    ),
    Rule(
        "instanceConcurrencyConfig",
        lambda value: isinstance(value, dict),
        "must have `enable`, `dynamicEnabled` and `maxConcurrency`",
    ),
    Rule("events", _is_list_of(lambda one: isinstance(one, dict) and len(one) == 1), "must be a list of one key each"),
)

CONCURRENCY = (
    Rule("enable", _is_one_of(True), "must be true; without it an instance takes one request at a time", needed=True),  # noqa: FBT003
    Rule("dynamicEnabled", _is_one_of(False), "must be false: the number is CONCURRENCY's", needed=True),  # noqa: FBT003
    Rule("maxConcurrency", _is_whole_number(1, 100), "must be a number from 1 to 100", needed=True),
)

_QUALIFIER = Rule("qualifier", _is_one_of("$DEFAULT"), "must be $DEFAULT", needed=True)

HTTP = (
    Rule("name", _is_text, "must be a text"),
    _QUALIFIER,
    Rule("authType", _is_one_of("NONE", "CAM"), "must be NONE or CAM", needed=True),
    Rule(
        "netConfig",
        lambda value: (
            isinstance(value, dict)
            and set(value) == {"enableExtranet", "enableIntranet"}
            and all(map(_is_bool, value.values()))
        ),
        "must say both enableExtranet and enableIntranet, true or false; what is not said is false",
        needed=True,
    ),
    Rule("enable", _is_bool, "must be true or false"),
)

CKAFKA = (
    Rule("name", _is_text, "must be <instanceId>-<topic>", needed=True),
    _QUALIFIER,
    Rule("instanceId", _matches("ckafka-[0-9a-z]+"), "must be the instance's id, ckafka-…", needed=True),
    Rule("topic", _is_text, "must be the topic's name", needed=True),
    Rule("maxMsgNum", _is_whole_number(1, 10_000), "must be a number from 1 to 10000"),
    Rule("offset", _is_one_of("latest", "earliest"), "must be latest or earliest"),
    Rule("retry", _is_whole_number(0, 10_000), "must be a number from 0 to 10000"),
    Rule("timeout", _is_whole_number(1, 60), "must be a number from 1 to 60"),
    Rule("consumerGroupName", _is_text, "must be a text"),
    Rule("enable", _is_bool, "must be true or false; what is not said is false", needed=True),
)

EVENTS = {"http": HTTP, "ckafka": CKAFKA}


def of_tree(tree: Mapping[str, Any]) -> list[str]:
    """What is wrong with the form: keys, types, ranges."""
    problems = list(_of(TOP, tree, ""))
    inputs = tree.get("inputs")
    if isinstance(inputs, dict):
        problems += _of(INPUTS, inputs, "inputs.")
        if isinstance(concurrency := inputs.get("instanceConcurrencyConfig"), dict):
            problems += _of(CONCURRENCY, concurrency, "inputs.instanceConcurrencyConfig.")
        problems += _of_events(inputs.get("events"))
        problems += _of_variables(variables_of(inputs))
    return problems


def _of(rules: tuple[Rule, ...], tree: Mapping[str, Any], path: str) -> Iterator[str]:
    known = {rule.key for rule in rules}
    for key in tree:
        if key not in known:
            yield f"{path}{key}: is not known to `signup-bridge deploy`; correct it, or take it out"
    for rule in rules:
        if rule.key not in tree:
            if rule.needed:
                yield f"{path}{rule.key}: is missing; it {rule.must}"
        elif isinstance(tree[rule.key], str) and "${" in tree[rule.key]:
            yield f"{path}{rule.key}: holds ${{…}}; only ${{env:NAME}} is resolved, and no default can be written"
        elif not rule.holds(tree[rule.key]):
            yield f"{path}{rule.key}: {rule.must}"


def _of_events(events: Any) -> Iterator[str]:
    if not isinstance(events, list):
        return
    kinds = [kind for event in events if isinstance(event, dict) for kind in event]
    for position, event in enumerate(events):
        for kind, content in event.items() if isinstance(event, dict) else ():
            path = f"inputs.events[{position}].{kind}"
            if kind not in EVENTS:
                yield f"{path}: is not known to `signup-bridge deploy`; it knows {' and '.join(EVENTS)}"
            elif kinds.count(kind) > 1:
                yield f"{path}: stands {kinds.count(kind)} times; one is enough"
            elif not isinstance(content, dict) or set(content) != {"parameters"}:
                yield f"{path}: must have `parameters`, and nothing else"
            elif isinstance(content["parameters"], dict):
                yield from _of(EVENTS[kind], content["parameters"], f"{path}.parameters.")
            else:
                yield f"{path}.parameters: must be a mapping"


def _of_variables(variables: Any) -> Iterator[str]:
    if not isinstance(variables, dict):
        return
    path = "inputs.environment.variables"
    for name, value in variables.items():
        if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name, re.ASCII):
            yield f"{path}.{name}: is no name; letters, digits and _, a letter first"
        elif name.startswith(RESERVED):
            yield f"{path}.{name}: begins as SCF's own names do ({', '.join(RESERVED)}); rename it"
        if not isinstance(value, str):
            yield f"{path}.{name}: must be a text; put it in quotes"
        elif not value.strip():
            yield f"{path}.{name}: is empty, which SCF refuses; unset it, or give it a value"
        elif "${" in value:
            yield f"{path}.{name}: holds ${{…}}; only ${{env:NAME}} is resolved, and no default can be written"
    size = sum(len(f"{name}{value}".encode("utf-8", "replace")) for name, value in variables.items())
    if size > VARIABLES_LIMIT:
        yield f"{path}: take {size} bytes; SCF allows {VARIABLES_LIMIT} in all"
