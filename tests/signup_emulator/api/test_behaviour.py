"""Test each behaviour that the API's reference leaves open, with the official SDK and in the table."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from signup_emulator.api.account.behaviour import DEFAULTS, OPTIONS, Behaviour
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import CODE, PHONE
from tests.support.emulator.api_client import error_of, sdk

EMAIL = "jo@example.com"
WRONG_CODE, LISTED = "InternalError.VerifyCodeErr", "InternalError.VerifiedPhoneEmailErr"
LIMITED = "FailedOperation.SendVerifyCodeIsLimited"


@dataclass
class Account:
    """An account, its clock, and a client of the official SDK."""

    emulator: Emulator
    clock: SetClock

    def __post_init__(self) -> None:
        self.client = sdk(self.emulator)

    def change(self, **values: Any) -> None:
        self.emulator.domain.change(values)

    def send(self, contact: str = EMAIL) -> str:
        """Request a code and return it. It differs from the previous one."""
        before = {one.code for one in self.emulator.domain.sent_codes()}
        while True:
            self.client.call_json("SendIntlPhoneEmailCode", of(contact))
            code = self.emulator.domain.sent_codes()[0].code
            if code not in before:
                return code

    def verify(self, code: str, contact: str = EMAIL) -> None:
        self.client.call_json("CreateIntlPhoneEmail", of(contact) | {"VerifyCode": code})

    def delete(self, contact: str = EMAIL) -> None:
        self.client.call_json("DeleteIntlPhoneEmail", of(contact))

    def refused(self, code: str, contact: str = EMAIL) -> str:
        return error_of(self.client, "CreateIntlPhoneEmail", of(contact) | {"VerifyCode": code})

    def rows(self, **paging: int) -> list[dict[str, Any]]:
        reply = self.client.call_json("DescribeIntlPhoneEmailList", {"Type": 2, **paging})
        rows: list[dict[str, Any]] = reply["Response"]["PhoneEmailList"]
        return rows


def of(contact: str) -> dict[str, Any]:
    return {"Type": 2 if "@" in contact else 1, "Code": contact}


@pytest.fixture
def account() -> Iterator[Account]:
    clock = SetClock()
    with Emulator(rate=0, now=clock.time) as emulator:
        yield Account(emulator, clock)


@pytest.mark.parametrize(("first", "wrong"), [("verified", LISTED), ("code", WRONG_CODE)])
def test_check_first_option_decides_which_error_is_returned(account: Account, first: str, wrong: str) -> None:
    account.change(check_first=first)
    account.verify(account.send())
    again = account.send()
    assert account.refused("0000") == wrong
    assert account.refused(again) == LISTED


@pytest.mark.parametrize("good", [False, True])
def test_used_code_good_option_allows_reuse(account: Account, good: bool) -> None:
    account.change(used_code_good=good)
    code = account.send()
    account.verify(code)
    account.delete()
    if good:
        account.verify(code)
    else:
        assert account.refused(code) == WRONG_CODE


@pytest.mark.parametrize("good", [False, True])
def test_replaced_code_good_option_accepts_older_code(account: Account, good: bool) -> None:
    account.change(replaced_code_good=good)
    older, newer = account.send(), account.send()
    if good:
        account.verify(older)
        account.delete()
    else:
        assert account.refused(older) == WRONG_CODE
    account.verify(newer)


def test_code_life_option_expires_code(account: Account) -> None:
    account.change(code_life=30)
    code = account.send()
    account.clock.wall += 31
    assert account.refused(code) == WRONG_CODE
    account.change(code_life=DEFAULTS["code_life"])
    account.verify(code)


def test_resend_interval_option_limits_messages(account: Account) -> None:
    account.send(PHONE), account.send(PHONE)  # by default, without a limit
    account.change(resend_interval=60)
    account.send()
    assert error_of(account.client, "SendIntlPhoneEmailCode", of(EMAIL)) == LIMITED
    account.send("another@example.com")
    account.clock.wall += 60
    account.send()
    account.clock.wall -= 30  # a clock that is set back must not lock out contacts
    account.send()


@pytest.mark.parametrize(
    ("form", "taken", "refused"),
    [
        ("any", ["18766554433", "+86.13600000000", "+1 (202) 555-0199"], ["jo", "1234"]),
        ("digits", ["18766554433"], ["+18766554433", "+86.13600000000", "187 6655"]),
        ("dotted", ["+86.13600000000"], ["18766554433", "+8613600000000"]),
    ],
)
def test_phone_form_option_decides_accepted_numbers(
    account: Account, form: str, taken: list[str], refused: list[str]
) -> None:
    account.change(phone_form=form)
    for contact in taken:
        account.verify(account.send(contact), contact)
    for contact in refused:
        assert account.refused(CODE, contact) == "InvalidParameterValue.InvalidParameterFormat"
    assert account.client.call_json("DescribeIntlPhoneEmailList", {"Type": 1})["Response"]["TotalCount"] == len(taken)


def test_rate_option_limits_calls(account: Account) -> None:
    account.change(rate=2)
    now = time.time()
    account.emulator.domain.now = lambda: now
    account.refused("0000"), account.refused("0000")
    assert account.refused("0000") == "RequestLimitExceeded"


@pytest.mark.parametrize("hours", [8, 0, -3.5])
def test_list_zone_option_shifts_times(account: Account, hours: float) -> None:
    account.change(list_zone=hours)
    account.verify(account.send())
    zone = timezone(timedelta(hours=hours))
    made = datetime.strptime(account.rows()[0]["CreatedOn"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=zone)
    assert abs(made.timestamp() - account.clock.time()) < 600


@pytest.mark.parametrize(
    ("order", "offset", "start", "wanted"),
    [
        ("newest-first", "rows", 0, "ed"),
        ("newest-first", "rows", 1, "dc"),
        ("oldest-first", "rows", 1, "bc"),
        ("newest-first", "pages-from-0", 0, "ed"),
        ("newest-first", "pages-from-0", 2, "a"),
        ("oldest-first", "pages-from-1", 0, "ab"),
        ("oldest-first", "pages-from-1", 1, "ab"),
        ("oldest-first", "pages-from-1", 3, "e"),
    ],
)
def test_list_order_and_offset_options_decide_page(
    account: Account, order: str, offset: str, start: int, wanted: str
) -> None:
    account.change(list_order=order, list_offset=offset)
    for name in "abcde":
        account.emulator.domain.accept((2, f"{name}@example.com"))
        account.clock.wall += 1
    assert "".join(row["Code"][0] for row in account.rows(Limit=2, Offset=start)) == wanted


@pytest.mark.parametrize("order", ["newest-first", "oldest-first"])
@pytest.mark.parametrize("offset", ["rows", "pages-from-0", "pages-from-1"])
def test_bridge_resolves_lost_reply_with_any_list_order_and_offset(account: Account, order: str, offset: str) -> None:
    """The bridge reconciles a lost reply with each behaviour of the list."""
    account.change(list_order=order, list_offset=offset)
    for number in range(450):
        account.emulator.domain.accept((2, f"{number}@example.com"))
    bridged, code = bridge(account.emulator.url, account.clock), account.send()
    account.emulator.faults.arm(Fault("close"))
    response = bridged.deliver(type="email", contact=EMAIL, verify_code=code)
    assert response.json["code"] == "outcome-unknown"
    response = bridged.deliver(type="email", contact=EMAIL, verify_code=code)
    assert (response.json.get("code"), response.json.get("resolved")) == ("verified", True)


@pytest.mark.parametrize(("masked", "shown"), [(False, EMAIL), (True, "jo@****.com")])
def test_list_masked_option_masks_contacts(account: Account, masked: bool, shown: str) -> None:
    account.change(list_masked=masked)
    account.verify(account.send())
    assert [row["Code"] for row in account.rows()] == [shown]


def test_reset_restores_initial_behaviour() -> None:
    with Emulator(rate=7) as emulator:
        assert emulator.domain.behaviour.document() == DEFAULTS | {"rate": 7}
        changed = emulator.domain.change({"rate": 0, "code_life": 1.5})
        assert emulator.domain.behaviour == changed != Behaviour()
        emulator.reset()
        assert emulator.domain.behaviour.document() == DEFAULTS | {"rate": 7}


BAD: dict[str, tuple[Any, ...]] = {
    "check_first": ("neither", True, None, ["verified"]),
    "used_code_good": (1, "true", None),
    "replaced_code_good": (0, "no"),
    "code_life": (-1, 86_401, float("nan"), float("inf"), "600", True, None),
    "resend_interval": (-0.1, False, "60"),
    "phone_form": ("e164", 1),
    "rate": (-1, 1.5, True, "20"),
    "list_zone": (-13, 15, "UTC", float("nan")),
    "list_order": ("random",),
    "list_masked": ("yes", 1),
    "list_offset": ("pages", 0),
    "any_host_signed": (None, 0),
}


@pytest.mark.parametrize("name", DEFAULTS)
def test_change_invalid_value_raises_and_changes_nothing(emulator: Emulator, name: str) -> None:
    before = emulator.domain.behaviour
    must = next(option.constraint for option in OPTIONS if option.name == name)
    for value in BAD[name]:
        with pytest.raises(ValueError, match=f"^{name}: must be {re.escape(must)}$"):
            emulator.domain.change({"code_life": 5, name: value})
    assert emulator.domain.behaviour == before


@pytest.mark.parametrize("values", [None, [], "code_life", {"life": 5}, {1: 2}])
def test_change_unknown_option_raises_with_known_options(emulator: Emulator, values: Any) -> None:
    with pytest.raises(ValueError, match="resend_interval"):
        emulator.domain.change(values)


def test_behaviour_document_is_plain_json() -> None:
    assert json.loads(json.dumps(Behaviour().document())) == DEFAULTS
