from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery, IdempotencyKey
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.inbound import body as payload
from signup_bridge.inbound import member_names
from signup_bridge.inbound.cloudevents import BodyFormat

from signup_emulator.server import Emulator
from tests.support.bridge.instances import Bridge, calls
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body

EMAIL = "jo@example.com"
DIRECT = BodyFormat(id_source="member")
MUST_BE_A_CODE = "must be a string of 4 to 10 ASCII letters or digits"


def faulty(data: bytes) -> dict[str, str]:
    with pytest.raises(RequestRejected) as raised:
        payload.parse(data).to_delivery()
    assert raised.value.outcome.code == "body-invalid"
    assert len({pointer for pointer, _ in raised.value.errors}) == len(raised.value.errors)
    return dict(raised.value.errors)


def code_of(data: bytes) -> str:
    with pytest.raises(RequestRejected) as raised:
        payload.parse(data).to_delivery()
    return raised.value.outcome.code


def test_body_with_bridge_or_api_names_becomes_a_delivery() -> None:
    key = IdempotencyKey("signed", "msg_1")
    expected = Delivery(Contact(ContactType.PHONE, PHONE), CODE, key)
    assert payload.parse(body()).to_delivery(key) == expected
    assert payload.parse(body(type=1)).to_delivery(key) == expected
    assert (
        payload.parse(json.dumps({"Type": 1, "Code": PHONE, "VerifyCode": CODE}).encode()).to_delivery(key) == expected
    )
    assert (
        payload.parse(json.dumps({"Type": "phone", "Code": PHONE, "VerifyCode": CODE}).encode()).to_delivery(key)
        == expected
    )
    assert payload.parse(body(type=2, contact=EMAIL)).to_delivery(key) == Delivery(
        Contact(ContactType.EMAIL, EMAIL), CODE, key
    )


@pytest.mark.parametrize(
    "contact",
    [
        PHONE,
        "+8618766554433",
        "+86.13600000000",
        "(020) 7946-0958",
        "10086",
        "1" * 20,
        " +1 2 3 4 5 \n",
        "(+86)18766554433",
    ],
)
def test_phone_number_with_separators_is_accepted(contact: str) -> None:
    assert payload.parse(body(contact=contact)).to_delivery().contact.value == contact.strip()


@pytest.mark.parametrize(
    "contact",
    ["1008", "1" * 21, "", " ", "+", "1+23456", "++123456", "18766554433x", "187\t66554433", "²³²³²³",
     "-----", "1" * 10 + " " * 250 + "1", "18766554433\x00", "18766554433,10086", None, 18766554433, [PHONE], {}, True],
)  # fmt: skip
def test_invalid_phone_number_is_rejected(contact: object) -> None:
    assert list(faulty(json.dumps({"type": 1, "contact": contact, "verify_code": CODE}).encode())) == ["#/contact"]


@pytest.mark.parametrize("contact", [EMAIL, "a+b.c@x.y", "ü@bücher.example", f"{'l' * 64}@{'d' * 185}.com", "'@[1.2]"])
def test_email_address_is_kept_as_typed(contact: str) -> None:
    assert payload.parse(body(type="email", contact=contact)).to_delivery().contact.value == contact


@pytest.mark.parametrize(
    "contact",
    ["jo", "@example.com", "jo@", "jo@example", "jo@@example.com", "a@b@example.com", "jo @example.com",
     "jo@exa mple.com", "jo@.com", "jo@example.", "jo@ex..com", "jo@example.com\x00", "jo\x1b@example.com",
     "jo\u00a0x@example.com", "jo\x85x@example.com", "\ud800@example.com", f"{'l' * 64}@{'d' * 186}.com", PHONE],
)  # fmt: skip
def test_invalid_email_address_is_rejected(contact: str) -> None:
    assert list(faulty(body(type="email", contact=contact))) == ["#/contact"]


@pytest.mark.parametrize("code", ["1234", "1234567890", "aBcD12"])
def test_verification_code_without_separators_is_kept(code: str) -> None:
    assert payload.parse(body(verify_code=code)).to_delivery().verify_code == code


