"""Test the first steps of a user with a bridge from the tree, and with the built zip on SCF as either function type."""

from __future__ import annotations

import json
import time
import zlib
from collections.abc import Iterator

import pytest
import requests
from signup_bridge.upstream import error_codes

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from tests.support.bridge.deliveries import at_once
from tests.support.bridge.instances import calls, post
from tests.support.bridge.responses import ABORT, PROBLEM, HttpResponse, check_problem, parse_response, problem
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.bridge.targets import Running, Scf, running_tree

OF_THE_API = (
    "InternalError.VerifyCodeErr",
    "InternalError.VerifiedPhoneEmailErr",
    "InvalidParameterValue.InvalidParameterFormat",
    "InternalError.AddPhoneEmailErr",
    "InternalError.ForbiddenRequest",
    "AuthFailure.SignatureFailure",
    "LimitExceeded.RequestLimit",
    "SomethingNew",
)


@pytest.fixture(scope="module", params=["tree", "web", "event"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    if request.param == "tree":
        with running_tree(tmp_path_factory.mktemp("bridge") / "log") as tree:
            yield tree
        return
    scf: Scf = request.getfixturevalue("scf")
    with Emulator(rate=0) as emulator, scf.start(request.param, emulator.url) as platform:
        yield Running(platform.url, emulator, platform.log)


@pytest.fixture(autouse=True)
def fresh(running: Running) -> None:
    running.emulator.reset()


def test_reference_example_is_verified_once(running: Running) -> None:
    first = post(f"{running.url}/webhooks/signup", body())
    request_id = running.emulator.calls[0].request_id

    assert first.status == 200
    assert first.headers == {"content-type": "application/json"}
    assert first.json == {"code": "verified", "type": "phone", "contact": "187****4433", "api_request_id": request_id}

    again = post(f"{running.url}/webhooks/signup", body())
    expected = problem("already-verified", 409, retryable=False, api_request_id=running.emulator.calls[1].request_id)
    check_problem(again, expected, ABORT)


def test_sent_code_is_verified_and_wrong_code_is_rejected(running: Running) -> None:
    running.emulator.domain.perform("SendIntlPhoneEmailCode", {"Type": 2, "Code": "jo@example.com"})
    (sent,) = requests.get(f"{running.emulator.url}/emulator/codes", timeout=60).json()
    wrong = "000000" if sent["code"] != "000000" else "000001"

    refused = post(running.url, body(type="email", contact="jo@example.com", verify_code=wrong))
    verified = post(running.url, body(type="email", contact=" jo@example.com ", verify_code=sent["code"]))

    expected = problem("code-incorrect", 422, retryable=False, api_request_id=running.emulator.calls[0].request_id)
    check_problem(refused, expected, ABORT)
    assert verified.json["code"] == "verified"
    assert verified.json["contact"] == "j***@example.com"
    assert sent["type"] == "email"


def test_api_member_names_are_accepted(running: Running) -> None:
    data = json.dumps({"Type": 1, "Code": PHONE, "VerifyCode": CODE, "trace": [1, 2]}).encode()
    assert post(f"{running.url}/", data).json["code"] == "verified"


def test_unsigned_delivery_calls_nothing(running: Running) -> None:
    response = post(f"{running.url}/webhooks/signup", body(), {"Content-Type": "application/json"})
    check_problem(response, problem("signature-invalid", 401, retryable=False), PROBLEM)
    assert calls(running.emulator) == []


@pytest.mark.parametrize("chunked", [False, True])
def test_too_large_body_returns_413(running: Running, chunked: bool) -> None:
    data = body(padding="x" * 20_000)
    sent = iter([data]) if chunked else data
    response = requests.post(f"{running.url}/", data=sent, headers=signed(data), timeout=60)
    assert response.status_code == 413
    assert response.json()["code"] == "body-too-large"
    assert calls(running.emulator) == []


def test_chunked_body_is_read(running: Running) -> None:
    data = body()
    response = requests.post(f"{running.url}/", data=iter([data[:9], data[9:]]), headers=signed(data), timeout=60)
    assert response.json()["code"] == "verified"


def test_health_returns_version(running: Running) -> None:
    response = requests.get(f"{running.url}/health", timeout=60)
    assert response.json() == {"status": "ok", "version": "0.1.0"}
    assert calls(running.emulator) == []


def test_every_output_line_is_json_object(running: Running) -> None:
    post(f"{running.url}/", body())
    lines = [json.loads(line) for line in running.log.read_text().splitlines()]
    assert {"time", "level", "message"} <= set.intersection(*(set(line) for line in lines))
    assert [line for line in lines if line["message"] == "delivery"][-1]["outcome"] == "verified"


def test_redelivery_is_replayed_and_found_by_id(running: Running) -> None:
    data = body(contact="10086")
    headers = signed(data)
    first = post(running.url, data, headers)
    assert first.json["code"] == "code-incorrect"
    again = post(f"{running.url}/webhooks/signup", data, headers)
    assert again == HttpResponse(first.status, first.headers | {"idempotent-replayed": "true"}, first.body)
    asked = requests.get(
        f"{running.url}/deliveries/{headers['webhook-id']}", headers=signed(b"", delivery_id="q"), timeout=60
    )
    found = parse_response(asked.status_code, list(asked.headers.items()), asked.content)
    assert (found.status, found.json) == (422, first.json)
    assert len(running.emulator.calls) == 1


def test_ten_concurrent_redeliveries_make_one_call(running: Running) -> None:
    running.emulator.delay = 0.3
    data = body(contact=f"20{len(running.url)}86")
    headers = signed(data)
    responses = at_once(10, lambda _: post(running.url, data, headers))
    running.emulator.delay = 0.0
    assert {(one.status, one.body) for one in responses} == {(422, responses[0].body)}
    assert len(running.emulator.calls) == 1


@pytest.mark.parametrize("api_code", OF_THE_API)
def test_api_error_returns_outcome_of_its_code(running: Running, api_code: str) -> None:
    expected = error_codes.outcome_for(api_code)
    running.emulator.faults.arm(Fault(api_code, times=100))
    response = post(running.url, body(contact=f"3{zlib.crc32(api_code.encode()):010}"))
    assert (response.status, response.json["code"]) == (expected.status, expected.code)


def test_lost_reply_is_resolved(running: Running) -> None:
    running.emulator.faults.arm(Fault("close"))
    data = body(contact=PHONE)
    headers = signed(data)
    lost = post(running.url, data, headers)
    found = post(running.url, data, headers)
    assert lost.json["code"] in ("outcome-unknown", "upstream-failed")
    assert found.json == {"code": "verified", "type": "phone", "contact": "187****4433", "resolved": True}


def test_stale_and_tampered_deliveries_are_rejected(running: Running) -> None:
    data = body()
    for response in (
        post(running.url, data, signed(data, at=time.time() - 400)),
        post(running.url, data + b" ", signed(data)),
    ):
        check_problem(response, problem("signature-invalid", 401, retryable=False), PROBLEM)
    assert calls(running.emulator) == []


@pytest.mark.parametrize(("path", "status"), [("/ready", 200), ("/openapi.json", 200), ("/nowhere", 404)])
def test_service_routes_return_expected_status(running: Running, path: str, status: int) -> None:
    assert requests.get(running.url + path, timeout=60).status_code == status
    assert requests.post(f"{running.url}/health", data=b"", timeout=60).status_code == 405


def test_response_headers_stay_below_limit_of_scf(running: Running) -> None:
    """SCF accepts 4 KB in total."""
    data = body()
    responses = [requests.post(running.url, data=data, headers=headers, timeout=60) for headers in (signed(data), {})]
    responses += [
        requests.get(running.url + path, timeout=60) for path in ("/health", "/ready", "/openapi.json", "/nowhere")
    ]
    assert {one.status_code for one in responses} == {200, 401, 404}
    assert max(sum(len(f"{name}: {value}") for name, value in one.headers.items()) for one in responses) < 1024
