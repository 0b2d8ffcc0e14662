"""Test that the description allows every request that the bridge accepts, and requires what the bridge requires."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from signup_bridge import settings
from signup_bridge.app import describe
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.inbound import body as payload
from signup_bridge.inbound import cloudevents
from signup_bridge.inbound.payload_mapping import PRESETS

from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.instances import bridge, environment
from tests.support.bridge.signed_requests import CODE, PHONE, signed

JSON, EVENT = "application/json", cloudevents.STRUCTURED
OWN = {"type": "phone", "contact": PHONE, "verify_code": CODE}
IN_API_NAMES = {"Type": 2, "Code": "jo@example.com", "VerifyCode": CODE}
SAMPLES = {preset: json.loads((ROOT / "tests" / "samples" / f"{preset}.json").read_text()) for preset in PRESETS}
FOLDERS = {"PAYLOAD_CONTACT": "/fields/0/value", "PAYLOAD_CODE": "/fields/1/value", "PAYLOAD_TYPE": "=phone"}


def name_of(changed: dict[str, str]) -> str:
    return "-".join(changed.values()).replace("/", ".") or "own"


def document(**changed: str) -> Any:
    return describe(settings.load(environment("", **changed)))


def validator(described: Any, media_type: str = JSON, path: str = "/webhooks/signup") -> jsonschema_rs.Validator:
    content = described["paths"][path]["post"]["requestBody"]["content"]
    schema = {**content[media_type]["schema"], "components": described["components"]}
    return jsonschema_rs.validator_for(schema)


# -- bodies --


def test_describe_own_body_in_both_spellings() -> None:
    is_valid = validator(document()).is_valid
    assert is_valid(OWN)
    assert is_valid(OWN | {"type": 1, "more": "of it"})
    assert is_valid(IN_API_NAMES)
    assert is_valid(IN_API_NAMES | {"Type": "email"})
    for name in OWN:
        assert not is_valid({member: value for member, value in OWN.items() if member != name})
    assert not is_valid(OWN | {"Type": "phone"})
    assert not is_valid(OWN | {"type": "fax"})
    assert not is_valid(OWN | {"verify_code": 123456})


def test_describe_code_request_has_no_code_member() -> None:
    is_valid = validator(document(SEND_CODES="true"), path="/webhooks/code").is_valid
    assert is_valid({"type": "phone", "contact": PHONE})
    assert is_valid({"Type": 1, "Code": PHONE})
    assert not is_valid(OWN)


@pytest.mark.parametrize("auth", ["standard-webhooks", "none"])
def test_describe_event_contains_own_body(auth: str) -> None:
    is_valid = validator(document(WEBHOOK_AUTH=auth), EVENT).is_valid
    assert is_valid({"id": "1", "source": "/x", "data": OWN})
    assert is_valid({"data": OWN})  # a signed id or an Idempotency-Key can identify the delivery
    assert not is_valid({"id": "1", "source": "/x"})


WANTED = {
    "supabase": ("/user/email", "/user/user_metadata/verify_code"),
    "clerk": ("/data/email_addresses/0/email_address", "/data/unsafe_metadata/verify_code"),
    "auth0": ("/data/object/email", "/data/object/user_metadata/verify_code"),
    "cloudevents": ("/data/contact", "/data/verify_code"),
}


@pytest.mark.parametrize("media_type", [JSON, EVENT])
@pytest.mark.parametrize("preset", PRESETS)
def test_describe_mapped_body_requires_mapped_members(preset: str, media_type: str) -> None:
    is_valid = validator(document(PAYLOAD_PRESET=preset), media_type).is_valid
    assert is_valid(SAMPLES[preset])
    for pointer in WANTED[preset]:
        assert not is_valid(without(SAMPLES[preset], pointer))
    assert not is_valid(OWN) or (preset, media_type) == ("cloudevents", JSON)  # the data of binary mode


def without(sample: Any, pointer: str) -> Any:
    changed = copy.deepcopy(sample)
    *path, last = pointer.split("/")[1:]
    inside = changed
    for token in path:
        inside = inside[int(token)] if isinstance(inside, list) else inside[token]
    del inside[last]
    return changed


def test_describe_numeric_pointer_token_allows_list_or_object() -> None:
    is_valid = validator(document(**FOLDERS)).is_valid
    contact, code = {"value": PHONE}, {"value": CODE}
    assert is_valid({"fields": [contact, code, 5]})
    assert is_valid({"fields": {"0": contact, "1": code}})
    assert not is_valid({"fields": [contact]})
    assert not is_valid({"fields": {"1": code}})


# -- generated bodies --

PIECES: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        "",
        " ",
        PHONE,
        f" {PHONE} ",
        "jo@example.com",
        CODE,
        "0000",
        "phone",
        "email",
        "fax",
        1,
        2,
        True,
        [],
        {},
        OWN,
    ]
)


def places(value: Any) -> list[tuple[Any, ...]]:
    """Return the path of each value inside a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else [])
    return [(name, *rest) for name, one in inside for rest in ((), *places(one))]


