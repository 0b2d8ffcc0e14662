"""Define fixtures for the emulator: the processes of `make run`, and its console page in a browser."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import log_audit
from tests.support.emulator.make_run import Pair, running_pair

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.emulator.browser import Console


@pytest.fixture(scope="session")
def pair_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(pair_of_the_session: Pair) -> Iterator[Pair]:
    """Return the emulator and the bridge of `make run`, reset to their initial state."""
    pair_of_the_session.reset()
    yield pair_of_the_session
    log_audit.carry_document(pair_of_the_session.get("codes"))


@pytest.fixture(scope="module")  # while the browser runs, other tests in its thread cannot run an event loop
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium. Skip the test if there is none, or fail it under CI."""
    from tests.support.emulator import browser

    found = browser.chromium()
    if found is None:
        missing = f"no Chromium on this machine: none of {', '.join(browser.NAMES)} is on PATH"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with browser.running_browser(found) as running:
        yield running


@pytest.fixture
def another(chromium: Browser, pair: Pair) -> Iterator[Callable[..., Console]]:
    """Return a function that opens the console in a new browser context. Fail if a page reports a problem."""
    from tests.support.emulator.browser import Console

    opened: list[Console] = []

    def create(**options: Any) -> Console:
        opened.append(Console(chromium, pair, **options))
        return opened[-1]

    yield create
    for console in opened:
        console.context.close()
    assert [problem for console in opened for problem in console.problems] == []


@pytest.fixture
def console(another: Callable[..., Console]) -> Console:
    """Open the console in a new browser context."""
    return another()
