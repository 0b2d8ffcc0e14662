"""Build sample bodies of deliveries: in the bridge's own format, or in the format of a PAYLOAD_PRESET.

docs/guides/senders.md names the documentation of each format.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any


def build_body(contact: str, code: str | None, kind: str | None = None, preset: str | None = None) -> bytes:
    """Build the body of a delivery. Without a ``code`` it requests one.

    ``kind`` is phone or email, by default email if the contact has an @. Raises KeyError for an unknown ``preset``.
    """
    kind = kind or ("email" if "@" in contact else "phone")
    document = PAYLOADS[preset](contact, code, kind) if preset else _native(contact, code, kind)
    return json.dumps(document, ensure_ascii=False).encode()


def _native(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    return {"type": kind, "contact": contact, **_code_member(code)}


def _code_member(code: str | None) -> dict[str, Any]:
    return {} if code is None else {"verify_code": code}


def _supabase(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    """Build the hook *before user created*: the user is not in the database yet, so both times are zero."""
    never = "0001-01-01T00:00:00Z"
    return {
        "metadata": {
            "uuid": str(uuid.uuid4()),
            "time": _now(),
            "name": "before-user-created",
            "ip_address": "127.0.0.1",
        },
        "user": {
            "id": str(uuid.uuid4()),
            "aud": "authenticated",
            "role": "",
            "email": contact if kind == "email" else "",
            "phone": contact if kind == "phone" else "",
            "app_metadata": {"provider": kind, "providers": [kind]},
            "user_metadata": _code_member(code),
            "identities": [],
            "created_at": never,
            "updated_at": never,
            "is_anonymous": False,
        },
    }


def _clerk(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    """Build the event `user.created`, abridged."""
    phone = kind == "phone"
    named: dict[str, Any] = {
        "id": f"idn_{uuid.uuid4().hex}",
        "object": "phone_number" if phone else "email_address",
        "phone_number" if phone else "email_address": contact,
    }
    user = {
        "id": f"user_{uuid.uuid4().hex}",
        "object": "user",
        "email_addresses": [] if phone else [named],
        "phone_numbers": [named] if phone else [],
        "unsafe_metadata": _code_member(code),
    }
    return {"data": user, "object": "event", "type": "user.created"}


def _auth0(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    """Build the event `user.created`, abridged."""
    member = "phone_number" if kind == "phone" else "email"
    user = {"user_id": f"auth0|{uuid.uuid4().hex}", member: contact, "user_metadata": _code_member(code)}
    return {**_event("user.created", "urn:auth0:example"), "data": {"object": user}}


def _cloudevents(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    return {**_event("com.example.signup", "https://signup.example.com"), "data": _native(contact, code, kind)}


def _event(event_type: str, source: str) -> dict[str, Any]:
    return {"specversion": "1.0", "id": f"evt_{uuid.uuid4().hex}", "source": source, "type": event_type, "time": _now()}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat()


PAYLOADS: dict[str, Callable[[str, str | None, str], dict[str, Any]]] = {
    "supabase": _supabase,
    "clerk": _clerk,
    "auth0": _auth0,
    "cloudevents": _cloudevents,
}
"""A builder for each value of PAYLOAD_PRESET. Each call returns a document with new ids."""
