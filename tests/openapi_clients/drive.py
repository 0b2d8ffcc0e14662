"""Use the client that openapi-python-client generates: `python drive.py SCENARIO URL`.

It prints the responses as JSON: for each request the status, the class of the parsed body, and its members.
"""

from __future__ import annotations

import json
import sys
import uuid
from datetime import datetime, timezone
from typing import Any

import httpx
from bridge_client import AuthenticatedClient, models
from bridge_client.api.bridge import health, openapi, ready
from bridge_client.api.webhooks import delivered, signup, signup_at_root
from standardwebhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PHONE, CODE = "18766554433", "123456"


def sign(request: httpx.Request) -> None:
    """Sign the request, with the test's id if there is one."""
    delivery_id, now = request.headers.get("webhook-id") or f"msg_{uuid.uuid4().hex}", datetime.now(timezone.utc)
    request.headers["webhook-id"] = delivery_id
    request.headers["webhook-timestamp"] = str(int(now.timestamp()))
    request.headers["webhook-signature"] = Webhook(SECRET).sign(delivery_id, now, request.read().decode())


def client_of(url: str, token: str = "-") -> AuthenticatedClient:
    return AuthenticatedClient(
        url, token, raise_on_unexpected_status=True, httpx_args={"event_hooks": {"request": [sign]}, "trust_env": False}
    )


def summarize(response: Any) -> list[Any]:
    parsed = response.parsed
    return [response.status_code, type(parsed).__name__, parsed.to_dict()]


def by_phone(verify_code: str = CODE) -> Any:
    return models.PhoneDelivery(type_=models.PhoneDeliveryTypeType0.PHONE, contact=PHONE, verify_code=verify_code)


def standard_webhooks(url: str) -> dict[str, Any]:
    from bridge_client.api.bridge import metrics  # noqa: PLC0415  generated only with some settings
    from bridge_client.api.webhooks import code  # noqa: PLC0415  the same

    client, known = client_of(url), client_of(url).with_headers({"webhook-id": "msg_1"})
    asked = models.EmailSendRequestInApiNames(
        type_=models.EmailSendRequestInApiNamesTypeType1.VALUE_2, code="jo@example.com"
    )
    wrong = signup.sync_detailed(client=client, body=models.DeliveryEvent(data=by_phone("000000")))
    first = signup.sync_detailed(client=known, body=by_phone())
    again = signup.sync_detailed(client=known, body=by_phone())
    return {
        "sent": summarize(code.sync_detailed(client=client, body=asked)),
        "wrong": summarize(wrong),
        "verified": summarize(first),
        "replayed": [summarize(again) == summarize(first), again.headers["Idempotent-Replayed"]],
        "listed": summarize(signup_at_root.sync_detailed(client=client, body=by_phone())),
        "delivered": summarize(delivered.sync_detailed("msg_1", client=client)),
        "not found": summarize(delivered.sync_detailed("msg_2", client=client)),
        "health": summarize(health.sync_detailed(client=client)),
        "ready": summarize(ready.sync_detailed(client=client)),
        "openapi": openapi.sync_detailed(client=client).status_code,
        "metrics": str(metrics.sync_detailed(client=client).parsed).splitlines()[0],
    }


def bearer_and_ack(url: str) -> dict[str, Any]:
    stranger, client = client_of(url), client_of(url, SECRET)
    event = models.DeliveryEvent(id="1", source="/x", data=by_phone("000000"))
    return {
        "stranger": summarize(signup.sync_detailed(client=stranger, body=by_phone())),
        "wrong": summarize(signup.sync_detailed(client=client, body=event)),
        "verified": summarize(signup.sync_detailed(client=client, body=by_phone(), idempotency_key="one")),
        "reused": summarize(signup.sync_detailed(client=client, body=by_phone("000000"), idempotency_key="one")),
        "delivered": summarize(delivered.sync_detailed("1", client=client, ce_source="/x")),
    }


def supabase(url: str) -> dict[str, Any]:
    def delivery(verify_code: str) -> Any:
        metadata = models.DeliveryByPhoneUserUserMetadata(verify_code=verify_code)
        return models.DeliveryByPhone(user=models.DeliveryByPhoneUser(phone=PHONE, user_metadata=metadata))

    client = client_of(url)
    return {
        "wrong": summarize(signup.sync_detailed(client=client, body=delivery("000000"))),
        "verified": summarize(signup.sync_detailed(client=client, body=delivery(CODE))),
    }


if __name__ == "__main__":
    scenarios = {one.__name__: one for one in (standard_webhooks, bearer_and_ack, supabase)}
    print(json.dumps(scenarios[sys.argv[1]](sys.argv[2])))
