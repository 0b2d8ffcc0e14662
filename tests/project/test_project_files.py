"""Test that licence, policies, editor settings, pre-commit, CI and issue forms agree with the project."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
from typing import Any

import pytest
import yaml
from signup_bridge import __version__

from tests.support import ROOT

GITHUB = ROOT / ".github"
FORMS = ("bug.yml", "feature.yml")


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


def make_commands(target: str) -> list[str]:
    """Return the commands that `make TARGET` would run after it has created the environment."""
    environ = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["make", "-n", target], cwd=ROOT, env=environ, capture_output=True, text=True, check=True)
    return [line for line in done.stdout.splitlines() if "tools/venv.py" not in line]


def test_license_is_apache_with_the_authors_name() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert "the signup-bridge authors" in text
    assert "[yyyy]" not in text


def test_pre_commit_runs_the_commands_of_make_lint() -> None:
    (repository,) = load(".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    hooks = repository["hooks"]
    assert [hook["entry"] for hook in hooks] == make_commands("lint")
    assert {(hook["language"], hook["pass_filenames"]) for hook in hooks} == {("system", False)}


def test_ci_workflow_calls_the_ci_script() -> None:
    workflow = load(".github/workflows/ci.yml")
    (job,) = workflow["jobs"].values()
    assert [step["run"] for step in job["steps"] if "run" in step] == ["bash .ci/run"]
    assert (ROOT / ".ci" / "run").exists()
    # YAML 1.1 reads the key `on` as a boolean.
    assert set(workflow[True]) == {"push", "pull_request"}
    assert workflow["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", FORMS)
def test_issue_form_is_valid(name: str) -> None:
    form = load(f".github/ISSUE_TEMPLATE/{name}")
    assert set(form) == {"name", "description", "labels", "body"}
    ids = [element["id"] for element in form["body"] if element["type"] != "markdown"]
    assert len(ids) == len(set(ids)) > 0
    for element in form["body"]:
        assert element["type"] in ("markdown", "input", "textarea", "dropdown")
        assert element["attributes"].get("label" if element["type"] != "markdown" else "value")
        assert element["type"] != "dropdown" or len(element["attributes"]["options"]) > 1


def test_every_issue_form_is_tested() -> None:
    names = {path.name for path in (GITHUB / "ISSUE_TEMPLATE").iterdir()}
    assert names == {*FORMS, "config.yml"}
    assert load(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": False}


def test_env_example_is_generated_from_the_settings() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "env_example.py"))
    text = (ROOT / ".env.example").read_text()
    assert text == tool["render"]()
    assert re.findall("^([A-Z_]+)=$", text, re.MULTILINE) == [
        "TENCENT_SECRET_ID",
        "TENCENT_SECRET_KEY",
        "WEBHOOK_SECRETS",
    ]


def test_env_example_is_valid_for_a_shell() -> None:
    command = 'set -a; . ./.env.example; printf %s "${WEBHOOK_SECRETS-unset}${LOG_LEVEL-unset}"'
    environ = {"PATH": os.environ["PATH"]}
    done = subprocess.run(["sh", "-euc", command], cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "unset", "")


def test_changelog_dates_the_current_version() -> None:
    heading = rf"^## \[{re.escape(__version__)}\] - [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}$"
    assert re.search(heading, (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_policy_names_only_files_and_targets_that_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"make ([a-z-]+)[`\n]", text)) <= targets | {"help"}
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("https://") or (ROOT / link).exists(), link
    for path in re.findall(r"tests/[a-z_/]+\.py", text):
        assert (ROOT / path).exists()


def test_editorconfig_and_ruff_agree_on_the_length_of_a_line() -> None:
    editor = re.search("^max_line_length = ([0-9]+)$", (ROOT / ".editorconfig").read_text(), re.MULTILINE)
    ruff = re.search("^line-length = ([0-9]+)$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert editor
    assert ruff
    assert editor[1] == ruff[1]


def makefile() -> str:
    return (ROOT / "Makefile").read_text()


def test_make_help_lists_every_target() -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", makefile(), re.MULTILINE)
    listed = set(re.findall(r"echo 'make ([a-z-]+) ", makefile()))
    within = {"help", "bench-check"}  # `help` prints the list, and the line of `bench` names the other
    assert listed == set(phony.split()) - within


def test_contributing_names_the_targets_without_packages_for_development() -> None:
    recipes = re.findall(r"^([a-z -]+):.*\n\t@\$\(PYTHON\) tools/venv\.py$", makefile(), re.MULTILINE)
    (sentence,) = re.findall(
        r"`make run`, (.*?) install only", (ROOT / "CONTRIBUTING.md").read_text().replace("\n", " ")
    )
    assert {"run", *re.findall("`([a-z-]+)`", sentence)} == {*recipes, "run-scf"}
    assert make_commands("dev") == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "docs/explanation/design.md"])
def test_document_tells_the_direction_of_imports_as_import_linter_does(name: str) -> None:
    (contract,) = re.findall(
        r"^layers = \[\n(.*?)\n\]", (ROOT / "pyproject.toml").read_text(), re.MULTILINE | re.DOTALL
    )
    layers = [set(re.findall("[a-z_]+", line)) for line in contract.splitlines()]
    (told,) = re.findall(r"(?:one direction|direction of imports): (.*?)\.\s", (ROOT / name).read_text(), re.DOTALL)
    assert [set(re.findall("`([a-z_]+)`", floor)) for floor in told.split("→")] == layers[1:]  # except for __main__


def test_contributing_lists_every_module_and_sub_package_of_the_function() -> None:
    layout = (ROOT / "CONTRIBUTING.md").read_text()
    package = ROOT / "function" / "signup_bridge"
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    modules = {path.name for path in package.glob("[!_]*.py")}
    assert [name for name in sorted(folders | modules) if not re.search(rf"[`/]{re.escape(name)}`", layout)] == []
