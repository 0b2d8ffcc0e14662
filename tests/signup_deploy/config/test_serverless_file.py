"""Test how serverless.yml is parsed: variables, invalid or ambiguous YAML, and errors without quoted lines."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from signup_deploy.config.serverless_file import ConfigError, read
from tests.support.deployer.deployments import ENVIRON, YAML, load, problems


@pytest.mark.parametrize(
    ("written", "environ", "expected"),
    [
        ("${env:A}", {"A": "1"}, "1"),
        ("${env:A}", {}, None),
        ("${env:A}", {"A": ""}, ""),
        ("<${env:A}, ${env:B.c}>", {"A": "1", "B.c": "2"}, "<1, 2>"),
        ("${env:A}", {"A": "${env:B}", "B": "2"}, "2"),
        ("${env:A, 'default'}", {"A": "1"}, "${env:A, 'default'}"),
        ("${env:A:-default}", {"A": "1"}, "${env:A:-default}"),
        ("${env: A}", {"A": "1"}, "${env: A}"),
        ("${name}", {}, "${name}"),
    ],
)
def test_read_resolves_variables_like_scf_command(
    tmp_path: Path, written: str, environ: dict[str, str], expected: str | None
) -> None:
    path = tmp_path / "serverless.yml"
    path.write_text(yaml.safe_dump({"inputs": {"key": written, "list": [written], "null": None}}))
    file = read(path, environ)
    keys = {"key": expected} if expected is not None else {}
    assert file.tree == {"inputs": {**keys, "list": [expected], "null": None}}
    assert file.problems == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "publicAccess: true",
            "publicAccess: no",
            "column 17: YAML parsers load this value with different",
        ),
        ("publicAccess: true", "publicAccess: ON", "column 17: YAML parsers load this value"),
        ("timeout: 12 ", "timeout: 014 ", "line 23, column 12: YAML parsers load this value"),
        ("timeout: 12 ", "timeout: 1:30 ", "line 23, column 12: YAML parsers load this value"),
        ("timeout: 12 ", "timeout: 1_2 ", "line 23, column 12: YAML parsers load this value"),
        ("${env:LEDGER_KEY}", "2026-13-45", "column 19: YAML parsers load this value"),
        ("${env:LEDGER_KEY}", "canary: canary: x", "mapping values are not allowed here"),
        ("${env:LEDGER_KEY}", '"canary\\q"', "found unknown escape character 'q'"),
        ("${env:LEDGER_KEY}", "*canary", "found undefined alias …"),
        ("${env:LEDGER_KEY}", "canary\n      LEDGER_KEY: canary", "duplicate key LEDGER_KEY"),
        ("${env:LEDGER_KEY}", "canary\x00", "a character is not allowed in YAML"),
    ],
)
def test_read_invalid_yaml_is_reported_without_its_text(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in YAML
    (found,) = problems(tmp_path, YAML.replace(old, new))
    assert found.startswith("not valid YAML: ")
    assert problem in found
    assert "canary" not in found


def test_read_unambiguous_scalars_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "serverless.yml"
    path.write_text("a: [true, false, 0, -1, 1.5, null, ~, 'no', \"014\", a b, 1.2.3]")
    assert read(path, {}).tree == {"a": [True, False, 0, -1, 1.5, None, None, "no", "014", "a b", "1.2.3"]}


def test_variable_with_dollar_inside_text_is_rejected(tmp_path: Path) -> None:
    text = YAML.replace("${env:LEDGER_URL}", "rediss://:${env:PASSWORD}@h:1/0")
    (problem,) = problems(tmp_path, text, PASSWORD="canary$&", LEDGER_KEY="k" * 32)
    assert problem.startswith("inputs.environment.variables.LEDGER_URL: PASSWORD contains a $, which the `scf` command")
    assert "canary" not in problem
    assert load(tmp_path, YAML, LEDGER_URL="rediss://:p$&@h:1/0", LEDGER_KEY="k" * 32).shared_ledger


def test_file_repr_hides_variables(tmp_path: Path) -> None:
    path = tmp_path / "serverless.yml"
    path.write_text(YAML)
    assert "canary" not in repr(read(path, ENVIRON))


@pytest.mark.parametrize("text", ["a: [", "- a", "", "\xe9"])
def test_read_other_file_is_reported(tmp_path: Path, text: str) -> None:
    path = tmp_path / "serverless.yml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"not valid YAML|must be a mapping"):
        read(path, {})
