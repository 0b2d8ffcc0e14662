"""Test bodies of signup systems, whose contact, code and type are found with pointers or presets."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge import settings
from signup_bridge.core import delivery
from signup_bridge.core.contact import ContactType
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.inbound import body
from signup_bridge.inbound.cloudevents import BodyFormat
from signup_bridge.inbound.json_pointer import parse
from signup_bridge.inbound.payload_mapping import PRESETS, PayloadMapping
from signup_bridge.settings import SettingsError

from signup_emulator.server import Emulator
from tests.support.bridge.deliveries import ask
from tests.support.bridge.event_builders import CONTEXT, DIRECT
from tests.support.bridge.instances import bridge, environment
from tests.support.bridge.signed_requests import CODE, PHONE

EMAIL = "jo@example.com"
WITHOUT_TYPE = PayloadMapping((parse("/who"),), parse("/code"))


def mapping(**changed: str) -> PayloadMapping | None:
    return settings.load(environment("", **changed)).mapping


def problems(**changed: str) -> list[str]:
    with pytest.raises(SettingsError) as raised:
        mapping(**changed)
    return raised.value.problems


def read(document: Any, by: PayloadMapping = WITHOUT_TYPE) -> delivery.Delivery:
    return body.parse(json.dumps(document).encode(), BodyFormat(by)).to_delivery()


def faulty(document: Any, by: PayloadMapping = WITHOUT_TYPE) -> dict[str, str]:
    with pytest.raises(RequestRejected) as raised:
        read(document, by)
    return dict(raised.value.errors)


# -- the settings --


def test_body_without_a_mapping_has_the_bridges_names() -> None:
    assert mapping() is None


def test_mapping_with_pointers_and_a_constant_is_read() -> None:
    own = {"PAYLOAD_CONTACT": "/data/user/email", "PAYLOAD_CODE": "/data/a~1b"}
    assert mapping(**own) == PayloadMapping((("data", "user", "email"),), ("data", "a/b"))
    assert mapping(**own, PAYLOAD_TYPE="=email") == PayloadMapping(
        (("data", "user", "email"),), ("data", "a/b"), "email"
    )
    by_pointer = mapping(**own, PAYLOAD_TYPE="/kind")
    assert by_pointer
    assert by_pointer.type == ("kind",)


def test_pointer_precedes_its_preset() -> None:
    changed = mapping(PAYLOAD_PRESET="auth0", PAYLOAD_CODE="/data/object/user_metadata/otp", PAYLOAD_TYPE="=phone")
    assert changed == PRESETS["auth0"]._replace(code=parse("/data/object/user_metadata/otp"), type="phone")
    changed = mapping(PAYLOAD_PRESET="supabase", PAYLOAD_CONTACT="/user/phone")
    assert changed == PRESETS["supabase"]._replace(contact=(parse("/user/phone"),))


def test_mapping_settings_errors_name_the_remedy() -> None:
    found = problems(PAYLOAD_PRESET="okta", PAYLOAD_CONTACT="email", PAYLOAD_CODE="/a~", PAYLOAD_TYPE="=fax")
    assert [one.partition(" ")[0] for one in found] == [
        "PAYLOAD_PRESET:", "PAYLOAD_CONTACT:", "PAYLOAD_CODE:", "PAYLOAD_TYPE:",
    ]  # fmt: skip
    assert found[0] == "PAYLOAD_PRESET: must be one of supabase, clerk, auth0, cloudevents"
    assert "such as /data/user/email" in found[1]
    assert found[3].startswith("PAYLOAD_TYPE: must be =email, =phone, or a pointer")


@pytest.mark.parametrize(
    ("given_name", "missing"),
    [
        ("PAYLOAD_CONTACT", ["PAYLOAD_CODE"]),
        ("PAYLOAD_CODE", ["PAYLOAD_CONTACT"]),
        ("PAYLOAD_TYPE", ["PAYLOAD_CONTACT", "PAYLOAD_CODE"]),
    ],
)
def test_half_a_mapping_is_rejected(given_name: str, missing: list[str]) -> None:
    found = problems(**{given_name: "/a"})
    assert [one.partition(":")[0] for one in found] == missing
    assert all("or set PAYLOAD_PRESET" in one for one in found)
    assert mapping(PAYLOAD_PRESET="clerk", **{given_name: "/a"}) is not None


# -- bodies --


@pytest.mark.parametrize(
    ("contact", "kind"),
    [(EMAIL, ContactType.EMAIL), (PHONE, ContactType.PHONE), ("+1 555-0100", ContactType.PHONE)],
)
def test_contact_without_a_type_is_classified_by_its_format(contact: str, kind: ContactType) -> None:
    found = read({"who": f" {contact} ", "code": CODE})
    assert (found.contact.type, found.contact.value, found.verify_code) == (kind, contact, CODE)


def test_type_constant_applies_to_every_contact() -> None:
    phone = WITHOUT_TYPE._replace(type="phone")
    assert read({"who": PHONE, "code": CODE}, phone).contact.type is ContactType.PHONE
    assert "must be 5 to 20 digits" in faulty({"who": EMAIL, "code": CODE}, phone)["#/who"]


@pytest.mark.parametrize("word", ["phone", "email", 1, 2])
def test_type_pointer_is_followed(word: object) -> None:
    by_pointer = WITHOUT_TYPE._replace(type=parse("/list/1/kind"))
    contact = PHONE if word in ("phone", 1) else EMAIL
    found = read({"list": [0, {"kind": word}], "who": contact, "code": CODE}, by_pointer)
    assert found.contact.type.label == ("phone" if contact == PHONE else "email")


def test_mapped_body_errors_point_to_their_members() -> None:
    deep = PayloadMapping((parse("/data/user/email"),), parse("/data/a~1b/0"), parse("/kind"))
    assert faulty({}, deep) == {
        "#/kind": "is required", "#/data/user/email": "is required", "#/data/a~1b/0": "is required",
    }  # fmt: skip
    wrong = {"kind": "fax", "data": {"user": {"email": 5}, "a/b": [123456]}}
    assert list(faulty(wrong, deep)) == ["#/kind", "#/data/user/email", "#/data/a~1b/0"]


@pytest.mark.parametrize("contact", [None, "", " ", 18766554433, True, [], {}, "jo@", "@", "nobody", "\ud800@x.y"])
def test_mapped_invalid_contact_is_rejected(contact: object) -> None:
    assert list(faulty({"who": contact, "code": CODE})) == ["#/who"]


@pytest.mark.parametrize("code", [None, "", 123456, 1.5, True, ["123456"], "12 3", "12345678901"])
def test_mapped_invalid_code_is_rejected(code: object) -> None:
    assert list(faulty({"who": EMAIL, "code": code})) == ["#/code"]


@pytest.mark.parametrize("document", [[], None, 5, "x", [{"who": EMAIL, "code": CODE}]])
def test_mapped_body_without_values_is_rejected(document: object) -> None:
    assert faulty(document) == {"#/who": "is required", "#/code": "is required"}


def test_mapped_missing_member_with_another_name_gets_a_hint() -> None:
    by_preset = PRESETS["supabase"]
    user = {"email": EMAIL, "user_metadata": {"verifyCode": CODE, "my_own": CODE}}
    assert faulty({"user": user}, by_preset) == {
        "#/user/user_metadata/verify_code": "is required; the body has `verifyCode`, did you mean `verify_code`?"
    }
    assert faulty({"user": user | {"user_metadata": ["verifyCode"]}}, by_preset) == {
        "#/user/user_metadata/verify_code": "is required"
    }


def test_mapped_body_may_be_a_list() -> None:
    by_index = PayloadMapping((parse("/0/who"),), parse("/0/code"))
    assert read([{"who": EMAIL, "code": CODE}], by_index).contact.value == EMAIL


def test_first_candidate_with_a_value_is_the_contact() -> None:
    two = WITHOUT_TYPE._replace(contact=(parse("/email"), parse("/phone")))
    assert read({"email": EMAIL, "phone": PHONE, "code": CODE}, two).contact.value == EMAIL
    for empty in ("", None):
        assert read({"email": empty, "phone": PHONE, "code": CODE}, two).contact.value == PHONE
    assert read({"phone": PHONE, "code": CODE}, two).contact.value == PHONE
    assert (
        list(faulty({"code": CODE}, two))
        == list(faulty({"email": "", "phone": None, "code": CODE}, two))
        == ["#/email"]
    )


@pytest.mark.parametrize("data", [b'{"who": "a@b.cd", "who": "c@d.ef", "code": "1234"}', b"{", b"\xff", b"NaN"])
def test_mapped_body_must_be_strict_json(data: bytes) -> None:
    with pytest.raises(RequestRejected) as raised:
        body.parse(data, BodyFormat(WITHOUT_TYPE)).to_delivery()
    assert raised.value.outcome.code == "body-malformed"


anything: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from([EMAIL, PHONE, CODE, "phone", 2]) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab01~/"), inner, max_size=3),
    max_leaves=8,
)

some_pointer = st.lists(st.sampled_from(["a", "b", "0", "1", "~", "/", "data"]), min_size=1, max_size=3).map(tuple)


@given(
    document=anything,
    by=st.builds(
        PayloadMapping,
        st.lists(some_pointer, min_size=1, max_size=2).map(tuple),
        some_pointer,
        st.none() | st.sampled_from(["phone", "email"]) | some_pointer,
        st.booleans(),
    ),
    known_by=st.sampled_from([None, "member", "event"]),
)
def test_any_mapped_body_is_parsed_or_rejected(document: Any, by: PayloadMapping, known_by: Any) -> None:
    if known_by == "member":
        by, known_by = by.for_data(), None
    try:
        found = body.parse(json.dumps(document).encode(), BodyFormat(by, by.event, known_by)).to_delivery()
    except RequestRejected as refusal:
        shown = json.dumps(refusal.errors) + refusal.detail
        assert PHONE not in shown
        assert EMAIL not in shown
        return
    assert found.contact.value in (EMAIL, PHONE) or found.contact.value in json.dumps(document)


# -- other triggers --


def test_ckafka_message_is_mapped_and_identified_by_its_offset(emulator: Emulator) -> None:
    """A member `id` of a mapped body may have any type."""
    bridged = bridge(emulator.url, PAYLOAD_CONTACT="/user/phone", PAYLOAD_CODE="/user/code")
    document = {"id": 5, "user": {"phone": PHONE, "code": CODE}}
    record = {"Ckafka": {"topic": "t", "partition": 0, "offset": 1, "msgBody": json.dumps(document)}}
    assert bridged.events.handle({"Records": [record]}, CONTEXT)["ends"] == {"verified": 1}
    assert bridged.events.handle({"Records": [record]}, CONTEXT)["ends"] == {"verified": 1}
    assert ask(bridged, "t-0-1")[0] == 200
    own = {"Ckafka": {"topic": "t", "partition": 0, "offset": 2, "msgBody": json.dumps(DIRECT)}}
    assert bridged.events.handle({"Records": [own]}, CONTEXT)["ends"] == {"body-invalid": 1}
    assert len(emulator.calls) == 1
