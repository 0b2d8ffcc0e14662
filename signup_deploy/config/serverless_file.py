"""Read serverless.yml and resolve its variables as the `scf` command does.

A value ``${env:NAME}`` is replaced with the environment variable's value. If the variable is not set, the key is
removed; within a longer string, the name would become ``undefined``, which is reported as a problem. There are no
defaults, and any other ``${…}`` stays unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_ENV = re.compile(r"\$\{env:([\w.]+)\}", re.ASCII)
MAX_SUBSTITUTIONS = 10
"""Maximum number of nested substitutions in a value. The `scf` command has no limit, and might not terminate."""


class ConfigError(Exception):
    """serverless.yml is not valid. The text names every invalid key and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("deploy: serverless.yml is invalid:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class ServerlessFile:
    """The resolved tree, the environment variable of each value by the path of its key, and the problems."""

    tree: dict[str, Any] = field(repr=False)  # it contains the variables
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Load only values that all YAML parsers load alike. Reject duplicate keys, as the `scf` command does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"duplicate key {key}", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML's own
        plain = kind is yaml.ScalarNode and implicit[0]
        return _AMBIGUOUS if plain and tag in _TYPED and not _UNAMBIGUOUS.fullmatch(value) else tag

    def refuse(self, node: yaml.Node) -> None:
        problem = "YAML parsers load this value with different types; put it in quotes, or write a plain value"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_AMBIGUOUS = "!ambiguous"
_TYPED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp")}
_UNAMBIGUOUS = re.compile(r"true|false|[-+]?(0|[1-9][0-9]*)([.][0-9]+)?")
"""YAML 1.1 and 1.2 differ for other values, such as ``no``, ``014`` and ``1:30``."""

_Loader.add_constructor(_AMBIGUOUS, _Loader.refuse)


def read(path: Path, environ: Mapping[str, str]) -> ServerlessFile:
    """Read and resolve the file. Raises ConfigError if it is not a YAML mapping, OSError if it is not readable."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  a SafeLoader
    except UnicodeDecodeError:
        raise ConfigError(["not valid YAML: must be encoded in UTF-8"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"not valid YAML: {_describe_error(error)}"]) from None
    if not isinstance(tree, dict):
        raise ConfigError(["must be a mapping with `component`, `name` and `inputs`"])
    file = ServerlessFile({})
    file.tree.update(_resolve(tree, "", environ, file))
    return file


def _describe_error(error: yaml.YAMLError) -> str:
    """Return the error and its position, without the text at that position, which may be a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem_mark:
        return "a character is not allowed in YAML"
    problem = re.sub(r"(['\"]).{5,}\1", "…", str(error.problem))
    return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {problem}"


def _resolve(value: Any, path: str, environ: Mapping[str, str], file: ServerlessFile) -> Any:
    match value:
        case dict():
            members = {key: _resolve(one, f"{path}.{key}".lstrip("."), environ, file) for key, one in value.items()}
            # The command sends JSON, which has no "undefined", so the key is removed. A null is kept.
            return {key: one for key, one in members.items() if one is not None or value[key] is None}
        case list():
            return [_resolve(one, f"{path}[{position}]", environ, file) for position, one in enumerate(value)]
        case str():
            return _resolve_string(value, path, environ, file)
        case _:
            return value


def _resolve_string(value: str, path: str, environ: Mapping[str, str], file: ServerlessFile) -> str | None:
    for _ in range(MAX_SUBSTITUTIONS):
        match = _ENV.search(value)
        if match is None:
            return value
        name = match[1]
        file.sources.setdefault(path, name)
        if match[0] == value:
            if name not in environ:
                return None
            value = environ[name]
        else:
            if name not in environ:
                file.problems.append(f"{path}: {name} is not set, and cannot be omitted within a longer string; set it")
            elif re.search(r"\$(?!\{)", environ[name]):
                file.problems.append(
                    f"{path}: {name} contains a $, which the `scf` command changes within a longer string; "
                    "put the whole string into one variable"
                )
            value = value.replace(match[0], environ.get(name, "undefined"))
    file.problems.append(f"{path}: {file.sources[path]} refers to itself; set its value directly")
    return ""
