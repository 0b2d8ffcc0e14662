"""A signup system in a few lines: sign one delivery as `WEBHOOK_AUTH` has it and post it."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid

import requests

DEMO_SECRET = "whsec_" + base64.b64encode(b"signup-bridge, known to everybody").decode()
"""What `make run` gives the bridge when no WEBHOOK_SECRETS is set."""


def body_of(contact: str, code: str) -> bytes:
    """A delivery's body: what holds an @ is an email address."""
    kind = "email" if "@" in contact else "phone"
    return json.dumps({"type": kind, "contact": contact, "verify_code": code}).encode()


def signed_headers(body: bytes, *, auth: str, secret: str) -> dict[str, str]:
    """The headers of a fresh delivery, with a new id and the time of now."""
    headers = {"Content-Type": "application/json"}
    if auth == "standard-webhooks":
        delivery_id, timestamp = f"msg_{uuid.uuid4().hex}", str(int(time.time()))
        key = base64.b64decode(secret.removeprefix("v1,").removeprefix("whsec_"))
        signature = hmac.digest(key, f"{delivery_id}.{timestamp}.".encode() + body, "sha256")
        headers |= {
            "webhook-id": delivery_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": "v1," + base64.b64encode(signature).decode(),
        }
    elif auth == "github":
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
    elif auth == "bearer":
        headers["Authorization"] = f"Bearer {secret}"
    return headers


def post(url: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    """Post it and wait for the answer. Raises requests.RequestException."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy stands before a bridge on this machine
        return session.post(url, data=body, headers=headers, timeout=60, allow_redirects=False)
