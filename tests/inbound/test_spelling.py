"""Test contacts and codes as people type them: which spellings are equal, and what the API receives."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.inbound import body as payload
from signup_bridge.inbound import spelling
from signup_bridge.ledger.keys import normalized

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.deliveries import WRONG, deliver, replay_of
from tests.support.bridge.instances import Bridge, bridge, calls
from tests.support.bridge.signed_requests import CODE, PHONE, body

FULL_WIDTH = str.maketrans({chr(code): chr(code + 0xFEE0) for code in range(0x21, 0x7F)})
SELECTORS = [*"\u180b\u180c\u180d\u180f", *map(chr, range(0xFE00, 0xFE10)), *map(chr, range(0xE0100, 0xE01F0))]


def code_of(written: str) -> str:
    return payload.parse(body(verify_code=written)).to_delivery().verify_code


def contact_of(written: str, kind: str = "phone") -> str:
    return payload.parse(body(type=kind, contact=written)).to_delivery().contact.value


@pytest.mark.parametrize(
    "written",
    ["123 456", "123-456", " 123456\n", "123\u00a0456", "123\u2009456", "123\u2013456", "123\u2011456", "123\u2212456",
     "\u2068123456\u2069", "\u200e123456", "123\u200b456", "\ufeff123456", "123\u00ad456", "1\ufe0f23456",
     "１２３４５６", "１２３－４５６", "１２３　４５６", "١٢٣٤٥٦", "۱۲۳۴۵۶", "१२३४५६", "𝟏𝟐𝟑𝟒𝟓𝟔", "1２٣4５٦"],
)  # fmt: skip
def test_code_as_people_type_it_is_normalized(written: str) -> None:
    assert code_of(written) == CODE


def test_every_unicode_separator_and_digit_is_normalized() -> None:
    by_category = defaultdict(list)
    for one in map(chr, range(sys.maxunicode + 1)):
        by_category[unicodedata.category(one)].append(one)
    digits, separators = by_category["Nd"], [*by_category["Zs"], *by_category["Pd"], "\u2212", "\u30fc", "\uff70"]
    invisible = by_category["Cf"] + SELECTORS
    assert len(digits) > 600
    assert len(invisible) > 400
    for one in separators + invisible:
        assert spelling.verify_code(f"12{one}34") == "1234", hex(ord(one))
    for one in invisible:
        assert spelling.phone(f"12{one}34") == spelling.visible(f"12{one}34") == "1234", hex(ord(one))
    for one in digits:
        assert spelling.verify_code(f"1{one}") == spelling.phone(f"1{one}") == f"1{unicodedata.decimal(one)}"


@pytest.mark.parametrize(
    "written", ["12 3", "1-2-3", "\u200b\u200b\u200b\u200b", "-" * 6, "²²²²", "①②③④", "½½½½", "12_34"]
)
def test_malformed_code_stays_malformed(written: str) -> None:
    with pytest.raises(RequestRejected) as raised:
        code_of(written)
    assert [pointer for pointer, _ in raised.value.errors] == ["#/verify_code"]


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("\u202a+86 187 6655 4433\u202c", "+86 187 6655 4433"),
        ("187\u00a06655\u20094433", "187 6655 4433"),
        ("187\u20136655\u22124433", "187-6655-4433"),
        ("\u200b\u00a018766554433\u00a0", PHONE),
        (PHONE.translate(FULL_WIDTH), PHONE),
        ("（＋８６）１８７．６６５５－４４３３", "(+86)187.6655-4433"),
        ("١٨٧٦٦٥٥٤٤٣٣", PHONE),
        ("090ー1234ー5678", "090-1234-5678"),
        ("1" + " " * 20 + "0086", "1" + " " * 20 + "0086"),
    ],
)
def test_phone_number_as_people_type_it_is_normalized(written: str, plain: str) -> None:
    contact = payload.parse(body(contact=written)).to_delivery().contact
    assert contact.value == plain
    assert contact.masked == Contact(ContactType.PHONE, plain).masked


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("\u2068jo@example.com\u2069", "jo@example.com"),
        ("jo\u200b@exam\u00adple.com\ufeff", "jo@example.com"),
        ("J\u00f6@B\u00fccher.example", "J\u00f6@B\u00fccher.example"),
        ("jo@xn--BCHER-kva.example", "jo@xn--BCHER-kva.example"),
        ("jo１@example.com", "jo１@example.com"),
    ],
)
def test_email_address_loses_only_invisible_characters(written: str, plain: str) -> None:
    assert contact_of(written, "email") == plain


@pytest.mark.parametrize("written", ["\u200b", "jo@\u200b.com", "j\u00a0o@example.com", "jo＠example.com"])
def test_malformed_email_address_stays_malformed(written: str) -> None:
    with pytest.raises(RequestRejected):
        contact_of(written, "email")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jo@B\u00dcCHER.example", "jo@xn--bcher-kva.example"),
        ("jo@bu\u0308cher.example", "jo@XN--BCHER-KVA.EXAMPLE"),
        ("jo@ｂüｃｈｅｒ.example", "jo@b\u00fccher.example"),
        ("jo@b\u00fccher\u3002example.com", "jo@xn--bcher-kva.example.com"),
        ("jo@example.com\u3002", "jo@example.com"),
        ("j\u00f6@example.com", "Jo\u0308@EXAMPLE.com"),
        ("jo@ｅｘａｍｐｌｅ.com", "jo@example.com"),
        # not allowed by IDNA: compared by normal form and case
        ("jo@I\u2764.U\u0308.ws", "jo@i\u2764.\u00fc.ws"),
        ("jo@" + "\u00dc" * 64 + ".example", "jo@" + "u\u0308" * 64 + ".example"),
        ("jo@xn--a.example", "jo@XN--A.example"),
    ],
)
def test_email_address_in_two_spellings_is_one_contact(one: str, other: str) -> None:
    assert normalized(Contact(ContactType.EMAIL, one)) == normalized(Contact(ContactType.EMAIL, other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jo@b\u00fccher.example", "jo@bucher.example"),
        ("jo@fa\u00df.example", "jo@fass.example"),  # two domains since IDNA 2008
        ("jo@example.com", "jo@\u0435xample.com"),  # a Cyrillic letter
        ("jo@xn--a.example", "jo@xn--b.example"),
    ],
)
def test_different_domains_stay_different(one: str, other: str) -> None:
    assert normalized(Contact(ContactType.EMAIL, one)) != normalized(Contact(ContactType.EMAIL, other))


@given(contact=st.emails() | st.text())
def test_ascii_email_address_is_lowercased(contact: str) -> None:
    """Records of earlier versions have this form."""
    if "@" in contact and contact.isascii() and "xn--" not in contact.lower():
        assert normalized(Contact(ContactType.EMAIL, contact)) == contact.lower()


@given(text=st.text() | st.text(st.sampled_from("1\u0661\uff11\u200b\u00a0-\ufe0f\u2013 ")))
def test_plain_spelling_is_unchanged(text: str) -> None:
    for plain in (spelling.visible, spelling.phone, spelling.verify_code):
        assert plain(plain(text)) == plain(text)


def test_idna_is_imported_only_if_needed() -> None:
    program = """
