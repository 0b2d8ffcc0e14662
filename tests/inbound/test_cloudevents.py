"""Test CloudEvents in both modes: the location of the delivery, and its idempotency key."""

from __future__ import annotations

import hmac
import json
from typing import Any
from urllib.parse import quote

import pytest
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.inbound import cloudevents

from signup_emulator.server import Emulator
from tests.support.bridge.deliveries import WRONG, replay_of
from tests.support.bridge.event_builders import CONTEXT, handle, url_event
from tests.support.bridge.instances import Bridge, bridge
from tests.support.bridge.responses import ABORT, HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed

STRUCTURED = {"Content-Type": "application/cloudevents+json; charset=utf-8"}
SOURCE = "https://signup.example.com/flows/1"


def event(**changed: Any) -> bytes:
    """Return the reference example as an event in structured mode. A member that is None is omitted."""
    document = {"specversion": "1.0", "type": "code.entered", "source": SOURCE, "id": "A-1", "data": json.loads(body())}
    document |= changed
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def binary(event_id: str = "A-1", source: str = SOURCE) -> dict[str, str]:
    return {"ce-specversion": "1.0", "ce-type": "code.entered", "ce-id": event_id, "ce-source": source}


def wrong(**changed: Any) -> bytes:
    return event(data=json.loads(body(verify_code=WRONG)), **changed)


@pytest.fixture(params=["none", "bearer"])
def trusting(request: pytest.FixtureRequest, emulator: Emulator) -> Bridge:
    """Return a bridge that requires no signatures, so that requests have no signed id."""
    return bridge(emulator.url, WEBHOOK_AUTH=request.param, WEBHOOK_SECRETS="a-token-of-24-characters")


def send(to: Bridge, data: bytes, headers: dict[str, str] | None = None) -> HttpResponse:
    token = {"Authorization": "Bearer a-token-of-24-characters"}
    return to.post(data, token | (STRUCTURED if headers is None else headers))


def test_cloudevents_id_identifies_the_delivery(emulator: Emulator, trusting: Bridge) -> None:
    first = send(trusting, event())
    assert first.json["code"] == "verified"
    assert send(trusting, event(time="2026-01-15T09:30:00Z")) == replay_of(first)
    assert send(trusting, wrong()).json["code"] == "idempotency-key-reused"
    assert send(trusting, event(id="A-2")).json["code"] == "already-verified"
    assert send(trusting, event(source="https://other.example.com")).json["code"] == "already-verified"
    assert len(emulator.calls) == 3


def test_cloudevent_in_both_modes_is_one_delivery(emulator: Emulator, trusting: Bridge) -> None:
    first = send(trusting, event())
    assert send(trusting, body(), binary()) == replay_of(first)
    assert send(trusting, body(), binary("A-2")).json["code"] == "already-verified"
    found = trusting.client.get(
        "/deliveries/A-1", headers={"Authorization": "Bearer a-token-of-24-characters", "ce-source": SOURCE}
    )
    assert found.get_json()["code"] == "verified"


@pytest.mark.parametrize(
    "event_id", ["A-1", "signup 7", "J\u00fcrgen 7", "100%", "%41", 'say "hi"', "a\\b", "\U0001f600", " x "]
)
@pytest.mark.parametrize("source", ["/signup", "urn:\u00e9 x"])
@pytest.mark.parametrize("binary_first", [True, False])
def test_cloudevent_of_the_package_in_both_modes_is_one_delivery(
    emulator: Emulator, event_id: str, source: str, binary_first: bool
) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none")
    attributes = {"id": event_id, "source": source, "type": "code.entered", "specversion": "1.0"}
    sent = CloudEvent({**attributes, "datacontenttype": "application/json"}, json.loads(body()))
    messages = [to_binary_event(sent), to_structured_event(sent)][:: 1 if binary_first else -1]
    first, second = (bridged.post(one.body, one.headers) for one in messages)
    assert first.json["code"] == "verified"
    assert second == replay_of(first)
    found = bridged.client.get(f"/deliveries/{quote(event_id)}", headers={"ce-source": quote(source)})
    assert found.get_json()["code"] == "verified"


@pytest.mark.parametrize(
    ("header", "event_id"),
    [
        ('"signup 7"', "signup 7"),
        (r'"say \"hi\" \\ \bye"', r'say "hi" \ bye'),
        ('"signup%207"', "signup 7"),
        ('"%2522"', "%22"),
        ("%2520", "%20"),
        ("100%", "100%"),
        ("%zz%4", "%zz%4"),
        ("%e4%bd%a0%C3%BC", "\u4f60\u00fc"),
        ("J\u00c3\u00bcrgen", "J\u00fcrgen"),  # unencoded UTF-8, as WSGI decodes it
        ('"open', '"open'),
        ('a"b"c', 'a"b"c'),
        ("\t A-1 ", "A-1"),
        ("x" * 1024, "x" * 1024),
    ],
)
def test_attribute_header_is_decoded_once(header: str, event_id: str) -> None:
    assert cloudevents.from_header(header) == event_id


