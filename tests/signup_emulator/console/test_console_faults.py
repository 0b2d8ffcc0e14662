"""Test faults on the console's page: each can be armed, and some are followed to their outcome."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.support.emulator.browser import Console
from tests.support.emulator.make_run import Pair

pytestmark = pytest.mark.browser

QUICK = [
    ("Hang", "outcome-unknown", 504),
    ("Reset the connection", "outcome-unknown", 504),
    ("Do not process", "outcome-unknown", 504),
    ("Status 502", "upstream-failed", 502),
    ("Throttle", "verified", 200),  # the bridge retries the call
    ("Reject the code", "code-incorrect", 422),
]


def test_each_fault_can_be_armed_on_page(console: Console, pair: Pair) -> None:
    console.open()
    known = pair.get("faults")
    names = [one["code"] for one in known["api_codes"]] + [one["fault"] for one in known["wire"]]
    assert len(names) > 14
    select, armed = console.page.get_by_label("Fault", exact=True), console.page.locator("#armed > li")
    assert sorted(select.locator("option").evaluate_all("all => all.map((one) => one.value)")) == sorted(names)
    console.page.get_by_label("Contact", exact=True).fill("18700000000")
    for name in names:
        select.select_option(name)
        assert console.page.locator("#fault-meaning").inner_text()
        with console.page.expect_response("**/emulator/faults"):
            console.page.get_by_label("Calls").press("Enter")
    expect(armed).to_have_text([f"{name} for the next call with 18700000000" for name in names])
    assert [one["fault"] for one in pair.get("faults")["armed"]] == names

    console.button("Disarm all").click()
    expect(armed).to_have_count(0)
    assert pair.get("faults")["armed"] == []


@pytest.mark.parametrize(("pressed", "outcome", "status"), QUICK)
def test_quick_fault_leads_to_expected_outcome(console: Console, pressed: str, outcome: str, status: int) -> None:
    console.open()
    code = console.send("18755550001")
    console.button(pressed).click()
    expect(console.page.locator("#armed > li")).to_have_count(1)
    console.verify(code)
    expect(console.newest).to_contain_text(re.compile(rf"{outcome} .*{status}"))
    expect(console.page.locator("#armed > li")).to_have_count(0)
    expect(console.unfold(console.newest)).to_contain_text("Fault: ")


def test_fault_for_action_contact_and_calls_is_used_up(console: Console, pair: Pair) -> None:
    console.open()
    console.page.get_by_label("Fault", exact=True).select_option("InternalError.VerifyCodeErr")
    console.page.get_by_label("Action").select_option("CreateIntlPhoneEmail")
    console.page.get_by_label("Contact", exact=True).fill("18755550002")
    console.page.get_by_label("Calls").fill("2")
    console.button("Arm").click()
    armed = console.page.locator("#armed > li")
    code = console.send("18755550002")
    for words in ("the next 2 calls", "the next call"):
        expect(armed).to_have_text(f"InternalError.VerifyCodeErr for {words} of CreateIntlPhoneEmail with 18755550002")
        console.verify(code)
        expect(console.newest).to_contain_text("code-incorrect")
    expect(armed).to_have_count(0)
    console.verify(code)
    expect(console.newest).to_contain_text(re.compile(r"✓.*verified"))


def test_lost_reply_is_resolved_by_redelivery_on_page(console: Console) -> None:
    """These are the steps of the README, on the page."""
    console.open()
    code = console.send("18755550003")
    console.button("Hang").click()
    expect(console.page.locator("#armed > li")).to_have_count(1)
    console.verify(code)
    expect(console.newest).to_contain_text("outcome-unknown")
    console.button("Redeliver", console.unfold(console.newest)).click()
    expect(console.newest).to_contain_text(re.compile(r"✓.*verified .*resolved .*200"))
    expect(console.unfold(console.newest)).to_contain_text("API call DescribeIntlPhoneEmailList")


def test_reset_clears_page_and_state(console: Console, pair: Pair) -> None:
    console.open()
    console.sign_up("18755550004")
    console.button("Hang").click()
    expect(console.page.locator("#armed > li")).to_have_count(1)
    console.button("Reset everything").click()
    expect(console.rows).to_have_count(0)
    expect(console.codes).to_have_count(0)
    expect(console.page.locator("#armed > li")).to_have_count(0)
    expect(console.result).to_have_count(0)
    assert (pair.get("deliveries"), pair.get("codes"), pair.get("verified")) == ([], [], [])
