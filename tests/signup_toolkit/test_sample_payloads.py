"""Test that the bridge can parse the bodies that the emulator's senders write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.inbound import body
from signup_bridge.inbound.cloudevents import BodyFormat
from signup_bridge.inbound.payload_mapping import PRESETS

from signup_toolkit import sample_payloads
from tests.support import ROOT
from tests.support.bridge.signed_requests import CODE, PHONE
from tests.support.emulator.command import call
from tests.support.emulator.make_run import running_pair

EMAIL = "jo@example.com"


def places(document: Any, at: str = "") -> Iterator[str]:
    """Yield the path of each value in a document."""
    if isinstance(document, dict):
        for name, value in document.items():
            yield from places(value, f"{at}/{name}")
    elif isinstance(document, list):
        for value in document:
            yield from places(value, f"{at}/0")
    else:
        yield at


@pytest.mark.parametrize("preset", PRESETS)
def test_build_body_matches_sample_of_sender_and_is_new_each_time(preset: str) -> None:
    sample = json.loads((ROOT / "tests" / "samples" / f"{preset}.json").read_text())
    written = sample_payloads.build_body(EMAIL, CODE, preset=preset)
    assert set(places(json.loads(written))) <= set(places(sample))
    assert written != sample_payloads.build_body(EMAIL, CODE, preset=preset)


@pytest.mark.parametrize(("contact", "kind"), [(EMAIL, "email"), (PHONE, "phone"), ("+1 555-0100", "phone")])
@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_build_body_is_parsed_by_bridge(preset: str | None, contact: str, kind: str) -> None:
    mapping = PRESETS[preset] if preset else None
    reading = BodyFormat(mapping, mapping.event if mapping else False)
    found = body.parse(sample_payloads.build_body(contact, "abcd", preset=preset), reading).to_delivery()
    assert (found.contact.type.label, found.contact.value, found.verify_code) == (kind, contact, "abcd")


@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_build_body_without_code_is_code_request(preset: str | None) -> None:
    mapping = PRESETS[preset] if preset else None
    reading = BodyFormat(mapping, mapping.event if mapping else False)
    found = body.parse(sample_payloads.build_body(EMAIL, None, preset=preset), reading).to_code_request()
    assert found.contact.value == EMAIL


def test_every_preset_has_sample_payload() -> None:
    assert set(sample_payloads.PAYLOADS) == set(PRESETS)


def test_page_and_send_command_use_preset_of_bridge(tmp_path: Path) -> None:
    def send(*options: str) -> tuple[int, Any]:
        done = call("send", "--emulator", pair.url, "--sender", "supabase", "--json", *options)
        return done.returncode, json.loads(done.stdout)["body"]

    with running_pair(tmp_path, PAYLOAD_PRESET="supabase", SENDER_PROFILE="supabase") as pair:
        assert pair.get("status")["preset"] == "supabase"
        status, result = send()
        assert (status, result["code"], result["contact"]) == (0, "verified", "187****4433")
        assert send("--contact", EMAIL, "--code", "000000") == (
            1, {"error": {"http_code": 422, "message": "The verification code is incorrect"}, "code": "code-incorrect"},
        )  # fmt: skip
        code = pair.post("codes", {"contact": EMAIL})["code"]
        delivery = pair.post("deliveries", {"contact": EMAIL, "verify_code": code, "sender": "supabase"})
        assert (delivery["outcome"], json.loads(delivery["request"]["body"])["user"]["email"]) == ("verified", EMAIL)
        for url in (pair.bridge, pair.url):
            status, result = send("--url", f"{url}/webhooks/signup")
            assert result["error"]["http_code"] == 409  # so the bridge parsed the body


def test_unknown_preset_is_rejected(tmp_path: Path) -> None:
    done = call("send", "--url", "http://127.0.0.1:9/", PAYLOAD_PRESET="okta")
    presets = "supabase, clerk, auth0, cloudevents"
    assert done.returncode == 2
    assert done.stderr == f"signup-bridge send: PAYLOAD_PRESET: okta is not supported; expected one of {presets}\n"