@pytest.mark.parametrize(
    "header", ["", " ", '""', "%00", "a%0Ab", "%C2%80", "%FF", "%C3", "\u00e9", "\u4f60", "x" * 1025, "%" * 1025]
)
def test_malformed_attribute_header_is_rejected(emulator: Emulator, header: str) -> None:
    with pytest.raises(ValueError, match="must be a string of 1 to 1024 characters without control characters"):
        cloudevents.from_header(header)
    if header.isascii():
        response = bridge(emulator.url, WEBHOOK_AUTH="none").post(body(), binary(header, header))
        errors = [
            {"pointer": name, "detail": "must be a string of 1 to 1024 characters without control characters"}
            for name in ("ce-id", "ce-source")
        ]
        check_problem(response, problem("body-invalid", 422, retryable=False, errors=errors), ABORT)


PRINTABLE = st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=1024)


@given(text=PRINTABLE)
def test_percent_encoded_attribute_is_decoded(text: str) -> None:
    assert cloudevents.from_header(quote(text)) == text


def test_cloudevent_without_a_source_is_rejected_in_both_modes(emulator: Emulator, trusting: Bridge) -> None:
    response = send(trusting, body(), {"ce-id": "A-1"})
    errors = [{"pointer": "ce-source", "detail": "is required"}]
    check_problem(response, problem("body-invalid", 422, retryable=False, errors=errors), ABORT)
    structured = send(trusting, event(source=None))
    assert structured.json["errors"] == [{"pointer": "#/source", "detail": "is required"}]
    assert emulator.calls == []


def test_idempotency_key_header_precedes_the_cloudevents_id(trusting: Bridge) -> None:
    first = send(trusting, event(), STRUCTURED | {"Idempotency-Key": "k-1"})
    assert send(trusting, event(id=[]), STRUCTURED | {"Idempotency-Key": "k-1"}) == replay_of(first)
    assert send(trusting, event()).json["code"] == "already-verified"


def test_structured_mode_ignores_attribute_headers(trusting: Bridge) -> None:
    first = send(trusting, event(), STRUCTURED | binary("another", "source"))
    assert send(trusting, event()) == replay_of(first)


@pytest.mark.parametrize("content_type", ["application/json", "application/CloudEvents+JSON", "", "text/json"])
def test_media_type_selects_the_mode(trusting: Bridge, content_type: str) -> None:
    response = send(trusting, event(), {"Content-Type": content_type})
    assert response.status == {"application/CloudEvents+JSON": 200, "text/json": 415}.get(content_type, 422)


@pytest.mark.parametrize(
    ("changed", "pointers"),
    [
        ({"data": None}, ["#/data"]),
        ({"data": "x"}, ["#/data"]),
        ({"data": None, "data_base64": "e30="}, ["#/data"]),
        ({"data": {}}, ["#/data/type", "#/data/contact", "#/data/verify_code"]),
        ({"data": {"Type": 3, "Code": PHONE, "VerifyCode": CODE}}, ["#/data/Type"]),
        ({"data": {"type": 1, "contact": PHONE, "verify_code": CODE, "Code": 5}}, ["#/data/Code"]),
        ({"id": None}, ["#/id"]),
        ({"id": ""}, ["#/id"]),
        ({"id": 5, "source": None, "data": {"type": 1, "contact": PHONE}}, ["#/data/verify_code", "#/source", "#/id"]),
        ({"id": "a\nb"}, ["#/id"]),
        ({"id": "x" * 1025}, ["#/id"]),
        ({"source": ""}, ["#/source"]),
    ],
)  # fmt: skip
def test_cloudevent_errors_point_to_their_members(
    emulator: Emulator, trusting: Bridge, changed: dict[str, Any], pointers: list[str]
) -> None:
    response = send(trusting, event(**changed))
    assert [one["pointer"] for one in response.json["errors"]] == pointers
    assert emulator.calls == []


def test_cloudevent_data_with_api_names_is_accepted(trusting: Bridge) -> None:
    assert send(trusting, event(data={"Type": 1, "Code": PHONE, "VerifyCode": CODE})).status == 200


