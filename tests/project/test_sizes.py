"""Test that modules, functions and folders are small enough to read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

PACKAGES = ("function/signup_bridge", "signup_emulator", "signup_deploy", "signup_toolkit", "local_services")
MAX_MODULES, MAX_LINES, MAX_FUNCTION_LINES = 8, 300, 40


def too_large(folder: Path) -> Iterator[str]:
    """Yield each module, function and folder below a folder that exceeds its limit."""
    for path in [folder, *sorted(path for path in folder.rglob("*") if path.is_dir() and path.name != "__pycache__")]:
        modules = [file for file in sorted(path.glob("*.py")) if file.name != "__init__.py"]
        if len(modules) > MAX_MODULES:
            yield f"{path.relative_to(folder)}: {len(modules)} modules"
        for file in [*path.glob("*.py"), *path.glob("*.lua")]:
            text = file.read_text()
            if (lines := len(text.splitlines())) > MAX_LINES:
                yield f"{file.relative_to(folder)}: {lines} lines"
            for node in ast.walk(ast.parse(text if file.suffix == ".py" else "")):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                    lines = node.end_lineno - node.lineno + 1
                    if lines > MAX_FUNCTION_LINES:
                        yield f"{file.relative_to(folder)}: {node.name} has {lines} lines"


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_nothing_that_is_too_large(package: str) -> None:
    assert list(too_large(ROOT / package)) == []


def test_too_large_finds_each_kind(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    for number in range(9):
        (tmp_path / "inside" / f"m{number}.py").write_text("")
    (tmp_path / "long.py").write_text("\n" * 301)
    (tmp_path / "steps.lua").write_text("-- step\n" * 301)
    (tmp_path / "function.py").write_text("def long():\n" + "    pass\n" * 40)
    assert sorted(too_large(tmp_path)) == [
        "function.py: long has 41 lines",
        "inside: 9 modules",
        "long.py: 301 lines",
        "steps.lua: 301 lines",
    ]
