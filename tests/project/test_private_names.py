"""The product uses no private name of a library, and the tests none of the product: it may change without notice."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.support import ROOT

FUNCTION = ROOT / "function"

DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace", "_typeshed"}
"""The methods of a named tuple, `os._exit`, and the package of types that WSGI's are in."""

EXCEPTIONS: set[tuple[str, str]] = set()
"""The private names that the product may use, as pairs of a path below function/ and the name."""


def private_uses(source: str) -> Iterator[str]:
    """Return the private names that a module imports or reaches, and neither defines nor reaches by self or cls."""
    tree = ast.parse(source)
    own = set(_defined(tree))
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (part for one in names for part in one.name.split(".") if _is_private(part))
            case ast.ImportFrom(module=module, names=names):
                parts = [*(module or "").split("."), *(one.name for one in names)]
                yield from (part for part in parts if _is_private(part))
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                pass
            case ast.Attribute(attr=name) if _is_private(name) and name not in own:
                yield name
            case ast.Call(
                func=ast.Name(id="getattr" | "setattr" | "delattr" | "hasattr")
                | ast.Attribute(attr="setattr" | "delattr"),
                args=[_, literal, *_],
            ):
                if isinstance(literal, ast.Constant) and _is_private(literal.value) and literal.value not in own:
                    yield str(literal.value)


def _defined(tree: ast.Module) -> Iterator[str]:
    """Return the names that a module, its classes and its methods define."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name


def _is_private(name: object) -> bool:
    """Tell whether a name begins with an underscore and no documentation promises it."""
    return isinstance(name, str) and name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


def uses_of_the_product() -> set[tuple[str, str]]:
    paths = sorted(path for path in FUNCTION.rglob("*.py") if "__pycache__" not in path.parts)
    return {(str(path.relative_to(FUNCTION)), name) for path in paths for name in private_uses(path.read_text())}


def test_product_uses_no_private_name() -> None:
    assert uses_of_the_product() == EXCEPTIONS


TEST_EXCEPTIONS = {("bench/peers/baseline/app.py", "_session")}
"""The SDK's connection pool can be enlarged in no other way."""


def test_tests_and_benchmarks_use_no_private_name() -> None:
    paths = [path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    found = {(path.relative_to(ROOT).as_posix(), name) for path in paths for name in private_uses(path.read_text())}
    assert found == TEST_EXCEPTIONS


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import http.client\nhttp.client.HTTPResponse._close_conn", ["_close_conn"]),
        ("from gunicorn.workers.gthread import _DEFER, ThreadWorker", ["_DEFER"]),
        ("from _socket import socket", ["_socket"]),
        ("import concurrent._base", ["_base"]),
        ("worker.tpool._work_queue.qsize()", ["_work_queue"]),
        ("self.tpool._work_queue", ["_work_queue"]),
        ("getattr(worker, '_timeout')", ["_timeout"]),
        ("getattr(worker, name, '_timeout')", []),
        ("monkeypatch.setattr(worker, '_timeout', 1)", ["_timeout"]),
        ("class Own:\n    def __init__(self):\n        self._name = 1\ndef read(own):\n    return own._name", []),
        ("class Own:\n    _name = 1\n    def read(self, other):\n        return self._name + other._name", []),
        ("self._inherited", []),
        ("__version__ = module.__version__", []),
        ("from __future__ import annotations", []),
    ],
)
def test_private_uses_finds_what_is_reached_in_another_module(source: str, expected: list[str]) -> None:
    assert list(private_uses(source)) == expected