def test_cloudevents_batch_is_rejected(trusting: Bridge) -> None:
    response = send(trusting, b"[" + event() + b"]", {"Content-Type": "application/cloudevents-batch+json"})
    expected = problem(
        "body-invalid", 422, retryable=False, errors=[{"pointer": "#", "detail": "must be an object"}]
    )  # fmt: skip
    check_problem(response, expected, ABORT)


def test_cloudevent_above_the_body_limit_is_rejected(trusting: Bridge) -> None:
    assert send(trusting, event(note="x" * 16_384)).status == 413


def test_signed_id_precedes_the_cloudevents_id(emulator: Emulator) -> None:
    bridged = bridge(emulator.url)
    first = bridged.post(event(), signed(event(), delivery_id="msg_1") | STRUCTURED)
    assert first.json["code"] == "verified"
    other = event(id=None, source=None)
    assert bridged.post(other, signed(other, delivery_id="msg_1") | STRUCTURED) == replay_of(first)
    assert bridged.post(event(), signed(event(), delivery_id="msg_2") | STRUCTURED).json["code"] == "already-verified"


def test_cloudevent_with_a_github_signature_is_identified_by_its_content(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="github", WEBHOOK_SECRETS="a-secret-of-24-characters")

    def post(data: bytes) -> HttpResponse:
        signature = "sha256=" + hmac.digest(b"a-secret-of-24-characters", data, "sha256").hex()
        return bridged.post(data, STRUCTURED | {"X-Hub-Signature-256": signature})

    first = post(event())
    assert post(event()) == replay_of(first)
    assert post(event(subject="written differently")).json["code"] == "already-verified"


def test_cloudevent_under_supabase_is_identified_by_its_content(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none", SENDER_PROFILE="supabase")
    assert bridged.post(event(), STRUCTURED).json["code"] == "verified"
    assert "error" in bridged.post(event(subject="x"), STRUCTURED).json
    assert len(emulator.calls) == 2


# -- with a mapping --


def test_cloudevents_preset_needs_no_media_type(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none", PAYLOAD_PRESET="cloudevents")
    first = bridged.post(event(), {"Content-Type": "application/json"})
    assert first.json["code"] == "verified"
    assert bridged.post(event(), STRUCTURED) == replay_of(first)
    assert bridged.post(body(), binary()) == replay_of(first)
    missing = bridged.post(body(contact=None), binary("A-2"))
    assert missing.json["errors"] == [{"pointer": "#/contact", "detail": "is required"}]
    assert bridged.post(body(), {}).json["errors"][-1] == {"pointer": "#/id", "detail": "is required"}


def test_pointers_with_a_preset_apply_to_the_event_in_both_modes(emulator: Emulator) -> None:
    changed: Any = {"PAYLOAD_CONTACT": "/data/user/tel", "PAYLOAD_TYPE": "=phone"}
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none", PAYLOAD_PRESET="cloudevents", **changed)
    data = {"user": {"tel": PHONE}, "verify_code": CODE}
    first = bridged.post(event(data=data), STRUCTURED)
    assert first.json["code"] == "verified"
    assert bridged.post(json.dumps(data).encode(), binary()) == replay_of(first)


def test_pointers_without_a_preset_apply_to_the_body(emulator: Emulator) -> None:
    changed: Any = {"PAYLOAD_CONTACT": "/data/contact", "PAYLOAD_CODE": "/data/verify_code"}
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none", **changed)
    first = bridged.post(event(), STRUCTURED)
    assert first.json["code"] == "verified"
    assert bridged.post(event(extra=1), STRUCTURED) == replay_of(first)
    assert [one["pointer"] for one in bridged.post(body(), binary()).json["errors"]] == [
        "#/data/contact",
        "#/data/verify_code",
    ]


# -- by events of the platform --


def test_http_event_with_a_cloudevent_is_verified(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH="none")
    first = handle(bridged, url_event(event(), headers=STRUCTURED))
    assert first.json["code"] == "verified"
    assert handle(bridged, url_event(event(subject="x"), headers=STRUCTURED)) == replay_of(first)


def test_ckafka_message_is_identified_by_its_cloudevents_id(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, PAYLOAD_PRESET="cloudevents")
    records = [
        {"Ckafka": {"topic": "t", "partition": 0, "offset": at, "msgBody": data.decode()}}
        for at, data in enumerate([event(), event(), event(id=None), event(id="A-2")])
    ]
    result = bridged.events.handle({"Records": records}, CONTEXT)
    assert result["ends"] == {"verified": 2, "body-invalid": 1, "already-verified": 1}
    asked = bridged.client.get("/deliveries/A-1", headers=signed(b"") | {"ce-source": SOURCE})
    assert asked.get_json()["code"] == "verified"
    assert bridged.client.get("/deliveries/A-1", headers=signed(b"")).status_code == 404
