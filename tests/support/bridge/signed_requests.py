"""Build request bodies, and headers signed by the package of Standard Webhooks."""

from __future__ import annotations

import base64
import hmac
import json
import time
import uuid
from datetime import datetime, timezone
from typing import Any

from standardwebhooks import Webhook

from tests.support import log_audit

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


PHONE, CODE = "18766554433", "123456"
"""The reference example, which the emulator accepts once without having sent a code."""


def body(**members: Any) -> bytes:
    """Return the reference example as a request body. A member that is None is omitted."""
    document = {"type": "phone", "contact": PHONE, "verify_code": CODE} | members
    data = json.dumps({name: value for name, value in document.items() if value is not None}).encode()
    log_audit.carry_body(data)
    return data


def signed(
    data: bytes, *, secret: str = SECRET, delivery_id: str | None = None, at: float | None = None
) -> dict[str, str]:
    """Return the headers of a delivery, signed by the package of Standard Webhooks, or here if the body is not text."""
    moment = datetime.fromtimestamp(int(time.time() if at is None else at), timezone.utc)
    delivery_id = delivery_id or f"msg_{uuid.uuid4().hex}"
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": _signature(secret, delivery_id, moment, data),
    }
    log_audit.carry_body(data)
    log_audit.carry_headers(headers)
    return headers


def _signature(secret: str, delivery_id: str, moment: datetime, data: bytes) -> str:
    try:
        return Webhook(secret).sign(delivery_id, moment, data.decode())
    except UnicodeDecodeError:  # the package supports only text
        key = base64.b64decode(secret.removeprefix("whsec_"))
        text = f"{delivery_id}.{int(moment.timestamp())}.".encode() + data
        return "v1," + base64.b64encode(hmac.digest(key, text, "sha256")).decode()