@pytest.mark.parametrize(
    "code",
    ["123", "12345678901", "1 2-3", "12\t3456", "12345é", "1234.5", "", " - ", 123456, True, None, ["1234"]],
)
def test_invalid_verification_code_is_rejected(code: object) -> None:
    document = {"type": 1, "contact": PHONE, "verify_code": code}
    assert list(faulty(json.dumps(document).encode())) == ["#/verify_code"]


@pytest.mark.parametrize("wrong", [True, False, 0, 3, 1.0, "1", "Phone", "", None, [], {}, [1]])
def test_invalid_type_is_rejected(wrong: object) -> None:
    document = {"type": wrong, "contact": PHONE, "verify_code": CODE}
    assert list(faulty(json.dumps(document).encode())) == ["#/type"]


def test_idempotency_key_prefers_the_signed_id() -> None:
    """The id in the body counts only if the platform has authorised the caller."""
    signed = IdempotencyKey("signed", "msg_1")
    assert payload.parse(body(id="x")).to_delivery(signed).key == signed
    assert payload.parse(body(id=[])).to_delivery(signed).key == signed
    assert payload.parse(body(id="x")).to_delivery().key == IdempotencyKey("content", body(id="x"))
    assert payload.parse(body(id="x"), DIRECT).to_delivery().key == IdempotencyKey("direct", "x")
    assert payload.parse(body(), DIRECT).to_delivery().key == IdempotencyKey("content", body())


def test_body_with_several_errors_names_each() -> None:
    assert faulty(b'{"type": 3, "contact": 5}') == {
        "#/type": 'must be "phone", "email", 1 or 2',
        "#/contact": "must be a non-empty string",
        "#/verify_code": "is required",
    }
    assert list(faulty(b"{}")) == ["#/type", "#/contact", "#/verify_code"]
    assert list(faulty(b'{"Code": ""}')) == ["#/Type", "#/Code", "#/VerifyCode"]
    assert faulty(b"[]") == faulty(b'"x"') == faulty(b"null") == {"#": "must be an object"}


def test_body_that_mixes_names_is_rejected() -> None:
    assert list(faulty(body(Code="10086"))) == ["#/Code"]
    assert list(faulty(body(contact=None, Code=PHONE))) == ["#/Code", "#/contact"]


@pytest.mark.parametrize(
    ("members", "errors"),
    [
        (
            {"type": "phone", "phone": PHONE, "verifyCode": CODE},
            {
                "#/contact": "is required; the body has `phone`, did you mean `contact`?",
                "#/verify_code": "is required; the body has `verifyCode`, did you mean `verify_code`?",
            },
        ),
        (
            {"channel": "email", "emailAddress": EMAIL, "code": CODE},
            {
                "#/type": "is required; the body has `channel`, did you mean `type`?",
                "#/contact": "is required; the body has `emailAddress`, did you mean `contact`?",
                "#/verify_code": "is required; the body has `code`, did you mean `verify_code`?",
            },
        ),
        (
            {"Type": 1, "Code": PHONE, "verify-code": CODE},
            {"#/VerifyCode": "is required; the body has `verify-code`, did you mean `VerifyCode`?"},
        ),
        (
            {"type": 1, "contact": PHONE, "otp": CODE, "pin": CODE, "verification_code": CODE},
            {"#/verify_code": "is required; the body has `verification_code`, did you mean `verify_code`?"},
        ),
        ({"type": 1, "contact": PHONE, "verify_cod": CODE, CODE: "otp"}, {"#/verify_code": "is required"}),
        ({"type": 1, "contact": PHONE, "verify_code": CODE[:3], "otp": CODE}, {"#/verify_code": MUST_BE_A_CODE}),
    ],
)
def test_missing_member_with_another_name_gets_a_hint(members: dict[str, Any], errors: dict[str, str]) -> None:
    assert faulty(json.dumps(members).encode()) == errors


