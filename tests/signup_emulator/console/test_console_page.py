"""Test the actions that a person can take on the console's page in a browser, and their results."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable

import pytest
import requests
from playwright.sync_api import expect

from tests.support.bridge.signed_requests import body, signed
from tests.support.emulator.browser import Console, wrong
from tests.support.emulator.make_run import Pair

pytestmark = pytest.mark.browser


def test_signup_by_clicking_verifies_contact(console: Console) -> None:
    console.open()
    expect(console.contact).to_have_value(re.compile(r"\d{11}"))
    console.button("Send code").click()
    expect(console.code).to_be_focused()
    console.button("Use it").click()
    expect(console.button("Verify")).to_be_focused()
    expect(console.codes.first).to_contain_text("unused")
    console.button("Verify").click()

    expect(console.result).to_have_text("You are verified. Welcome!")
    expect(console.newest).to_contain_text(re.compile(r"verified .*200 .*187\*\*\*\*0001 .*standard"))
    expect(console.codes.first).to_contain_text("used")
    console.button("Sign up another contact").click()
    expect(console.contact).to_have_value("18766550002")


def test_wrong_code_is_rejected_and_right_code_still_works(console: Console) -> None:
    console.open()
    code = console.send("jo@example.com")
    console.verify(wrong(code))
    expect(console.result).not_to_contain_text("verified")
    expect(console.newest).to_contain_text(re.compile(r"code-incorrect .*422 .*j.*@example\.com"))
    expect(console.codes.first).to_contain_text("unused")
    expect(console.code).to_be_focused()

    console.verify(code)
    expect(console.newest).to_contain_text(re.compile(r"✓.*verified .*200"))
    expect(console.rows).to_have_count(3)


def test_invalid_contact_is_explained(console: Console) -> None:
    console.open()
    console.contact.fill("nobody")
    console.button("Send code").click()
    expect(console.result).to_contain_text("Check the phone number or email address")
    expect(console.newest).to_contain_text(re.compile(r"body-invalid .*422"))
    expect(console.codes).to_have_count(0)


def test_code_is_sent_through_bridge_and_second_one_is_limited(console: Console) -> None:
    console.open()
    console.send("18712340009")
    expect(console.newest).to_contain_text(re.compile(r"✓.*sent .*202 .*187\*\*\*\*0009"))
    expect(console.unfold(console.newest)).to_contain_text("POST /webhooks/code")
    console.button("Send code").click()
    expect(console.result).to_contain_text("too many codes")
    expect(console.newest).to_contain_text(re.compile(r"send-limited .*429"))
    expect(console.codes).to_have_count(1)


def test_inbox_masks_contacts_and_copies_code(console: Console) -> None:
    console.context.grant_permissions(["clipboard-read", "clipboard-write"])
    console.open()
    code = console.send("18711112222")
    newer = console.send("18733334444")
    expect(console.codes).to_have_count(2)
    expect(console.codes.first).to_contain_text(newer)
    expect(console.codes.first).to_contain_text("187****4444")
    expect(console.codes.first.locator("time")).to_have_text(re.compile("now|s ago"))
    console.page.get_by_label("Show contacts").check()
    expect(console.codes.first).to_contain_text("18733334444")

    console.button(f"Copy {code}").click()
    expect(console.button(f"Copy {code}")).to_have_text("Copied")
    assert console.page.evaluate("navigator.clipboard.readText()") == code
    console.button(f"Use {code}").click()
    expect(console.contact).to_have_value("18711112222")
    expect(console.code).to_have_value(code)


def test_inbox_shows_five_codes_until_expanded(console: Console, pair: Pair) -> None:
    console.open()
    for number in range(7):
        pair.post("codes", {"contact": f"1871111000{number}"})
    console.button("Show all 7").click()
    expect(console.codes).to_have_count(7)
    console.button("Show the newest 5").click()
    expect(console.codes).to_have_count(5)


def test_delivery_row_expands_to_request_and_calls(console: Console) -> None:
    console.open()
    console.sign_up("18712340001")
    way = console.unfold(console.newest)
    code = console.code.input_value()
    for seen in (
        "POST /webhooks/signup", "webhook-signature:", f'"verify_code": "{code}"', "Valid", "waiting for a slot",
        "in API calls", "API call CreateIntlPhoneEmail", f'"VerifyCode": "{code}"', '"RequestId"',
        "Response 200 OK", "Server-Timing:", '"code": "verified"',
    ):  # fmt: skip
        expect(way).to_contain_text(seen)
    console.newest.locator("h3 button").click()
    expect(way).to_be_hidden()


@pytest.mark.parametrize(
    ("pressed", "expected", "seen"),
    [
        ("Redeliver", r"✓.*verified .*replay .*200", "The stored response was returned."),
        ("Redeliver stale", r"signature-invalid .*stale .*401", "Rejected: timestamp outside the tolerance."),
        ("Redeliver tampered", r"signature-invalid .*tampered .*401", "Rejected: no signature matches."),
    ],
)
def test_redelivery_variants_have_expected_outcomes(console: Console, pressed: str, expected: str, seen: str) -> None:
    console.open()
    console.sign_up("18712340002")
    first = console.newest.get_attribute("id")
    way = console.unfold(console.newest)
    console.button(pressed, way).click()
    expect(console.rows).to_have_count(3)
    expect(console.newest).to_contain_text(re.compile(expected))
    expect(console.button(pressed, way)).to_be_focused()

    way.get_by_role("button", name="See delivery").click()
    opened = console.newest.locator(".panel")
    expect(opened).to_contain_text(seen)
    opened.get_by_role("button", name=re.compile("^delivery")).click()
    expect(console.page.locator(f"#{first} h3 button")).to_be_focused()


def test_delivery_is_copied_as_curl_command(console: Console) -> None:
    console.context.grant_permissions(["clipboard-read", "clipboard-write"])
    console.open()
    console.sign_up("18712340003")
    way = console.unfold(console.newest)
    console.button("Copy as curl", way).click()
    expect(console.button("Copied", way)).to_be_visible()
    words = shlex.split(console.page.evaluate("navigator.clipboard.readText()"))
    assert words[0] == "curl"
    assert [word for word in words if word.lower().startswith("webhook-signature: v1,")]
    assert [word for word in words if word.endswith("/webhooks/signup")]


def test_copy_works_without_clipboard_permission(console: Console) -> None:
    console.page.add_init_script("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    console.open()
    code = console.send("18712340004")
    console.button(f"Copy {code}").click()
    expect(console.button(f"Copy {code}")).to_have_text("Copied")
    console.code.focus()
    console.page.keyboard.press("Control+V")
    expect(console.code).to_have_value(code)


def post_signed(url: str, data: bytes, secret: str) -> int:
    headers = signed(data, secret=secret)
    return requests.post(f"{url}/webhooks/signup", data=data, headers=headers, timeout=60).status_code


def test_delivery_of_signup_system_is_shown(console: Console, pair: Pair) -> None:
    console.open()
    assert post_signed(pair.url, body(verify_code="000000"), pair.secret) == 422
    expect(console.newest).to_contain_text(re.compile(r"code-incorrect .*422"))
    way = console.unfold(console.newest)
    expect(way).to_contain_text("posted to the emulator")
    expect(way).to_contain_text('"verify_code": "000000"')

    assert post_signed(pair.bridge, body(), pair.secret) == 200
    expect(console.newest).to_contain_text(re.compile(r"verified .*direct .*200"))
    way = console.unfold(console.newest)
    expect(way).to_contain_text("Posted directly to the bridge")
    expect(way).to_contain_text(f"{pair.url}/webhooks/signup")
    expect(way).to_contain_text("API call CreateIntlPhoneEmail")
    expect(console.button("Redeliver", way)).to_have_count(0)


def test_reload_keeps_lists(console: Console, pair: Pair) -> None:
    console.open()
    console.sign_up("18712340005")
    pair.post("faults", {"fault": "hang", "contact": "18700000000"})
    expect(console.page.locator("#armed")).to_contain_text("hang for the next call with 18700000000")
    before = [console.codes.first.locator(".digits").inner_text(), console.newest.inner_text()]
    console.page.reload()
    console.live()
    assert [console.codes.first.locator(".digits").inner_text(), console.newest.inner_text()] == before
    expect(console.page.locator("#armed")).to_contain_text("hang")


def test_lost_connection_is_shown_and_recovered(console: Console, pair: Pair) -> None:
    console.page.route("**/emulator/events", lambda route: route.abort())
    console.page.goto(pair.url)
    expect(console.page.locator("#connection")).to_contain_text("Connection lost")
    pair.post("codes", {"contact": "18712340006"})
    expect(console.codes).to_have_count(0)
    console.page.unroute("**/emulator/events")
    console.live()
    expect(console.codes).to_have_count(1)
    console.forgive("/emulator/events")


MARKUP = "<img/src=x/onerror=document.title='taken'>@example.com"


def test_contact_with_markup_is_shown_as_text(console: Console, pair: Pair) -> None:
    console.open()
    console.page.get_by_label("Show contacts").check()
    console.sign_up(MARKUP)
    pair.post("deliveries", {"contact": "18712340007", "verify_code": "<b>1</b>", "type": "phone"})
    pair.post("faults", {"fault": "hang", "contact": MARKUP})
    expect(console.rows).to_have_count(3)
    for row in console.rows.all():
        console.unfold(row)
    expect(console.codes.first).to_contain_text(MARKUP)
    expect(console.rows.nth(1)).to_contain_text(json.dumps(MARKUP))
    expect(console.page.locator("#armed")).to_contain_text(MARKUP)
    assert console.page.locator("main :is(img, b)").count() == 0
    assert console.page.title() == "signup-bridge console"


def test_magic_contact_leads_to_chosen_outcome(console: Console, pair: Pair) -> None:
    console.open()
    inputs = pair.get("inputs")
    console.page.get_by_role("link", name="Chosen outcomes").click()
    expect(console.page.locator("#input-rows").get_by_role("button")).to_have_text([one["contact"] for one in inputs])
    (wanted,) = [one for one in inputs if one["type"] == "phone" and one["outcome"] == "code-incorrect"][:1]
    console.button(wanted["contact"]).click()
    expect(console.contact).to_have_value(wanted["contact"])
    console.verify("123456")
    expect(console.newest).to_contain_text(re.compile(r"code-incorrect .*422"))


def test_switches_change_behaviour(console: Console, pair: Pair) -> None:
    console.open()
    console.page.get_by_role("link", name="Behaviour").click()
    console.page.get_by_label("list masked").check()
    expect(console.page.locator("#switches-said")).to_have_text("list masked is set.")
    console.page.get_by_label("list order").select_option("oldest-first")
    expect(console.page.locator("#switches-said")).to_have_text("list order is set.")
    console.page.get_by_label("code life").fill("30")
    console.page.keyboard.press("Enter")
    expect(console.page.locator("#switches-said")).to_have_text("code life is set.")
    behaviour = pair.get("behaviour")
    assert [behaviour[name] for name in ("list_masked", "list_order", "code_life")] == [True, "oldest-first", 30]
    assert len(behaviour) == console.page.locator(".switch").count()

    console.page.get_by_label("code life").fill("-1")
    console.page.keyboard.press("Enter")
    expect(console.page.locator("#switches-said")).to_contain_text("code_life")
    console.forgive("422")


def test_two_pages_show_same_state(console: Console, another: Callable[[], Console]) -> None:
    console.open()
    other = another().open()
    console.sign_up("18712340008")
    expect(other.newest).to_contain_text(re.compile(r"verified .*200"))
    expect(other.codes.first).to_contain_text("used")
    other.button("Reset everything").click()
    expect(console.rows).to_have_count(0)
    expect(console.codes).to_have_count(0)
