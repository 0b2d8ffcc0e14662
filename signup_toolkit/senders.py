"""Sign and post deliveries as each kind of signup system does."""

from __future__ import annotations

import base64
import hmac
import secrets
import time
import uuid
from collections.abc import Mapping

import requests

AUTHS = {
    "standard": "standard-webhooks",
    "svix": "standard-webhooks",
    "supabase": "standard-webhooks",
    "github": "github",
    "bearer": "bearer",
    "none": "none",
}
"""The senders, each with the WEBHOOK_AUTH that accepts it."""

_DEFAULT_SENDERS = {"standard-webhooks": "standard", "github": "github", "bearer": "bearer", "none": "none"}
SIGNATURE_HEADERS = ("id", "timestamp", "signature")
"""The names of the headers of a Standard Webhooks signature, without their prefix."""


class SecretError(ValueError):
    """The secret cannot be used for a Standard Webhooks signature."""


def default_sender(auth: str) -> str:
    """Return the default sender for a WEBHOOK_AUTH. Raises ValueError."""
    if auth not in _DEFAULT_SENDERS:
        raise ValueError(f"WEBHOOK_AUTH: {auth} is not supported; expected one of {', '.join(_DEFAULT_SENDERS)}")
    return _DEFAULT_SENDERS[auth]


def generate_secret() -> str:
    """Return a new secret that works with every WEBHOOK_AUTH."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()


def new_id() -> str:
    return f"msg_{uuid.uuid4().hex}"


def sign_headers(
    body: bytes, *, sender: str, secret: str, delivery_id: str | None = None, at: float | None = None
) -> dict[str, str]:
    """Return a sender's headers for a body, signed ``at`` a Unix time (default: now) with a new id or ``delivery_id``.

    Raises SecretError. Source: the Standard Webhooks specification; Supabase signs with every secret of a rotation,
    and joins the signatures with ", ".
    """
    headers = {"Content-Type": "application/json"}
    if sender == "github":
        headers["X-Hub-Signature-256"] = "sha256=" + hmac.digest(secret.encode(), body, "sha256").hex()
        headers["X-GitHub-Delivery"] = delivery_id or str(uuid.uuid4())
    elif sender == "bearer":
        headers["Authorization"] = f"Bearer {secret}"
        headers["Idempotency-Key"] = delivery_id or new_id()
    elif sender == "none":
        headers["Idempotency-Key"] = delivery_id or new_id()
    else:
        prefix = "svix" if sender == "svix" else "webhook"
        signed = (delivery_id or new_id(), str(int(time.time() if at is None else at)))
        signature = _signature(body, secret, *signed)
        if sender == "supabase":
            old = base64.b64encode(b"a secret that is no longer used").decode()
            signature = f"{_signature(body, old, *signed)}, {signature}"
        headers |= {
            f"{prefix}-{name}": value for name, value in zip(SIGNATURE_HEADERS, (*signed, signature), strict=True)
        }
    return headers


def _signature(body: bytes, secret: str, delivery_id: str, timestamp: str) -> str:
    try:
        key = base64.b64decode(secret.removeprefix("v1,").removeprefix("whsec_"), validate=True)
    except ValueError:
        raise SecretError("WEBHOOK_SECRETS: must be whsec_<base64> for Standard Webhooks signatures") from None
    signature = hmac.digest(key, f"{delivery_id}.{timestamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(signature).decode()


def detect_sender(headers: Mapping[str, str]) -> tuple[str, str | None]:
    """Return the sender and the delivery id of these headers, whose names are in lower case."""
    for prefix, sender in (("webhook", "standard"), ("svix", "svix")):
        if f"{prefix}-signature" in headers:
            joined = ", v1," in headers[f"{prefix}-signature"]
            return "supabase" if joined else sender, headers.get(f"{prefix}-id")
    if "x-hub-signature-256" in headers:
        return "github", headers.get("x-github-delivery")
    unsigned = headers.get("idempotency-key") or headers.get("ce-id")
    return ("bearer" if "authorization" in headers else "none"), unsigned


def post(url: str, body: bytes, headers: dict[str, str]) -> requests.Response:
    """Post a delivery and return the response. Raises requests.RequestException."""
    with requests.Session() as session:
        session.trust_env = False  # no proxy for a bridge on this machine
        return session.post(url, data=body, headers=headers, timeout=60, allow_redirects=False)