def test_each_alternative_name_gets_a_hint() -> None:
    known = {*payload.BRIDGE_NAMES, *payload.API_NAMES}
    assert member_names.INSTEAD.keys() == known
    for name, others in member_names.INSTEAD.items():
        assert len(others) > 15
        for other in others:
            expected = "" if other in known else f"; the body has `{other}`, did you mean `{name}`?"
            assert member_names.hint(name, [other]) == expected
    assert member_names.hint("id", ["otp"]) == ""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\xef\xbb\xbf\xef\xbb\xbf" + body(),
        b" \xef\xbb\xbf" + body(),
        body().decode().encode("utf-16"),
        body()[:-1] + b', "contact": "10086"}',
        body()[:-1] + b', "x": {"a": 1, "a": 2}}',
        body()[:-1] + b', "x": NaN}',
        body()[:-1] + b', "x": -Infinity}',
        body()[:-1] + b', "x": 1e5x}',
        body()[:-1] + b', "x": ' + b"9" * 5000 + b"}",
        body() + b"x",
        body().replace(b"187", b"1\x0087"),
        b"[" * 16_000,
        b'{"a":' * 3000,
        b"type=phone&contact=18766554433",
    ],
)
def test_body_that_is_no_strict_json_is_malformed(data: bytes) -> None:
    assert code_of(data) == "body-malformed"


def test_byte_order_mark_is_ignored() -> None:
    marked = b"\xef\xbb\xbf" + body()
    assert payload.parse(marked).to_delivery() == payload.parse(body()).to_delivery(IdempotencyKey("content", marked))
    assert payload.parse(b"\xef\xbb\xbf" + body(action="send"), BodyFormat(action=True)).requested_action() == "send"


@pytest.mark.parametrize(
    "media_type",
    [None, "", "application/json", "Application/JSON; charset=utf-8", "application/ce+json", "text/x+json ;a=b"],
)  # fmt: skip
def test_json_media_type_is_accepted(media_type: str | None) -> None:
    payload.check_media_type(media_type)


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/jsonx", "json", "+json", "a/b/c+json", "é/x+json", "a b/c+json"]
)
def test_other_media_type_is_unsupported(media_type: str) -> None:
    with pytest.raises(RequestRejected) as raised:
        payload.check_media_type(media_type)
    assert raised.value.outcome.status == 415


@pytest.mark.parametrize(
    ("contact_type", "contact", "masked"),
    [
        (ContactType.PHONE, PHONE, "187****4433"),
        (ContactType.PHONE, "+8618766554433", "+86*******4433"),
        (ContactType.PHONE, "1876655443", "********43"),
        (ContactType.PHONE, "10086", "***86"),
        (ContactType.EMAIL, EMAIL, "j***@example.com"),
        (ContactType.EMAIL, "j@example.com", "j***@example.com"),
    ],
)
def test_contact_is_masked(contact_type: ContactType, contact: str, masked: str) -> None:
    assert Contact(contact_type, contact).masked == masked


def test_repr_of_a_delivery_contains_nothing_personal() -> None:
    shown = repr(Delivery(Contact(ContactType.PHONE, PHONE), CODE, IdempotencyKey("content", body())))
    assert PHONE not in shown
    assert CODE not in shown


def test_invalid_body_over_http_is_rejected(emulator: Emulator, default_bridge: Bridge) -> None:
    response = default_bridge.deliver(type=True, verify_code="12 3")
    errors = [
        {"pointer": "#/type", "detail": 'must be "phone", "email", 1 or 2'},
        {"pointer": "#/verify_code", "detail": MUST_BE_A_CODE},
    ]
    expected = problem("body-invalid", 422, retryable=False, errors=errors)
    check_problem(response, expected, PROBLEM | {"webhook-delivery": "abort-message"})
    assert calls(emulator) == []


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
members: Any = st.dictionaries(
    st.sampled_from([*payload.BRIDGE_NAMES, *payload.API_NAMES, "id"]),
    json_values | st.sampled_from([1, 2, "phone", "email", PHONE, EMAIL, CODE]),
)


@given(data=st.binary() | members.map(lambda document: json.dumps(document).encode()), direct=st.booleans())
def test_any_bytes_are_parsed_or_rejected(data: bytes, direct: bool) -> None:
    try:
        delivery = payload.parse(data, DIRECT if direct else BodyFormat()).to_delivery()
    except RequestRejected as refusal:
        shown = json.dumps(refusal.errors) + refusal.detail
        assert PHONE not in shown
        assert EMAIL not in shown
        return
    assert json.loads(data)
    assert delivery.contact.value == delivery.contact.value.strip()
    assert delivery.contact.value not in (delivery.contact.masked, repr(delivery))