import sys
from signup_bridge.inbound import spelling
before = set(sys.modules)
assert spelling.folded_email("Jo@Example.com") == "jo@example.com"
print(sorted(set(sys.modules) - before))
spelling.folded_email("jo@b\\u00fccher.example")
print("idna" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT / "function", capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split("\n") == ["[]", "True", ""]


# -- through the whole bridge --


def test_two_spellings_are_one_delivery_and_content(emulator: Emulator, default_bridge: Bridge) -> None:
    written = {"contact": f"\u202a{PHONE.translate(FULL_WIDTH)}\u202c", "verify_code": "１２３\u2013４５６"}
    first = deliver(default_bridge, "msg_1", **written)
    assert first.json["contact"] == "187****4433"
    assert deliver(default_bridge, "msg_1") == replay_of(first)
    assert deliver(default_bridge, "msg_1", verify_code="123 456") == replay_of(first)
    assert deliver(default_bridge, "msg_1", verify_code="123 457").json["code"] == "idempotency-key-reused"
    (call,) = emulator.calls
    assert call.request == {"Type": 1, "Code": PHONE, "VerifyCode": CODE}


def test_lost_outcome_is_found_with_another_spelling_of_the_code(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, REQUEST_BUDGET=1)
    emulator.faults.arm(Fault("InternalError"))
    assert deliver(bridged, "msg_1").json["code"] == "upstream-failed"
    assert deliver(bridged, "msg_2", verify_code="123\u2011456").json == {
        "code": "verified", "type": "phone", "contact": "187****4433", "resolved": True,
        "api_request_id": emulator.calls[-1].request_id,
    }  # fmt: skip


def test_domain_spellings_do_not_multiply_guesses(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, MAX_WRONG_CODES=2)
    spellings = ["jo@B\u00fccher.example", "Jo@xn--bcher-kva.example", "jo\u200b@bu\u0308cher.example"]
    codes = [bridged.deliver(type="email", contact=one, verify_code=WRONG).json["code"] for one in spellings]
    assert codes == ["code-incorrect", "code-incorrect", "attempts-exhausted"]
    assert [call.contact for call in emulator.calls] == spellings[:2], "the API must receive each contact as typed"
    assert len(calls(emulator)) == 2
