"""serverless.yml as the `scf` command reads it: in comes the file and an environment, out comes its tree, resolved.

``${env:NAME}`` alone becomes the variable's value; when the variable is not set, the key vanishes. Within a longer text
it is put in; a name that is not set gives the text ``undefined`` there, which is told as a problem. Nothing else is
resolved: no default can be written, and any other ``${…}`` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_ENV = re.compile(r"\$\{env:([\w.]+)\}", re.ASCII)
TURNS = 10
"""How often a value that came in may name another variable. The command itself has no limit, and would never end."""


class ConfigError(Exception):
    """Nothing is deployed. Its text names every key that is wrong, and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("deploy refused, serverless.yml:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


@dataclass(frozen=True)
class ServerlessFile:
    """The resolved tree; which variable of the environment each key's text names (by the key's path); the problems."""

    tree: dict[str, Any] = field(repr=False)  # it holds the variables
    sources: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class _Loader(yaml.SafeLoader):
    """Reads what every YAML reader reads alike; refuses a key that stands twice, as the `scf` command's own does."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.MarkedYAMLError(problem=f"the key {key} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]  # PyYAML's own
        plain = kind is yaml.ScalarNode and implicit[0]
        return _DOUBTFUL if plain and tag in _TYPED and not _CERTAIN.fullmatch(value) else tag

    def refuse(self, node: yaml.Node) -> None:
        problem = "a text to one reader, a number or a truth value to another; put it in quotes, or write it plainly"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


_DOUBTFUL = "!doubtful"
_TYPED = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "int", "float", "timestamp")}
_CERTAIN = re.compile(r"true|false|[-+]?(0|[1-9][0-9]*)([.][0-9]+)?")
"""YAML 1.1 and 1.2 differ on the rest, such as ``no``, ``014`` and ``1:30``."""

_Loader.add_constructor(_DOUBTFUL, _Loader.refuse)


def read(path: Path, environ: Mapping[str, str]) -> ServerlessFile:
    """Read and resolve the file. Raises ConfigError when it is no YAML mapping; OSError when it cannot be read."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506  a SafeLoader
    except UnicodeDecodeError:
        raise ConfigError(["is not YAML: it is not written in UTF-8"]) from None
    except yaml.YAMLError as error:
        raise ConfigError([f"is not YAML: {_without_the_line(error)}"]) from None
    if not isinstance(tree, dict):
        raise ConfigError(["must be a mapping with `component`, `name` and `inputs`"])
    file = ServerlessFile({})
    file.tree.update(_resolved(tree, "", environ, file))
    return file


def _without_the_line(error: yaml.YAMLError) -> str:
    """What is wrong and where; what stands there may be a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or not error.problem_mark:
        return "a sign in it is not allowed in YAML"
    problem = re.sub(r"(['\"]).{5,}\1", "…", str(error.problem))
    return f"line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {problem}"


def _resolved(value: Any, path: str, environ: Mapping[str, str], file: ServerlessFile) -> Any:
    match value:
        case dict():
            members = {key: _resolved(one, f"{path}.{key}".lstrip("."), environ, file) for key, one in value.items()}
            # JSON, in which the command sends the tree, has no "undefined": the key is gone. A null stays one.
            return {key: one for key, one in members.items() if one is not None or value[key] is None}
        case list():
            return [_resolved(one, f"{path}[{position}]", environ, file) for position, one in enumerate(value)]
        case str():
            return _text(value, path, environ, file)
        case _:
            return value


def _text(value: str, path: str, environ: Mapping[str, str], file: ServerlessFile) -> str | None:
    for _ in range(TURNS):
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
                file.problems.append(f"{path}: {name} is not set, and within a longer text cannot be left out; set it")
            elif re.search(r"\$(?!\{)", environ[name]):
                file.problems.append(
                    f"{path}: {name} holds a $, of which the `scf` command makes something else within a longer text; "
                    "let one variable hold the whole text"
                )
            value = value.replace(match[0], environ.get(name, "undefined"))
    file.problems.append(f"{path}: {file.sources[path]} names itself; write its value out")
    return ""
