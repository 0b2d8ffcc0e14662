"""Write docs/images/console.png and console-dark.png, which show the console after some signups.

Usage: `make screenshots`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.support import ROOT
from tests.support.emulator.browser import NAMES, Console, chromium, running_browser, wrong
from tests.support.emulator.make_run import Pair, running_pair

PICTURES = {"light": ROOT / "docs" / "images" / "console.png", "dark": ROOT / "docs" / "images" / "console-dark.png"}
SIZE = {"width": 1280, "height": 1120}


def main() -> int:
    found = chromium()
    if found is None:
        print(f"screenshots: Chromium is missing; install one of {', '.join(NAMES)}", file=sys.stderr)  # noqa: T201
        return 1
    with tempfile.TemporaryDirectory() as folder, running_pair(Path(folder)) as pair, running_browser(found) as browser:
        for scheme, picture in PICTURES.items():
            take(browser, pair, scheme, picture)
    return 0


def take(browser: Browser, pair: Pair, scheme: str, picture: Path) -> None:
    """Take the picture after a signup with unfolded details, a forgery, a wrong code, a reconciled reply, a signup."""
    pair.reset()
    console = Console(browser, pair, color_scheme=scheme, viewport=SIZE).open()
    console.sign_up("18766550001")
    first = console.newest.get_attribute("id")
    pair.post(f"deliveries/{number(console)}/redeliver", {"as": "tampered"})
    console.verify(wrong(console.send("18766550009")))
    code = console.send("jo@example.com")
    console.button("Hang").click()
    expect(console.page.locator("#armed > li")).to_have_count(1)
    console.verify(code)
    pair.post(f"deliveries/{number(console)}/redeliver", {"as": "fresh"})
    console.sign_up("18766550002")
    expect(console.rows).to_have_count(10)
    console.unfold(console.page.locator(f"#{first}"))
    console.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    console.page.screenshot(path=picture)
    console.context.close()


def number(console: Console) -> str:
    return str(console.newest.get_attribute("id")).removeprefix("delivery-")


if __name__ == "__main__":
    sys.exit(main())
