"""Check that tests fail for each small change of the code (`make mutants`).

Each mutant of a module runs the module's tests in a separate process, which imports the mutant instead of the module.
No file is changed. A mutant that survives must be explained in explained.yml, and each mutant there must survive.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.mutants.operators import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[2]
TESTS = {
    "signup_bridge.inbound.signatures": ("tests/inbound/test_signatures.py",),
    "signup_bridge.core.outcomes": (
        "tests/core/test_outcomes.py",
        "tests/service/test_conceal_already_verified.py",
        "tests/web/test_responses.py",
        "tests/web/test_profiles.py",
        "tests/web/test_hook_errors.py",
        "tests/project/test_project.py",
    ),
    "signup_bridge.upstream.error_codes": ("tests/core/test_outcomes.py",),
    "signup_bridge.web.profiles": (
        "tests/web/test_profiles.py",
        "tests/web/test_hook_errors.py",
        "tests/test_settings.py",
    ),
    "signup_bridge.web.responses": (
        "tests/web/test_responses.py",
        "tests/service/test_conceal_already_verified.py",
        "tests/service/test_code_sending.py",
        "tests/web/test_profiles.py",
        "tests/web/test_hook_errors.py",
        "tests/web/test_routes.py",
    ),
}
"""The tests of each mutated module, the fastest first."""

LIMIT = 120
"""Seconds after which a mutant that hangs its tests is killed."""

OPTIONS = (
    "-x", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider",
    "-W", "ignore::pytest.PytestAssertRewriteWarning",  # IMPORTED_ONCE causes it
    "-k", "not within_five_seconds",  # on a busy machine, they would fail without a mutant
)  # fmt: skip
IMPORTED_ONCE = ("cryptography.x509", "flask", "hypothesis", "playwright.sync_api", "redis", "requests")


class Explained(NamedTuple):
    module: str
    where: str
    line: str
    becomes: str


class _Instead(PathFinder):
    """A finder that returns the mutant's source for its module."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant

    def find_spec(  # type: ignore[override]  # PathFinder's is a class method
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        if fullname != self._mutant.module:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        spec.loader = _Loader(fullname, spec.origin, self._mutant.source)
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        return compile(self._source, self.path, "exec", dont_inherit=True)


def main() -> None:
    os.chdir(ROOT)
    os.environ["CI"] = "true"  # Hypothesis uses the same examples each time, and no test may be skipped
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    modules = sys.argv[1:] or list(TESTS)
    began = time.monotonic()
    unchanged = [Mutant(name, "unchanged", "", "", _path(name).read_text()) for name in modules]
    if failing := [mutant.module for mutant, survived in _tried(unchanged) if not survived]:
        sys.exit(f"tests fail without a mutant: {', '.join(failing)}")
    mutants = [mutant for name in modules for mutant in mutants_of(name, _path(name).read_text())]
    reasons = _reasons(modules)
    survivors: list[Explained] = []
    unexplained = 0
    for mutant, survived in _tried(mutants):
        if survived:
            survivors.append(Explained(*mutant[:4]))
            if survivors[-1] not in reasons:
                unexplained += 1
                print(f"SURVIVED {mutant}", flush=True)
    stale = reasons - set(survivors)
    for one in stale:
        print(f"EXPLAINED, but killed or no longer a mutant: {one}")
    for name in modules:
        made = sum(mutant.module == name for mutant in mutants)
        left = sum(survivor.module == name for survivor in survivors)
        print(f"{name}: {made} mutants, {made - left} killed, {left} survived")
    seconds = time.monotonic() - began
    print(f"{len(mutants)} mutants in {seconds:.0f} s; {len(survivors)} survived, {unexplained} unexplained")
    sys.exit(1 if unexplained or stale else 0)


def _path(module: str) -> Path:
    return ROOT / "function" / f"{module.replace('.', '/')}.py"


def _reasons(modules: Iterable[str]) -> set[Explained]:
    """Return the mutants that may survive. Each entry has a `why`, and one mutant or more under `becomes`."""
    entries = yaml.safe_load(Path(__file__).with_name("explained.yml").read_text())
    assert all(entry["why"] for entry in entries)
    return {
        Explained(entry["module"], entry["where"], entry["line"], becomes)
        for entry in entries
        if entry["module"] in modules
        for becomes in entry["becomes"]
    }


def _tried(mutants: Iterable[Mutant]) -> Iterator[tuple[Mutant, bool]]:
    """Yield each mutant and whether it survived its tests. As many run in parallel as there are processors."""
    running: dict[int, Mutant] = {}
    for mutant in mutants:
        running[_start(mutant)] = mutant
        if len(running) >= (os.cpu_count() or 1):
            yield _ended(running)
    while running:
        yield _ended(running)


def _ended(running: dict[int, Mutant]) -> tuple[Mutant, bool]:
    process, status = os.wait()
    return running.pop(process), status == 0


def _start(mutant: Mutant) -> int:
    process = os.fork()
    if process:
        return process
    try:
        signal.alarm(LIMIT)
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        sys.meta_path.insert(0, _Instead(mutant))
        status = int(pytest.main([*OPTIONS, *TESTS[mutant.module]]))
    except BaseException:  # noqa: BLE001  the child must not continue as the parent does
        status = 1
    os._exit(status)


main()
