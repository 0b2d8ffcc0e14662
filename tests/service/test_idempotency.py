"""Test with each ledger that a delivery is verified once, regardless of how often it is redelivered."""

from __future__ import annotations

import hmac
import threading
from pathlib import Path
from typing import Any

import pytest

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock, StillClock
from tests.support.bridge.deliveries import WRONG, Build, at_once, deliver, replay_of
from tests.support.bridge.event_builders import DIRECT, handle
from tests.support.bridge.instances import bridge, calls, gunicorn, post, replies_held, wait_for_calls
from tests.support.bridge.responses import ABORT, PROBLEM, HttpResponse, check_problem, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed

# -- replays --


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "verified"),
        ({"verify_code": WRONG}, "code-incorrect"),
        ({"contact": "1234567"}, "contact-invalid"),
        ({"contact": "10086"}, "already-verified"),
    ],
)
def test_redelivery_gets_the_first_response(
    emulator: Emulator, build: Build, members: dict[str, Any], code: str
) -> None:
    emulator.domain.accept((1, "10086"), at=0.0)
    emulator.faults.arm(Fault("InvalidParameter.TelephoneIsInvalid", contact="1234567"))
    instance = build()
    first = deliver(instance, **members)
    assert first.json["code"] == code
    assert "idempotent-replayed" not in first.headers
    for again in (instance, build(), build(WEBHOOK_TOLERANCE=60)):
        assert deliver(again, **members) == replay_of(first)
    assert len(emulator.calls) == 1


def test_retryable_outcome_is_not_stored(emulator: Emulator, build: Build) -> None:
    instance = build()
    for fault in ("LimitExceeded.RequestLimit", "AuthFailure.MFAFailure"):
        emulator.faults.arm(Fault(fault))
        assert deliver(instance).json["retryable"]
    assert deliver(instance).json["code"] == "verified"
    assert [result for _, result in calls(emulator)] == ["LimitExceeded.RequestLimit", "AuthFailure.MFAFailure", "OK"]


def test_replay_after_a_change_of_secrets_works(emulator: Emulator, build: Build) -> None:
    first = deliver(build())
    renewed = build(WEBHOOK_SECRETS="whsec_bmV3IHNlY3JldCBmb3IgdGhlIHdlYmhvb2tz")
    data = body()
    headers = signed(data, delivery_id="msg_1", secret="whsec_bmV3IHNlY3JldCBmb3IgdGhlIHdlYmhvb2tz")
    assert renewed.post(data, headers) == replay_of(first)


def test_changed_ledger_key_is_logged_and_forgets_records(
    emulator: Emulator, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(build(LEDGER_KEY="k" * 32))
    assert "LEDGER_KEY" not in caplog.text
    assert deliver(build(LEDGER_KEY="l" * 32)).json["code"] == "already-verified"
    assert "LEDGER_KEY has changed" in caplog.text
    assert len(emulator.calls) == 2


# -- identity of a delivery --


def test_signed_id_alone_identifies_a_delivery(emulator: Emulator, build: Build) -> None:
    """A captured request remains the same delivery if it is sent with new keys or other header names."""
    instance = build()
    data = body()
    headers = signed(data, delivery_id="msg_1")
    first = instance.post(data, headers)
    for number in range(3):
        extra = {"Idempotency-Key": f"{number}", "ce-id": f"{number}", "X-GitHub-Delivery": f"{number}"}
        assert instance.post(data, headers | extra) == replay_of(first)
    svix = {name.replace("webhook-", "svix-"): value for name, value in headers.items()}
    assert instance.post(data, svix) == replay_of(first)
    assert len(emulator.calls) == 1


EVENT = {"ce-id": "1", "ce-source": "/a"}


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ({"Idempotency-Key": '"k-1"'}, {"Idempotency-Key": "k-1"}, {"Idempotency-Key": "k-2"}),
        ({"Idempotency-Key": r'"a\"b\\c d"'}, {"Idempotency-Key": r' "a\"b\\c d" '}, {"Idempotency-Key": '"a b"'}),
        (EVENT, EVENT, {"ce-id": "1", "ce-source": "/b"}),
        (EVENT, EVENT | {"webhook-id": "other"}, {"Idempotency-Key": "1"}),
        (EVENT | {"Idempotency-Key": "a"}, {"Idempotency-Key": "a", "ce-id": "2"}, EVENT),
    ],
)
@pytest.mark.parametrize("auth", ["none", "bearer"])
def test_header_id_without_a_signature_identifies_a_delivery(
    emulator: Emulator, build: Build, auth: str, one: dict[str, str], same: dict[str, str], other: dict[str, str]
) -> None:
    instance = build(WEBHOOK_AUTH=auth, WEBHOOK_SECRETS="a-token-of-some-length")
    token = {"Authorization": "Bearer a-token-of-some-length"}
    first = instance.post(body(), token | one)
    assert first.json["code"] == "verified"
    assert instance.post(body(), token | same) == replay_of(first)
    assert instance.post(body(), token | other).json["code"] == "already-verified"
    assert len(emulator.calls) == 2


@pytest.mark.parametrize("wrong", ['"', '"a', 'a"b', "a b", "x" * 257, '"\\a"', "é"])
def test_malformed_idempotency_key_is_rejected(emulator: Emulator, wrong: str) -> None:
    response = bridge(emulator.url, WEBHOOK_AUTH="none").post(body(), {"Idempotency-Key": wrong})
    errors = [{"pointer": "Idempotency-Key", "detail": "must be a string of 1 to 256 ASCII characters"}]
    check_problem(response, problem("body-invalid", 422, retryable=False, errors=errors), ABORT)