@st.composite
def mutants(draw: st.DrawFn, samples: list[Any]) -> Any:
    """Return a sample with some values replaced or removed."""
    value = copy.deepcopy(draw(st.sampled_from(samples)))
    for _ in range(draw(st.integers(0, 3))):
        if not (found := places(value)):
            break
        *path, last = draw(st.sampled_from(found))
        inside = value
        for name in path:
            inside = inside[name]
        if draw(st.booleans()):
            inside[last] = copy.deepcopy(draw(PIECES))
        else:
            inside.pop(last)
    return value


@pytest.mark.parametrize("changed", [{}, FOLDERS, *({"PAYLOAD_PRESET": preset} for preset in PRESETS)], ids=name_of)
@pytest.mark.parametrize("auth", ["standard-webhooks", "none"])
def test_describe_matches_bodies_that_parse_accepts(changed: dict[str, str], auth: str) -> None:
    bridge_settings = settings.load(environment("", WEBHOOK_AUTH=auth, **changed))
    described = describe(bridge_settings)
    validators = {media_type: validator(described, media_type) for media_type in (JSON, EVENT)}
    fields = {"fields": [{"value": PHONE}, {"value": CODE}]}
    samples = [fields] if changed else [OWN, IN_API_NAMES, {"data": OWN, "id": "1", "source": "/"}]
    if sample := SAMPLES.get(changed.get("PAYLOAD_PRESET", "")):
        samples = [sample, sample["data"]] if "data" in sample else [sample]
    read = []

    @given(mutants(samples), st.sampled_from([JSON, EVENT]), st.booleans())
    @example(samples[0], JSON, False)
    def check(body: Any, media_type: str, binary: bool) -> None:
        mapping = bridge_settings.mapping
        trusted = auth == "none"
        reading = cloudevents.body_format("request", mapping, content_type=media_type, binary=binary, trusted=trusted)
        try:
            payload.parse(json.dumps(body).encode(), reading).to_delivery()
        except RequestRejected:
            return
        read.append(body)
        validators[media_type].validate(body)

    check()
    assert read


# -- headers --


def headers(changed: dict[str, str], path: str, method: str) -> set[str]:
    parameters = document(**changed)["paths"][path][method]["parameters"]
    assert not any(one["required"] for one in parameters if one["in"] == "header")
    return {one["name"] for one in parameters if one["in"] == "header"}


@pytest.mark.parametrize(
    ("changed", "named", "asked"),
    [
        ({}, set(), set()),
        ({"WEBHOOK_AUTH": "github"}, set(), set()),
        ({"WEBHOOK_AUTH": "bearer"}, {"Idempotency-Key", "ce-id", "ce-source"}, {"ce-source"}),
        ({"WEBHOOK_AUTH": "none"}, {"Idempotency-Key", "ce-id", "ce-source"}, {"ce-source"}),
        ({"WEBHOOK_AUTH": "none", "SENDER_PROFILE": "supabase"}, set(), set()),
        ({"PAYLOAD_PRESET": "clerk"}, set(), set()),
        ({"PAYLOAD_PRESET": "auth0"}, {"ce-id", "ce-source"}, {"ce-source"}),
        ({"PAYLOAD_PRESET": "cloudevents", "SENDER_PROFILE": "supabase"}, {"ce-id", "ce-source"}, {"ce-source"}),
    ],
    ids=["standard-webhooks", "github", "bearer", "none", "content", "clerk", "auth0", "cloudevents"],
)
def test_describe_lists_headers_that_identify_delivery(
    changed: dict[str, str], named: set[str], asked: set[str]
) -> None:
    assert headers(changed, "/", "post") == headers(changed, "/webhooks/signup", "post") == named | {"traceparent"}
    assert headers(changed | {"SEND_CODES": "true"}, "/webhooks/code", "post") == named | {"traceparent"}
    assert headers(changed, "/deliveries/{id}", "get") == asked


def test_describe_delivery_names_mapping_setting(emulator: Emulator) -> None:
    described = bridge(emulator.url, PAYLOAD_PRESET="clerk").client.get("/openapi.json").get_json()
    assert "PAYLOAD_PRESET" in described["components"]["schemas"]["Delivery"]["description"]


@pytest.mark.parametrize("preset", PRESETS)
def test_each_described_media_type_is_accepted(emulator: Emulator, preset: str) -> None:
    bridged = bridge(emulator.url, PAYLOAD_PRESET=preset)
    data = json.dumps(SAMPLES[preset]).encode()
    for media_type in document(PAYLOAD_PRESET=preset)["paths"]["/"]["post"]["requestBody"]["content"]:
        response = bridged.post(data, signed(data) | {"Content-Type": media_type})
        assert response.json.get("code", "verified") not in ("media-type-unsupported", "body-invalid", "body-malformed")
