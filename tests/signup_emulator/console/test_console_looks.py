"""Test the accessibility of the console's page: colour schemes, widths, keyboard, and the rules of axe-core."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.support import ROOT
from tests.support.emulator.browser import NARROW, WIDE, Console
from tests.support.emulator.make_run import Pair
from tests.support.emulator.screenshots import PICTURES

pytestmark = pytest.mark.browser

AXE = resources.files("axe_playwright_python") / "axe.min.js"

Another = Callable[..., Console]


def with_everything_unfolded(console: Console) -> Console:
    """Return the console with deliveries of each kind, an armed fault, and a row and all sections unfolded."""
    console.open()
    console.sign_up("18766667777")
    way = console.unfold(console.newest)
    for pressed in ("Redeliver", "Redeliver tampered"):
        console.button(pressed, way).click()
        expect(way.get_by_role("button", name="See delivery")).to_be_visible()
    console.pair.post("deliveries", {"contact": "somebody.with.a.long.name@mail.example.com", "verify_code": "000000"})
    console.pair.post("faults", {"fault": "InternalError.VerifyCodeErr", "contact": "somebody@example.com"})
    expect(console.rows).to_have_count(5)
    console.pair.post("codes", {"contact": "somebody.with.a.long.name@mail.example.com"})
    expect(console.codes).to_have_count(2)
    for summary in console.page.locator("summary").all():
        summary.click()
    return console


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(another: Another, scheme: str) -> None:
    page = with_everything_unfolded(another(color_scheme=scheme)).page
    page.evaluate(AXE.read_text())
    for size in (WIDE, NARROW):
        page.set_viewport_size(size)
        found: dict[str, Any] = page.evaluate("axe.run({resultTypes: ['violations']})")
        violations = [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]]
        assert violations == [], size
        assert len(found["passes"]) > 20


def test_narrow_page_does_not_scroll_sideways(another: Another) -> None:
    console = another(viewport=NARROW, has_touch=True).open()
    assert console.sideways() == 0
    with_everything_unfolded(console)
    assert console.sideways() == 0
    cut = "all => all.filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.outerHTML)"
    assert console.page.locator("main :is(section, li, pre, td, button, p)").evaluate_all(cut) == []


def test_page_follows_color_scheme_of_system(another: Another) -> None:
    def lightness(scheme: str) -> tuple[int, int]:
        page = another(color_scheme=scheme).open().page
        colours = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
            ".map((colour) => Math.max(...colour.match(/\\d+/g).map(Number)))"
        )
        return colours[0], colours[1]

    ground, text = lightness("light")
    assert ground > 230
    assert text < 60
    ground, text = lightness("dark")
    assert ground < 40
    assert text > 220


def test_page_requests_only_its_own_server(console: Console, pair: Pair) -> None:
    console.open()
    assert len(console.asked) > 10
    assert [url for url in console.asked if not url.startswith((f"{pair.url}/", "data:"))] == []


FOCUSED = "document.activeElement.id || document.activeElement.textContent.trim()"


def test_signup_works_by_keyboard_only(console: Console) -> None:
    console.open()
    press = console.page.keyboard.press

    def tab_to(wanted: str) -> None:
        for _ in range(60):
            if console.page.evaluate(FOCUSED) == wanted:
                return
            press("Tab")
        pytest.fail(f"{wanted} is not reached by Tab")

    press("Tab")
    assert console.page.evaluate(FOCUSED) == "Skip to the console"
    press("Enter")
    tab_to("Send code")
    press("Enter")
    expect(console.code).to_be_focused()
    press("Shift+Tab")
    assert console.page.evaluate(FOCUSED) == "use-newest"
    press("Enter")
    expect(console.button("Verify")).to_be_focused()
    press("Enter")
    expect(console.result).to_have_text("You are verified. Welcome!")

    tab_to(str(console.newest.locator("h3 button").get_attribute("id")))
    press("Enter")
    tab_to("Redeliver")
    press("Enter")
    expect(console.newest).to_contain_text("replay")
    assert console.page.evaluate(FOCUSED) == "Redeliver"


def test_every_control_is_reached_by_tab_with_visible_focus(console: Console) -> None:
    with_everything_unfolded(console)
    there = console.page.evaluate(
        "window.left = new Set([...document.querySelectorAll('a, button, input, select, summary')]"
        ".filter((one) => one.checkVisibility())); document.activeElement.blur(); window.left.size"
    )
    assert there > 40
    hidden = []
    for _ in range(there + 10):
        console.page.keyboard.press("Tab")
        hidden += console.page.evaluate(
            "(() => { const one = document.activeElement; const style = getComputedStyle(one);"
            " return left.delete(one) && style.outlineStyle === 'none' ? [one.outerHTML] : [] })()"
        )
    assert console.page.evaluate("[...left].map((one) => one.outerHTML)") == []
    assert hidden == []


def test_readme_shows_pictures_of_page() -> None:
    readme = (ROOT / "README.md").read_text()
    for picture in PICTURES.values():
        assert str(picture.relative_to(ROOT)) in readme
        assert 20_000 < picture.stat().st_size < 250_000
