"""Test that the product uses no private name of a library, and tests none of the product: they may change anytime."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import ROOT

FUNCTION = ROOT / "function"

DOCUMENTED = {"_asdict", "_exit", "_fields", "_make", "_replace", "_typeshed"}
"""The methods of a named tuple, `os._exit`, and the package that contains the WSGI types."""

EXCEPTIONS: set[tuple[str, str]] = set()
"""The exceptions, as pairs of a path below function/ and the private name."""


def private_uses(source: str) -> Iterator[str]:
    """Yield private names that a module imports or uses but does not define. `Classes` checks those of self."""
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
    """Yield the names that a module, its classes and its methods define."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name


def _is_private(name: object) -> bool:
    """Return whether a name begins with an underscore and is not documented."""
    return isinstance(name, str) and name.startswith("_") and not name.endswith("__") and name not in DOCUMENTED


class Classes:
    """The classes of some modules, whose sources are given by path. All other classes belong to libraries."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.found: list[tuple[str, str, ast.ClassDef]] = []  # path, qualified name, class
        self._named: dict[str, tuple[str, ast.ClassDef]] = {}
        self._imported: dict[str, str] = {}
        for path, source in sources.items():
            parts = path.removesuffix(".py").split("/")
            module = ".".join(parts).removesuffix(".__init__")
            for node in ast.walk(ast.parse(source)):
                match node:
                    case ast.ClassDef(name=name):
                        self.found.append((path, f"{module}.{name}", node))
                        self._named[f"{module}.{name}"] = module, node
                    case ast.Import(names=names):
                        self._imported |= {f"{module}.{one.asname}": one.name for one in names if one.asname}
                    case ast.ImportFrom(module=origin, names=names, level=level):
                        package = ".".join([*(parts[:-level] if level else []), *([origin] if origin else [])])
                        for one in names:
                            self._imported[f"{module}.{one.asname or one.name}"] = f"{package}.{one.name}"

    def inherited_uses(self) -> set[tuple[str, str]]:
        """Return path and name of each private name used on self, cls or super() that none of the classes defines."""
        return {
            (path, name)
            for path, qualified, node in self.found
            for name, above in _uses(node)
            if name not in self._members(qualified.rpartition(".")[0], node, own=not above)
        }

    def _members(self, module: str, node: ast.ClassDef, *, own: bool = True) -> set[str]:
        """Return the names that a class and its bases in these modules define, or only its bases unless ``own``."""
        members = set(defined_members(node)) if own else set()
        for base in node.bases:
            name = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
            if found := self._resolve(f"{module}.{name}"):
                members |= self._members(*found)
        return members

    def _resolve(self, name: str) -> tuple[str, ast.ClassDef] | None:
        """Return module and class of a qualified name, following imports."""
        for _ in range(5):  # modules can import from each other
            if name in self._named:
                return self._named[name]
            prefixes = (name[:end] for end in range(len(name), 0, -1) if f"{name}."[end] == ".")
            prefix = next((one for one in prefixes if one in self._imported), None)
            if prefix is None:
                return None
            name = self._imported[prefix] + name[len(prefix) :]
        return None


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes of a class, except nested classes, whose self is another object."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.ClassDef):
            yield child
            yield from _nodes(child)


def _uses(node: ast.ClassDef) -> Iterator[tuple[str, bool]]:
    """Yield the private names that a class uses, and whether it uses super() instead of self or cls."""
    for one in _nodes(node):
        match one:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name) if _is_private(name):
                yield name, False
            case ast.Attribute(value=ast.Call(func=ast.Name(id="super")), attr=name) if _is_private(name):
                yield name, True


def defined_members(node: ast.ClassDef) -> Iterator[str]:
    """Yield the names that a class's body defines or its methods assign. `+=` does not define a name."""
    read = [one.target for one in _nodes(node) if isinstance(one, ast.AugAssign)]
    for one in _nodes(node):
        if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store) and one not in read:
            yield one.attr
    for one in node.body:
        match one:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.Assign() | ast.AnnAssign():
                yield from (part.id for part in ast.walk(one) if isinstance(part, ast.Name))


