"""Test that GET /deliveries/{id} returns the outcome of a delivery."""

from __future__ import annotations

import hmac
import threading

import pytest

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.deliveries import Build, ask, deliver
from tests.support.bridge.event_builders import DIRECT, handle
from tests.support.bridge.instances import replies_held, wait_for_calls
from tests.support.bridge.signed_requests import body, signed


def test_get_delivery_returns_the_stored_result(emulator: Emulator, build: Build) -> None:
    instance = build()
    deliver(instance, "phone")
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 2, "Code": "jo@example.com"})
    code = emulator.domain.sent_codes()[0].code
    deliver(instance, "email/7", type="email", contact="jo@example.com", verify_code=code)
    refused = deliver(instance, "refused", contact="10086")
    emulator.faults.arm(Fault("close"))
    deliver(instance, "lost", contact="10010")
    seen = [call.request_id for call in emulator.calls]
    assert ask(build(), "phone") == (200, {"code": "verified", "type": "phone", "api_request_id": seen[0]})
    assert ask(instance, "email/7") == (200, {"code": "verified", "type": "email", "api_request_id": seen[1]})
    assert instance.client.get("/deliveries/email/7", headers=signed(b"")).get_json()["id"] == "email/7"
    assert ask(instance, "email%2F7")[0] == 200
    assert ask(instance, "refused") == (422, refused.json)
    status, lost = ask(instance, "lost")
    assert (status, lost["code"]) == (504, "outcome-unknown")
    status, missing = ask(instance, "nobody")
    assert (status, missing["code"]) == (404, "delivery-not-found")
    assert len(emulator.calls) == 4


def test_get_delivery_in_flight_is_in_progress(emulator: Emulator, build: Build) -> None:
    instance = build(REQUEST_BUDGET=60)
    thread = threading.Thread(target=deliver, args=(instance,))
    with replies_held(emulator):
        thread.start()
        wait_for_calls(emulator)
        assert ask(instance, "msg_1")[1]["code"] == "in-progress"
    thread.join()
    assert ask(instance, "msg_1")[0] == 200


def test_get_delivery_needs_a_signature_over_an_empty_body(build: Build) -> None:
    instance = build()
    deliver(instance)
    for headers in ({}, signed(body()), signed(b"", at=0), signed(b"", secret="whsec_AAAA")):
        assert instance.client.get("/deliveries/msg_1", headers=headers).status_code == 401
    assert instance.client.post("/deliveries/msg_1").status_code == 405


@pytest.mark.parametrize(
    ("auth", "delivery_headers", "query_headers"),
    [
        ("none", {"Idempotency-Key": '"a b"'}, {}),
        ("none", {"ce-id": "a b", "ce-source": "/s"}, {"ce-source": "/s"}),
        ("bearer", {"Idempotency-Key": '"a b"'}, {}),
    ],
)
def test_get_delivery_by_a_header_id_finds_it(
    build: Build, auth: str, delivery_headers: dict[str, str], query_headers: dict[str, str]
) -> None:
    instance = build(WEBHOOK_AUTH=auth, WEBHOOK_SECRETS="a-token-of-some-length")
    token = {"Authorization": "Bearer a-token-of-some-length"}
    instance.post(body(), token | delivery_headers)
    assert instance.client.get("/deliveries/a%20b", headers=token | query_headers).status_code == 200
    assert instance.client.get("/deliveries/b", headers=token | query_headers).status_code == 404


def test_get_delivery_of_a_direct_invocation_finds_it(build: Build) -> None:
    instance = build()
    handle(instance, DIRECT | {"id": "order-7"})
    assert ask(instance, "order-7")[0] == 200
    github = build(WEBHOOK_AUTH="github")
    signature = "sha256=" + hmac.digest(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"", "sha256").hex()
    assert github.client.get("/deliveries/order-7", headers={"X-Hub-Signature-256": signature}).status_code == 200
