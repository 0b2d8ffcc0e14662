"""Build CKafka batches of deliveries."""

from __future__ import annotations

import json
from typing import Any

from signup_emulator.server import Emulator
from tests.support.bridge.event_builders import CONTEXT

LONG = CONTEXT | {"time_limit_in_ms": 60_000}


def record(at: int, message: object, **changed: Any) -> dict[str, Any]:
    """Return one record. A message that is not a string is encoded as JSON."""
    text = message if isinstance(message, str) else json.dumps(message)
    place = {"topic": "signups", "partition": 0, "offset": at, "msgKey": "", "msgBody": text}
    return {"Ckafka": {name: value for name, value in (place | changed).items() if value is not ...}}


def batch(*records: dict[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def send(emulator: Emulator, count: int) -> list[dict[str, Any]]:
    """Return ``count`` messages, each with the code that was sent to its contact."""
    contacts = [f"1000000{number:04}" for number in range(count)]
    for contact in contacts:
        emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 1, "Code": contact})
    codes = {sent.contact[1]: sent.code for sent in emulator.domain.sent_codes()}
    return [{"type": "phone", "contact": contact, "verify_code": codes[contact]} for contact in contacts]


def wrong(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"verify_code": "0000000"}


def contacts(emulator: Emulator) -> list[str]:
    return [call.contact or "" for call in emulator.calls]
