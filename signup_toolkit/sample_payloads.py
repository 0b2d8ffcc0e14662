"""A delivery's body: the bridge's own, or a signup system's, as the bridge reads it by a PAYLOAD_PRESET.

docs/senders.md says where each of them documents it, and what a signup form must do so that the code is in it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any


def build_body(contact: str, code: str | None, kind: str | None = None, preset: str | None = None) -> bytes:
    """A delivery's body; without a ``code`` it asks for one. Without a ``kind`` what holds an @ is an email address.

    Raises KeyError for no ``preset``.
    """
    kind = kind or ("email" if "@" in contact else "phone")
    document = PAYLOADS[preset](contact, code, kind) if preset else _native(contact, code, kind)
    return json.dumps(document, ensure_ascii=False).encode()


def _native(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    return {"type": kind, "contact": contact, **_code_member(code)}


def _code_member(code: str | None) -> dict[str, Any]:
    return {} if code is None else {"verify_code": code}


def _supabase(contact: str, code: str | None, kind: str) -> dict[str, Any]:
    """The hook *before user created*: the user is not in the database yet, and so was never created or updated."""
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
    """The event `user.created`, in short."""
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
    """The event `user.created`, in short."""
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
"""By the value of PAYLOAD_PRESET: contact, code and type in, the document out, which is a new one each time."""
