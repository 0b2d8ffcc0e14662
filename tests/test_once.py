"""A delivery is verified once, however often it comes, over every ledger."""

from __future__ import annotations

import hmac
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bridge.logs import JsonFormatter
from bridge.settings import WAITING
from builders import (
    ABORT,
    CODE,
    PHONE,
    PROBLEM,
    Answer,
    Bridge,
    SetClock,
    body,
    bridge,
    calls,
    check_problem,
    free_port,
    gunicorn,
    post,
    problem,
    signed,
)  # fmt: skip
from event_builders import DIRECT, handle
from ledgers import KEY

from emulator.faults import Fault
from emulator.server import Emulator

CREATE = "CreateIntlPhoneEmail"
Build = Callable[..., Bridge]
WRONG = "000000"


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Where an instance remembers; the same for every instance of a test."""
    if request.param == "sqlite":
        return {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    return {"LEDGER_URL": request.getfixturevalue("redis_server").url, "LEDGER_KEY": KEY.decode()}


@pytest.fixture
def build(emulator: Emulator, ledger: dict[str, str]) -> Iterator[Build]:
    """Make instances, which share a ledger."""
    built: list[Bridge] = []

    def one(clock: SetClock | None = None, **changed: Any) -> Bridge:
        built.append(bridge(emulator.url, clock, **{**ledger, **changed}))
        return built[-1]

    yield one
    for instance in built:
        instance.app.extensions["ledger"].close()


def deliver(to: Bridge, delivery_id: str = "msg_1", **members: Any) -> Answer:
    data = body(**members)
    return to.post(data, signed(data, delivery_id=delivery_id))


def at_once(count: int, work: Callable[[int], Answer]) -> list[Answer]:
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda n: answers.append(work(n)), args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == count
    return answers


def replay_of(first: Answer) -> Answer:
    return Answer(first.status, first.headers | {"idempotent-replayed": "true"}, first.body)


# -- replay --


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({}, "verified"),
        ({"verify_code": WRONG}, "code-incorrect"),
        ({"contact": "1234567"}, "contact-invalid"),
        ({"contact": "10086"}, "already-verified"),
    ],
)
def test_what_comes_again_is_answered_as_before(
    emulator: Emulator, build: Build, members: dict[str, Any], code: str
) -> None:
    emulator.domain._verified[1, "10086"] = 0.0
    emulator.faults.arm(Fault("InvalidParameter.TelephoneIsInvalid", contact="1234567"))
    instance = build()
    first = deliver(instance, **members)
    assert (first.json.get("code") or first.json["status"]) == code
    assert "idempotent-replayed" not in first.headers
    for again in (instance, build(), build(WEBHOOK_TOLERANCE=60)):
        assert deliver(again, **members) == replay_of(first)
    assert len(emulator.calls) == 1


def test_an_outcome_that_says_try_again_is_not_kept(emulator: Emulator, build: Build) -> None:
    instance = build()
    for fault in ("LimitExceeded.RequestLimit", "AuthFailure.MFAFailure"):
        emulator.faults.arm(Fault(fault))
        assert deliver(instance).json["retryable"]
    assert deliver(instance).json["status"] == "verified"
    assert [result for _, result in calls(emulator)] == ["LimitExceeded.RequestLimit", "AuthFailure.MFAFailure", "OK"]


def test_secrets_change_and_nothing_is_forgotten(emulator: Emulator, build: Build) -> None:
    first = deliver(build())
    renewed = build(WEBHOOK_SECRETS="whsec_bmV3IHNlY3JldCBmb3IgdGhlIHdlYmhvb2tz")
    data = body()
    headers = signed(data, delivery_id="msg_1", secret="whsec_bmV3IHNlY3JldCBmb3IgdGhlIHdlYmhvb2tz")
    assert renewed.post(data, headers) == replay_of(first)


def test_another_ledger_key_is_told_and_forgets(
    emulator: Emulator, build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    deliver(build(LEDGER_KEY="k" * 32))
    assert "LEDGER_KEY" not in caplog.text
    assert deliver(build(LEDGER_KEY="l" * 32)).json["code"] == "already-verified"
    assert "LEDGER_KEY is another one than before" in caplog.text
    assert len(emulator.calls) == 2


# -- whose delivery it is --


def test_the_id_is_the_signed_one_alone(emulator: Emulator, build: Build) -> None:
    """A captured request that is sent again under new keys stays one delivery, whatever its headers are called."""
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


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        ({"Idempotency-Key": '"k-1"'}, {"Idempotency-Key": "k-1"}, {"Idempotency-Key": "k-2"}),
        ({"Idempotency-Key": r'"a\"b\\c d"'}, {"Idempotency-Key": r' "a\"b\\c d" '}, {"Idempotency-Key": '"a b"'}),
        ({"ce-id": "1", "ce-source": "/a"}, {"ce-id": "1", "ce-source": "/a"}, {"ce-id": "1", "ce-source": "/b"}),
        ({"ce-id": "1"}, {"ce-id": "1", "webhook-id": "other"}, {"Idempotency-Key": "1"}),
        ({"Idempotency-Key": "a", "ce-id": "1"}, {"Idempotency-Key": "a", "ce-id": "2"}, {"ce-id": "1"}),
    ],
)
@pytest.mark.parametrize("auth", ["none", "bearer"])
def test_without_a_signature_a_header_names_it(
    emulator: Emulator, build: Build, auth: str, one: dict[str, str], same: dict[str, str], other: dict[str, str]
) -> None:
    instance = build(WEBHOOK_AUTH=auth, WEBHOOK_SECRETS="a-token-of-some-length")
    token = {"Authorization": "Bearer a-token-of-some-length"}
    first = instance.post(body(), token | one)
    assert first.json["status"] == "verified"
    assert instance.post(body(), token | same) == replay_of(first)
    assert instance.post(body(), token | other).json["code"] == "already-verified"
    assert len(emulator.calls) == 2


@pytest.mark.parametrize("wrong", ['"', '"a', 'a"b', "a b", "x" * 257, '"\\a"', "é"])
def test_a_malformed_idempotency_key_is_refused(emulator: Emulator, wrong: str) -> None:
    given = bridge(emulator.url, WEBHOOK_AUTH="none").post(body(), {"Idempotency-Key": wrong})
    check_problem(given, problem("body-malformed", 400, retryable=False), ABORT)
    assert "Idempotency-Key" in given.json["detail"]


@pytest.mark.parametrize("wrong", [{"ce-id": "é"}, {"ce-id": "x" * 1025}])
def test_a_malformed_event_id_is_refused(emulator: Emulator, wrong: dict[str, str]) -> None:
    given = bridge(emulator.url, WEBHOOK_AUTH="none").post(body(), wrong)
    check_problem(given, problem("body-malformed", 400, retryable=False), ABORT)


@pytest.mark.parametrize("auth", ["none", "github"])
def test_what_has_no_id_is_known_by_its_body_for_two_minutes(emulator: Emulator, auth: str) -> None:
    clock = SetClock()
    secret = "a-secret-of-some-length"
    instance = bridge(emulator.url, clock, WEBHOOK_AUTH=auth, WEBHOOK_SECRETS=secret)

    def send(data: bytes) -> Answer:
        digest = hmac.digest(secret.encode(), data, "sha256").hex()
        return instance.post(data, {"X-Hub-Signature-256": f"sha256={digest}", "X-GitHub-Delivery": "new"})

    first = send(body())
    clock.wall += 119
    assert send(body()) == replay_of(first)
    assert send(body(trace=1)).json["code"] == "already-verified"
    clock.wall += 2
    assert send(body()).json["code"] == "already-verified"
    assert len(emulator.calls) == 3


def test_the_id_of_a_direct_invocation_is_its_own(emulator: Emulator, build: Build) -> None:
    instance = build()
    first = handle(instance, DIRECT | {"id": "msg_1"})
    assert handle(instance, DIRECT | {"id": "msg_1", "note": 1}) == replay_of(first)
    assert deliver(instance).json["code"] == "already-verified"
    assert handle(instance, DIRECT | {"id": "msg_2"}).json["code"] == "already-verified"
    assert len(emulator.calls) == 3


@pytest.mark.parametrize("members", [{"verify_code": WRONG}, {"contact": "10086"}, {"contact": "+8618766554433"}])
def test_another_content_under_a_known_id_is_refused(emulator: Emulator, build: Build, members: dict[str, Any]) -> None:
    instance = build()
    deliver(instance)
    expected = problem("idempotency-key-reused", 422, retryable=False)
    check_problem(deliver(instance, **members), expected, ABORT)
    assert deliver(instance, trace="is no content").json["status"] == "verified"
    assert len(emulator.calls) == 1


# -- at once --


def test_fifty_at_once_are_one_call(emulator: Emulator, build: Build) -> None:
    emulator.delay = 0.3
    instances = [build(), build()]
    answers = at_once(50, lambda number: deliver(instances[number % 2]))
    assert {(one.status, one.body) for one in answers} == {(200, answers[0].body)}
    assert sum("idempotent-replayed" in one.headers for one in answers) == 49
    assert len(emulator.calls) == 1


def test_fifty_at_once_over_sockets(emulator: Emulator, tmp_path: Path) -> None:
    emulator.delay = 0.3
    with gunicorn(emulator.url, tmp_path / "log") as url:
        data = body()
        answers = at_once(50, lambda _: post(url, data, signed(data, delivery_id="msg_1")))
    assert {(one.status, one.body) for one in answers} == {(200, answers[0].body)}
    assert len(emulator.calls) == 1


def test_what_is_in_flight_for_too_long_is_told_so(emulator: Emulator, build: Build) -> None:
    emulator.delay = 1.5
    patient, hasty = build(), build(REQUEST_BUDGET=0.4)
    first = threading.Thread(target=deliver, args=(patient,))
    first.start()
    while not emulator.calls:
        time.sleep(0.01)
    began = time.monotonic()
    given = deliver(hasty)
    assert time.monotonic() - began < 1
    expected = problem("in-progress", 409, retryable=True)
    check_problem(given, expected, PROBLEM | {"retry-after": "1"})
    check_problem(deliver(hasty, "msg_2", verify_code=WRONG), expected, PROBLEM | {"retry-after": "1"})
    first.join()
    assert deliver(hasty).json["status"] == "verified"
    assert len(emulator.calls) == 1


def test_a_contact_is_verified_by_one_delivery_at_a_time(emulator: Emulator, build: Build) -> None:
    """Guesses that come at once are made one after the other, and so the count of wrong codes holds."""
    emulator.delay = 0.05
    instances = [build(), build()]
    answers = at_once(12, lambda n: deliver(instances[n % 2], f"msg_{n}", verify_code=f"{n:06}"))
    codes = sorted(one.json["code"] for one in answers)
    assert codes == ["attempts-exhausted"] * 7 + ["code-incorrect"] * 5
    assert len(emulator.calls) == 5


def test_one_too_many_is_told_at_once(emulator: Emulator, build: Build) -> None:
    emulator.delay = 1.5
    instance = build(CONCURRENCY=2)
    known = deliver(instance, "known", contact="10086")
    busy = [
        threading.Thread(target=deliver, args=(instance, f"msg_{n}"), kwargs={"contact": f"1001{n}0"}) for n in range(2)
    ]
    for thread in busy:
        thread.start()
    while len(emulator.calls) < 3:
        time.sleep(0.01)
    began = time.monotonic()
    given = deliver(instance, "new")
    assert time.monotonic() - began < 1.0
    check_problem(given, problem("overloaded", 503, retryable=True), PROBLEM | {"retry-after": "1"})
    assert deliver(instance, "known", contact="10086") == replay_of(known)
    assert deliver(instance, "known").json["code"] == "idempotency-key-reused"
    assert deliver(instance, "msg_0", contact="100100").json["code"] == "code-incorrect"
    for thread in busy:
        thread.join()
    assert deliver(instance, "new").json["status"] == "verified"


def test_one_too_many_waits_a_moment_for_a_place(emulator: Emulator, build: Build) -> None:
    emulator.delay = 0.2
    instance = build(CONCURRENCY=1)
    busy = threading.Thread(target=deliver, args=(instance, "busy"), kwargs={"contact": "10086"})
    busy.start()
    while not emulator.calls:
        time.sleep(0.01)
    assert deliver(instance).json["status"] == "verified"
    busy.join()


def test_those_who_are_too_many_are_called_again_one_by_one(emulator: Emulator) -> None:
    emulator.delay = 2.0
    instance = bridge(emulator.url, CONCURRENCY=1, DOMAIN_API_RATE=0.5)
    busy = threading.Thread(target=deliver, args=(instance, "busy"), kwargs={"contact": "10086"})
    busy.start()
    while not emulator.calls:
        time.sleep(0.01)
    told = at_once(3, lambda n: deliver(instance, f"m{n}", contact=f"1001{n}0"))
    assert sorted(int(one.headers["retry-after"]) for one in told) == [1, 2, 3]
    busy.join()


def test_more_than_can_wait_are_told_at_once(emulator: Emulator, build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    assert WAITING >= 49
    monkeypatch.setattr("bridge.places.WAITING", 2)
    emulator.delay = 1.0
    instance = build()
    answers = at_once(6, lambda _: deliver(instance))
    assert sorted(one.status for one in answers) == [200, 200, 200, 503, 503, 503]


# -- the limit of wrong codes --


def test_too_many_wrong_codes(emulator: Emulator, build: Build) -> None:
    instance = build(MAX_WRONG_CODES=2)
    for number, contact in enumerate([PHONE, "+86 187-6655-4433"]):
        assert deliver(instance, f"m{number}", contact=contact, verify_code=WRONG).json["code"] == "code-incorrect"
    given = deliver(instance)
    check_problem(given, problem("attempts-exhausted", 422, retryable=False), ABORT)
    assert deliver(instance) == replay_of(given)
    assert len(emulator.calls) == 2


# -- what was remembered, asked for --


def ask(of: Bridge, delivery_id: str, **headers: str) -> tuple[int, Any]:
    response = of.client.get(f"/deliveries/{delivery_id}", headers=signed(b"") | headers)
    return response.status_code, response.get_json()


def test_what_became_of_a_delivery(emulator: Emulator, build: Build) -> None:
    instance = build()
    deliver(instance, "phone")
    emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 2, "Code": "jo@example.com"})
    code = emulator.domain.sent_codes()[0].code
    deliver(instance, "email/7", type="email", contact="jo@example.com", verify_code=code)
    refused = deliver(instance, "refused", contact="10086")
    emulator.faults.arm(Fault("close"))
    deliver(instance, "lost", contact="10010")
    seen = [call.request_id for call in emulator.calls]
    assert ask(build(), "phone") == (200, {"status": "verified", "type": "phone", "request_id": seen[0]})
    assert ask(instance, "email/7") == (200, {"status": "verified", "type": "email", "request_id": seen[1]})
    assert ask(instance, "email%2F7")[0] == 200
    assert ask(instance, "refused") == (422, refused.json)
    status, lost = ask(instance, "lost")
    assert (status, lost["code"]) == (504, "outcome-unknown")
    status, missing = ask(instance, "nobody")
    assert (status, missing["code"]) == (404, "not-found")
    assert len(emulator.calls) == 4


def test_a_delivery_under_work_is_told_so(emulator: Emulator, build: Build) -> None:
    emulator.delay = 0.5
    instance = build()
    thread = threading.Thread(target=deliver, args=(instance,))
    thread.start()
    while not emulator.calls:
        time.sleep(0.01)
    assert ask(instance, "msg_1")[1]["code"] == "in-progress"
    thread.join()
    assert ask(instance, "msg_1")[0] == 200


def test_asking_needs_a_signature_over_nothing(build: Build) -> None:
    instance = build()
    deliver(instance)
    for headers in ({}, signed(body()), signed(b"", at=0), signed(b"", secret="whsec_AAAA")):
        assert instance.client.get("/deliveries/msg_1", headers=headers).status_code == 401
    assert instance.client.post("/deliveries/msg_1").status_code == 405


@pytest.mark.parametrize(
    ("auth", "given", "asked"),
    [
        ("none", {"Idempotency-Key": '"a b"'}, {}),
        ("none", {"ce-id": "a b", "ce-source": "/s"}, {"ce-source": "/s"}),
        ("bearer", {"Idempotency-Key": '"a b"'}, {}),
    ],
)
def test_asking_by_the_id_of_a_header(build: Build, auth: str, given: dict[str, str], asked: dict[str, str]) -> None:
    instance = build(WEBHOOK_AUTH=auth, WEBHOOK_SECRETS="a-token-of-some-length")
    token = {"Authorization": "Bearer a-token-of-some-length"}
    instance.post(body(), token | given)
    assert instance.client.get("/deliveries/a%20b", headers=token | asked).status_code == 200
    assert instance.client.get("/deliveries/b", headers=token | asked).status_code == 404


def test_a_direct_invocation_can_be_asked_for(build: Build) -> None:
    instance = build()
    handle(instance, DIRECT | {"id": "order-7"})
    assert ask(instance, "order-7")[0] == 200
    github = build(WEBHOOK_AUTH="github")
    signature = "sha256=" + hmac.digest(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"", "sha256").hex()
    assert github.client.get("/deliveries/order-7", headers={"X-Hub-Signature-256": signature}).status_code == 200


# -- a ledger that fails --


def test_ready_tells_who_shares_the_ledger(build: Build, ledger: dict[str, str]) -> None:
    response = build().client.get("/ready")
    shared = "LEDGER_KEY" in ledger
    told = {"engine": "redis", "reach": "shared"} if shared else {"engine": "sqlite", "reach": "instance"}
    assert (response.status_code, response.get_json()) == (200, {"status": "ok", "version": "0.1.0", "ledger": told})


def told(caplog: pytest.LogCaptureFixture) -> str:
    """The lines of the log, as they are written."""
    return "\n".join(JsonFormatter().format(record) for record in caplog.records)


def unusable(path: Path, how: str) -> None:
    if how == "no folder":
        path.parent.rmdir()
    elif how == "no ledger":
        path.write_bytes(b"x" * 8192)
    elif how == "a folder":
        path.mkdir()
    elif how == "another version":
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    elif how == "no key":
        path.with_name("ledger.db.key").write_bytes(b"short")
    else:
        path.with_name("ledger.db.key").mkdir()


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("no folder", "its folder must exist"),
        ("no ledger", "is no ledger; move it away"),
        ("a folder", "cannot be opened"),
        ("another version", "another version of the bridge"),
        ("no key", "holds no key of 32 bytes"),
        ("a folder for a key", "cannot be read or made"),
    ],
)
def test_without_a_ledger_nothing_is_called(
    emulator: Emulator, tmp_path: Path, how: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "state" / "ledger.db"
    path.parent.mkdir()
    unusable(path, how)
    instance = bridge(emulator.url, LEDGER_URL=f"sqlite:///{path}")
    expected = problem("ledger-unavailable", 503, retryable=True)
    check_problem(deliver(instance), expected, PROBLEM | {"retry-after": "2"})
    assert says in told(caplog)
    ready = instance.client.get("/ready")
    assert (ready.status_code, ready.get_json()["code"]) == (503, "ledger-unavailable")
    assert says in ready.get_json()["detail"]
    assert ask(instance, "msg_1") == (503, deliver(instance).json)
    assert calls(emulator) == []


def test_a_ledger_that_comes_back_is_used(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "later" / "ledger.db"
    instance = bridge(emulator.url, LEDGER_URL=f"sqlite:///{path}")
    assert deliver(instance).status == 503
    path.parent.mkdir()
    assert deliver(instance).json["status"] == "verified"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (path.parent / "ledger.db.key").stat().st_mode & 0o777 == 0o600


def test_a_ledger_that_cannot_be_reached(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    url = f"redis://:hush@127.0.0.1:{free_port()}/0"
    instance = bridge(emulator.url, LEDGER_URL=url, LEDGER_KEY=KEY.decode())
    expected = problem("ledger-unavailable", 503, retryable=True)
    check_problem(deliver(instance), expected, PROBLEM | {"retry-after": "2"})
    assert "127.0.0.1" in told(caplog)
    assert "hush" not in told(caplog)
    assert instance.client.get("/ready").get_json()["detail"].startswith("The shared ledger does not work.")
    assert calls(emulator) == []


def test_a_ledger_that_fails_after_the_call(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The answer is what the API said; what is remembered is the claim, and so the outcome is unknown."""
    clock = SetClock()
    path = tmp_path / "ledger.db"
    emulator.domain._now = clock.time
    emulator.delay = 0.3
    instance = bridge(emulator.url, clock, LEDGER_URL=f"sqlite:///{path}", REQUEST_BUDGET=1)
    deliver(instance, "warm", contact="10086")
    blocker = sqlite3.connect(path, isolation_level=None)
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(deliver(instance)))
    thread.start()
    while len(emulator.calls) < 2:
        time.sleep(0.01)
    blocker.execute("BEGIN IMMEDIATE")
    thread.join()
    blocker.execute("ROLLBACK")
    blocker.close()
    assert answers[0].json["status"] == "verified"
    (line,) = [json.loads(JsonFormatter().format(one)) for one in caplog.records if one.levelno == logging.ERROR]
    assert line["message"] == "the ledger failed after the call: its outcome is not remembered"
    assert "another process holds it" in line["reason"]
    clock.wall += 4
    data = body()
    again = instance.post(data, signed(data, delivery_id="msg_1", at=clock.time()))
    assert again.json["resolved"] is True
    assert [action for action, _ in calls(emulator)] == [CREATE, CREATE, "DescribeIntlPhoneEmailList"]


def test_a_ledger_that_fails_for_a_moment_after_the_call(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    emulator.delay = 0.2
    instance = bridge(emulator.url, LEDGER_URL=f"sqlite:///{path}", REQUEST_BUDGET=5)
    deliver(instance, "warm", contact="10086")
    answers: list[Answer] = []
    thread = threading.Thread(target=lambda: answers.append(deliver(instance)))
    thread.start()
    while len(emulator.calls) < 2:
        time.sleep(0.01)
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    time.sleep(0.6)
    blocker.execute("ROLLBACK")
    blocker.close()
    thread.join()
    assert deliver(instance) == replay_of(answers[0])
    assert len(emulator.calls) == 2


# -- nothing personal --


def test_nothing_personal_is_written(emulator: Emulator, build: Build, request: pytest.FixtureRequest) -> None:
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