def sources_below(root: Path, *folders: str) -> dict[str, str]:
    paths = [path for folder in folders for path in sorted((root / folder).rglob("*.py"))]
    return {path.relative_to(root).as_posix(): path.read_text() for path in paths}


def uses_in(sources: dict[str, str]) -> set[tuple[str, str]]:
    """Return path and name of each use of another module's private name."""
    direct = {(path, name) for path, source in sources.items() for name in private_uses(source)}
    return direct | Classes(sources).inherited_uses()


def test_product_uses_no_private_name() -> None:
    assert uses_in(sources_below(FUNCTION, ".")) == EXCEPTIONS


def test_product_overrides_no_private_name() -> None:
    overridden = set()
    for _, qualified, node in Classes(sources_below(FUNCTION, "signup_bridge")).found:
        module, _, name = qualified.rpartition(".")
        one = getattr(importlib.import_module(module), name)
        private = {member for member in defined_members(node) if _is_private(member)}
        for base in one.__mro__[1:]:
            if not base.__module__.startswith("signup_bridge"):
                overridden |= {(qualified, member) for member in private & vars(base).keys()}
    assert overridden == set()


TEST_EXCEPTIONS = {("bench/peers/baseline/app.py", "_session")}
"""The SDK has no public way to enlarge its connection pool."""


def test_tests_and_benchmarks_use_no_private_name() -> None:
    assert uses_in(sources_below(ROOT, "tests", "bench")) == TEST_EXCEPTIONS


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


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("class Own(Thread):\n    def stop(self):\n        self._tstate_lock.release()", {"_tstate_lock"}),
        ("class Own(Thread):\n    def stop(self):\n        return lambda: self._stderr", {"_stderr"}),
        ("class Own(Thread):\n    def stop(self):\n        self._retries += 1", {"_retries"}),
        ("class Own(Thread):\n    @classmethod\n    def make(cls):\n        return cls._counter()", {"_counter"}),
        ("class Own(Thread):\n    def _stop(self):\n        super()._stop()", {"_stop"}),
        ("class Own(Generic[T]):\n    def get(self):\n        return self._is_protocol", {"_is_protocol"}),
        ("class Own(Thread):\n    def run(self):\n        self._x = 1\n    def x(self):\n        self._x", set()),
        ("class Own(Thread):\n    _name: str\n    def name(self):\n        return self._name", set()),
        ("class Own(Thread):\n    def _run(self):\n        pass\n    def run(self):\n        self._run()", set()),
        (
            "class Base(Thread):\n    _x = 1\nclass Own(Base[int]):\n    def x(self):\n        self._x, super()._x",
            set(),
        ),
        (
            "class Outer:\n    _x = 1\n    class Own(Thread):\n        def get(self):\n            return self._x",
            {"_x"},
        ),
        ("class Own(NamedTuple):\n    def moved(self):\n        return self._replace(x=1)", set()),
    ],
)
def test_inherited_uses_finds_private_names_of_library_bases(source: str, expected: set[str]) -> None:
    assert {name for _, name in Classes({"own.py": source}).inherited_uses()} == expected


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from own.base import Base\nclass Own(Base):\n    def get(self):\n        return self._x", False),
        ("from .base import Base as One\nclass Own(One):\n    def get(self):\n        return self._x", False),
        ("from . import Base\nclass Own(Base):\n    def get(self):\n        return self._x", False),
        ("from . import base\nclass Own(base.Base):\n    def get(self):\n        return self._x", False),
        ("import own.base as one\nclass Own(one.Base):\n    def get(self):\n        return self._x", False),
        ("from other.base import Base\nclass Own(Base):\n    def get(self):\n        return self._x", True),
    ],
)
def test_inherited_uses_resolves_bases_of_other_modules(source: str, found: bool) -> None:
    modules = {
        "own/__init__.py": "from .base import Base",
        "own/base.py": "class Base(Thread):\n    def __init__(self):\n        self._x = 1",
        "own/user.py": source,
    }
    assert Classes(modules).inherited_uses() == ({("own/user.py", "_x")} if found else set())
