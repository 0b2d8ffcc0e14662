"""Fuzz the body parser: the result is a delivery, or a rejection whose text repeats no value of the body.

An input has lines of ``name: value`` with settings and properties of the request, an empty line, and the body.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery
from signup_bridge.core.outcomes import RequestRejected
from signup_bridge.inbound import body as payload
from signup_bridge.inbound import json_pointer, member_names, spelling
from signup_bridge.inbound.cloudevents import NATIVE, BodyFormat, body_format
from signup_bridge.inbound.payload_mapping import PRESETS, PayloadMapping, parse_type
from signup_bridge.ledger.keys import normalized

from tests.support import ROOT
from tests.support.bridge.signed_requests import body

OWN_WORDS = "\n".join([Path(payload.__file__).read_text(), *map(" ".join, member_names.INSTEAD.values())])
"""The module's source text, and the names that it recognises. None of these in an error is a leak."""

ORIGINS = ("request", "invocation", "message")
FORMS = {ContactType.PHONE: re.compile(payload.PHONE), ContactType.EMAIL: re.compile(payload.EMAIL)}


def try_one(data: bytes) -> None:
    head, _, document = data.partition(b"\n\n")
    lines = (line.partition(": ") for line in head.decode("utf-8", "replace").split("\n"))
    read = _reading({name: value for name, _, value in lines})
    if read is None:
        return
    try:
        delivery = payload.parse(document, read).to_delivery()
    except RequestRejected as refusal:
        _check_refusal(refusal, read, document)
    else:
        _check_delivery(delivery)


def _reading(options: dict[str, str]) -> BodyFormat | None:
    """Return the body format for these settings and headers, or None if the settings are invalid."""
    mapping = PRESETS.get(options.get("preset", ""))
    try:
        if mapping is None and "contact" in options and "code" in options:
            kind = parse_type(options["type"]) if "type" in options else None
            mapping = PayloadMapping((_pointer(options["contact"]),), _pointer(options["code"]), kind)
    except ValueError:
        return None
    origin: Any = options.get("origin") if options.get("origin") in ORIGINS else "request"
    result = body_format(
        origin,
        mapping,
        content_type=options.get("content-type"),
        binary="ce-id" in options,
        trusted="trusted" in options,
    )
    return result if options else NATIVE


def _pointer(text: str) -> json_pointer.Pointer:
    found = json_pointer.parse(text)
    assert json_pointer.to_string(found) == f"#{text}", "a parsed pointer is written differently"
    return found


def _check_delivery(delivery: Delivery) -> None:
    contact = delivery.contact
    assert FORMS[contact.type].fullmatch(contact.value), "the contact is malformed"
    assert contact.value == spelling.visible(contact.value), "the contact has invisible characters"
    assert normalized(contact), "the contact has no normalized form"
    assert len(contact.value) <= payload.CONTACT_LIMIT
    assert re.fullmatch(payload.VERIFY_CODE, delivery.verify_code), "the code is malformed"
    if contact.type is ContactType.EMAIL:
        assert contact.masked.rpartition("@")[0][1:] == "***", "the masked address shows more than its first character"
    else:
        assert contact.masked.count("*") >= 3, "the masked number shows too many digits"
    assert repr(delivery) == repr(Delivery(Contact(contact.type, ""), "", delivery.key)), (
        "repr shows a contact or a code"
    )


def _check_refusal(refusal: RequestRejected, read: BodyFormat, document: bytes) -> None:
    assert refusal.outcome.code in ("body-malformed", "body-invalid")
    text = " ".join([refusal.detail, *(detail for _, detail in refusal.errors)])
    assert refusal.outcome.code != "body-invalid" or refusal.errors, "the rejection names no member"
    known = {"#", "#/data", "#/id", "#/source", *_places(read)}
    assert {pointer for pointer, _ in refusal.errors} <= known, "the rejection names an unknown member"
    try:
        sent = json.loads(document)
    except (ValueError, RecursionError):
        return
    for value in _values(sent):
        assert value in OWN_WORDS or value not in text, "the rejection repeats a value of the body"


def _places(read: BodyFormat) -> set[str]:
    if read.mapping is None:
        before: json_pointer.Pointer = ("data",) if read.event else ()
        return {json_pointer.to_string((*before, name)) for name in (*payload.BRIDGE_NAMES, *payload.API_NAMES)}
    mapping = read.mapping
    type_pointers = [mapping.type] if isinstance(mapping.type, tuple) else []
    return {json_pointer.to_string(pointer) for pointer in (*mapping.contact, mapping.code, *type_pointers)}


def _values(document: Any) -> Iterator[str]:
    """Yield names, strings and numbers of four characters or more."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif len(str(value)) >= 4 and not isinstance(value, bool) and value is not None:
            yield str(value)


def seeds() -> list[bytes]:
    samples = {path.stem: path.read_bytes() for path in (ROOT / "tests" / "samples").glob("*.json")}
    event = json.dumps({"specversion": "1.0", "id": "e-1", "source": "/s", "data": json.loads(body())}).encode()
    api = b'{"Type": 1, "Code": "18766554433", "VerifyCode": "123456"}'
    mapped = b"contact: /a/0/b~1c\ncode: /code\n"
    return [
        b"\n\n" + body(),
        b"\n\n" + api,
        b"\n\n" + body(type="email", contact="jo@example.com"),
        b"\n\n\xef\xbb\xbf" + body(contact="１８７ 6655\u20134433", verify_code="\u200b١٢٣-456"),
        b"\n\n" + body(type="email", contact="J\u00f6@b\u00fccher.xn--p1ai"),
        b'\n\n{"type": 1, "phone": "18766554433", "verifyCode": "123456"}',
        b"origin: invocation\n\n" + body(id="d-1"),
        b"content-type: application/cloudevents+json\ntrusted: 1\n\n" + event,
        *(f"preset: {name}\n\n".encode() + samples[name] for name in PRESETS),
        *(f"preset: {name}\nce-id: 1\ntrusted: 1\n\n".encode() + samples[name] for name in PRESETS),
        mapped + b'\n{"a": [{"b/c": "+1 (202) 555-0101"}], "code": "123456"}',
        mapped + b'type: /type\n\n{"a": [{"b/c": "jo@example.com"}], "code": "123456", "type": "email"}',
        mapped + b'type: =phone\n\n{"a": [{"b/c": "10086"}], "code": 123456}',
    ]


WORDS = (
    b"preset: ", b"contact: /", b"code: /", b"type: =phone", b"type: /", b"origin: invocation", b"origin: message",
    b"content-type: application/cloudevents+json", b"trusted: 1", b"ce-id: 1", b'"type"', b'"contact"',
    b'"verify_code"', b'"Type"', b'"Code"', b'"VerifyCode"', b'"data"', b'"id"', b'"source"', b'"phone"', b'"email"',
    b"~0", b"~1", b"\\u0000", b"\\ud800", b"NaN", b"1e999", b"null", b"true", b"[[", b"{}", b"@", b"+", b"\xe2\x80\xa8",
    b"\xef\xbb\xbf", b"\xe2\x80\x8b", b"\xef\xbc\x91", b"\xd9\xa1", b"\xc2\xa0", b"\xef\xb8\x8f", b"xn--",
    b'"code"', b'"verifyCode"',
)  # fmt: skip
