"""What a user sees first: a bridge under gunicorn, an API, a delivery."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests
from builders import ABORT, CODE, PHONE, PROBLEM, body, calls, check_problem, gunicorn, post, problem, signed

from emulator.server import Emulator


@dataclass
class Running:
    url: str
    emulator: Emulator
    log: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    log = tmp_path_factory.mktemp("bridge") / "log"
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log) as url:
        yield Running(url, emulator, log)


@pytest.fixture(autouse=True)
def fresh(running: Running) -> None:
    running.emulator.reset()


def test_the_reference_example_is_verified_once(running: Running) -> None:
    first = post(f"{running.url}/webhooks/signup", body())
    request_id = running.emulator.calls[0].request_id

    assert first.status == 200
    assert first.headers == {"content-type": "application/json"}
    assert first.json == {"status": "verified", "type": "phone", "contact": "187****4433", "request_id": request_id}

    again = post(f"{running.url}/webhooks/signup", body())
    expected = problem("already-verified", 409, retryable=False, request_id=running.emulator.calls[1].request_id)
    check_problem(again, expected, ABORT)


def test_a_sent_code_is_verified_and_a_wrong_one_is_not(running: Running) -> None:
    running.emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 2, "Code": "jo@example.com"})
    (sent,) = requests.get(f"{running.emulator.url}/emulator/codes", timeout=5).json()
    wrong = "000000" if sent["code"] != "000000" else "000001"

    refused = post(running.url, body(type="email", contact="jo@example.com", verify_code=wrong))
    verified = post(running.url, body(type="email", contact=" jo@example.com ", verify_code=sent["code"]))

    expected = problem("code-incorrect", 422, retryable=False, request_id=running.emulator.calls[0].request_id)
    check_problem(refused, expected, ABORT)
    assert verified.json["status"] == "verified"
    assert verified.json["contact"] == "j***@example.com"
    assert sent["type"] == "email"


def test_the_api_names_are_taken_too(running: Running) -> None:
    data = json.dumps({"Type": 1, "Code": PHONE, "VerifyCode": CODE, "trace": [1, 2]}).encode()
    assert post(f"{running.url}/", data).json["status"] == "verified"


def test_an_unsigned_delivery_calls_nothing(running: Running) -> None:
    given = post(f"{running.url}/webhooks/signup", body(), {"Content-Type": "application/json"})
    check_problem(given, problem("signature-invalid", 401, retryable=False), PROBLEM)
    assert calls(running.emulator) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_is_too_large_is_not_read(running: Running, chunked: bool) -> None:
    data = body(padding="x" * 20_000)
    sent = iter([data]) if chunked else data
    response = requests.post(f"{running.url}/", data=sent, headers=signed(data), timeout=10)
    assert response.status_code == 413
    assert response.json()["code"] == "body-too-large"
    assert calls(running.emulator) == []


def test_a_body_in_chunks_is_read(running: Running) -> None:
    data = body()
    response = requests.post(f"{running.url}/", data=iter([data[:9], data[9:]]), headers=signed(data), timeout=10)
    assert response.json()["status"] == "verified"


def test_health(running: Running) -> None:
    response = requests.get(f"{running.url}/health", timeout=5)
    assert response.json() == {"status": "ok", "version": "0.1.0"}
    assert calls(running.emulator) == []


def test_every_line_of_output_is_a_json_object(running: Running) -> None:
    post(f"{running.url}/", body())
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    assert [line for line in lines if line["message"] == "delivery"][-1]["outcome"] == "verified"