@pytest.mark.parametrize("auth", ["none", "github"])
def test_body_without_id_is_replayed_for_two_minutes(emulator: Emulator, auth: str) -> None:
    clock = SetClock()
    secret = "a-secret-of-some-length"
    instance = bridge(emulator.url, clock, WEBHOOK_AUTH=auth, WEBHOOK_SECRETS=secret)

    def send(data: bytes) -> HttpResponse:
        digest = hmac.digest(secret.encode(), data, "sha256").hex()
        return instance.post(data, {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": "new"})

    first = send(body())
    clock.wall += 119
    assert send(body()) == replay_of(first)
    assert send(body(trace=1)).json["code"] == "already-verified"
    clock.wall += 2
    assert send(body()).json["code"] == "already-verified"
    assert len(emulator.calls) == 3


def test_id_of_a_direct_invocation_identifies_it(emulator: Emulator, build: Build) -> None:
    instance = build()
    first = handle(instance, DIRECT | {"id": "msg_1"})
    assert handle(instance, DIRECT | {"id": "msg_1", "note": 1}) == replay_of(first)
    assert deliver(instance).json["code"] == "already-verified"
    assert handle(instance, DIRECT | {"id": "msg_2"}).json["code"] == "already-verified"
    assert len(emulator.calls) == 3


@pytest.mark.parametrize("members", [{"verify_code": WRONG}, {"contact": "10086"}, {"contact": "+8618766554433"}])
def test_known_id_with_another_content_is_rejected(emulator: Emulator, build: Build, members: dict[str, Any]) -> None:
    instance = build()
    deliver(instance)
    expected = problem("idempotency-key-reused", 422, retryable=False)
    check_problem(deliver(instance, **members), expected, ABORT)
    assert deliver(instance, trace="is not content").json["code"] == "verified"
    assert len(emulator.calls) == 1


# -- concurrent deliveries --


def test_fifty_concurrent_deliveries_make_one_call(emulator: Emulator, build: Build) -> None:
    emulator.delay = 0.3
    instances = [build(), build()]
    responses = at_once(50, lambda number: deliver(instances[number % 2]))
    assert {(one.status, one.body) for one in responses} == {(200, responses[0].body)}
    assert sum("idempotent-replayed" in one.headers for one in responses) == 49
    assert len(emulator.calls) == 1


def test_fifty_concurrent_deliveries_over_sockets_make_one_call(emulator: Emulator, tmp_path: Path) -> None:
    emulator.delay = 0.3
    with gunicorn(emulator.url, tmp_path / "log") as url:
        data = body()
        responses = at_once(50, lambda _: post(url, data, signed(data, delivery_id="msg_1")))
    assert {(one.status, one.body) for one in responses} == {(200, responses[0].body)}
    assert len(emulator.calls) == 1


def test_delivery_in_flight_too_long_is_in_progress(emulator: Emulator, build: Build) -> None:
    clock = StillClock()
    patient, hasty = build(clock, REQUEST_BUDGET=60), build(clock, REQUEST_BUDGET=5)
    first = threading.Thread(target=deliver, args=(patient,))
    with replies_held(emulator):
        first.start()
        wait_for_calls(emulator)
        response = deliver(hasty)
        assert 4 < clock.run < 5
        expected = problem("in-progress", 409, retryable=True)
        check_problem(response, expected, PROBLEM | {"retry-after": "1"})
        check_problem(deliver(hasty, "msg_2", verify_code=WRONG), expected, PROBLEM | {"retry-after": "1"})
    first.join()
    assert deliver(hasty).json["code"] == "verified"
    assert len(emulator.calls) == 1


def test_contact_with_two_deliveries_is_verified_by_one_at_a_time(emulator: Emulator, build: Build) -> None:
    """Concurrent guesses are processed one after the other, so that the limit of wrong codes holds."""
    emulator.delay = 0.05
    instances = [build(), build()]
    responses = at_once(12, lambda n: deliver(instances[n % 2], f"msg_{n}", verify_code=f"{n:06}"))
    codes = sorted(one.json["code"] for one in responses)
    assert codes == ["attempts-exhausted"] * 7 + ["code-incorrect"] * 5
    assert len(emulator.calls) == 5


# -- the limit of wrong codes --


def test_contact_with_too_many_wrong_codes_is_exhausted(emulator: Emulator, build: Build) -> None:
    instance = build(MAX_WRONG_CODES=2)
    for number, contact in enumerate([PHONE, "+86 187-6655-4433"]):
        assert deliver(instance, f"m{number}", contact=contact, verify_code=WRONG).json["code"] == "code-incorrect"
    response = deliver(instance)
    check_problem(response, problem("attempts-exhausted", 422, retryable=False), ABORT)
    assert deliver(instance) == replay_of(response)
    assert len(emulator.calls) == 2


# -- no personal data --


def test_ledger_file_contains_nothing_personal(
    emulator: Emulator, build: Build, request: pytest.FixtureRequest
) -> None:
    instance = build()
    emulator.faults.arm(Fault("close"))
    deliver(instance, "msg-personal", type="email", contact="Jo.Doe@example.com", verify_code="c0dec0de")
    deliver(instance, "msg-personal-2")
    if "LEDGER_KEY" in request.getfixturevalue("ledger"):
        with request.getfixturevalue("redis_server").client as client:
            written = b"".join(client.dump(key) for key in client.keys()) + " ".join(client.keys()).encode()  # noqa: SIM118
    else:
        written = b"".join(path.read_bytes() for path in request.getfixturevalue("tmp_path").iterdir())
    assert b"verified" in written
    for personal in (PHONE, CODE, "Jo.Doe", "jo.doe", "example.com", "c0dec0de", "msg-personal", "+86", "766554433"):
        assert personal.encode() not in written
