"""Control the console in a real browser: start a Chromium and perform a person's actions on the page."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect, sync_playwright

from tests.support.emulator.make_run import Pair

NAMES = ("chromium", "chromium-browser", "google-chrome")
PATIENCE = 90_000
"""Timeout of each step on the page in milliseconds. It is long because the machine may be busy."""

NARROW: ViewportSize = {"width": 390, "height": 844}
WIDE: ViewportSize = {"width": 1280, "height": 900}

expect.set_options(timeout=PATIENCE)


def chromium() -> str | None:
    """Return the path of this machine's Chromium, or None."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def running_browser(path: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


class Console:
    """The open page and a person's actions on it. ``problems`` has the browser's error messages."""

    def __init__(self, browser: Browser, pair: Pair, **options: Any) -> None:
        context_options: dict[str, Any] = {"viewport": WIDE, "reduced_motion": "reduce", "locale": "en-GB", **options}
        self.context = browser.new_context(**context_options)
        self.context.set_default_timeout(PATIENCE)
        self.pair = pair
        self.problems: list[str] = []
        self.asked: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.text} {message.location}")

    def forgive(self, words: str) -> None:
        """Check that the browser reported this problem and no other, and clear it."""
        assert self.problems
        assert [problem for problem in self.problems if words not in problem] == []
        self.problems.clear()

    def open(self) -> Console:
        self.page.goto(self.pair.url)
        return self.live()

    def live(self) -> Console:
        expect(self.page.locator("#connection")).to_have_text("Live")
        return self

    @property
    def contact(self) -> Locator:
        return self.page.get_by_label("Phone number or email")

    @property
    def code(self) -> Locator:
        return self.page.get_by_label("Code", exact=True)

    @property
    def result(self) -> Locator:
        return self.page.locator("#result .says")

    @property
    def rows(self) -> Locator:
        return self.page.locator("#delivery-list > li")

    @property
    def newest(self) -> Locator:
        return self.rows.first

    @property
    def codes(self) -> Locator:
        return self.page.locator("#codes > li")

    def button(self, name: str, within: Locator | None = None) -> Locator:
        return (within or self.page).get_by_role("button", name=name, exact=True)

    def send(self, contact: str) -> str:
        """Request a code and return it."""
        self.contact.fill(contact)
        self.button("Send code").click()
        expect(self.code).to_be_focused()
        shown = self.page.locator("#newest-code")
        expect(shown).to_have_text(re.compile(r"\d{6}"))
        return shown.inner_text()

    def verify(self, code: str) -> None:
        """Enter the code and wait until the page shows the result."""
        self.code.fill(code)
        self.button("Verify").click()
        expect(self.page.locator("#result").get_by_role("button", name="See delivery")).to_be_visible()

    def sign_up(self, contact: str) -> None:
        """Request a code and verify it, and wait until the list shows both deliveries."""
        before = self.rows.count()
        self.verify(self.send(contact))
        expect(self.rows).to_have_count(before + 2)

    def unfold(self, row: Locator) -> Locator:
        """Unfold a row and return its details, even if the row is no longer the newest."""
        held = self.page.locator(f"#{row.get_attribute('id')}")
        head = held.locator("h3 button")
        head.click()
        expect(head).to_have_attribute("aria-expanded", "true")
        return held.locator(".panel")

    def sideways(self) -> int:
        """Return by how many pixels the page is wider than its window."""
        wide: int = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        return wide


def wrong(code: str) -> str:
    """Return a code that differs from this one."""
    return f"{(int(code) + 1) % 10**6:06}"
