from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE, DELETE, DESCRIBE, SEND
from signup_bridge.core.outcomes import OUTCOMES, Result, conceal_already_verified, conceal_in_result
from signup_bridge.upstream import error_codes
from signup_bridge.upstream.error_codes import API_CODES, SEND_API_CODES
from signup_bridge.upstream.reply import CallResult, Reply, classify

DOCUMENTED = {
    "InternalError.VerifyCodeErr": "code-incorrect",
    "InternalError.VerifiedPhoneEmailErr": "already-verified",
    "InvalidParameterValue.InvalidParameterFormat": "contact-invalid",
    "InternalError.CheckVerifyCodeErr": "upstream-failed",
    "InternalError.AddPhoneEmailErr": "upstream-failed",
    "InternalError.JsonMarshal": "upstream-failed",
    "InternalError.ReadBodyError": "upstream-failed",
    "InternalError.ForbiddenRequest": "bridge-misconfigured",
    "InternalError.NeedLogin": "bridge-misconfigured",
    "InternalError.MethodNotMatch": "bridge-misconfigured",
    "MissingParameter.ActionNotFound": "bridge-misconfigured",
}
"""Every error code in the reference of CreateIntlPhoneEmail, by the outcome that it must have."""

OTHERS = {
    "code-incorrect": "InvalidParameter.VerifyCodeIsInvalid",
    "already-verified": "FailedOperation.DuplicatePhoneEmail",
    "contact-invalid": "FailedOperation.ProhibitPhoneEmail InvalidParameter.TelephoneIsInvalid "
    "InvalidParameter.EmailIsInvalid InvalidParameter InvalidParameterValue",
    "upstream-throttled": "LimitExceeded.RequestLimit RequestLimitExceeded "
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded RequestLimitExceeded.IPLimitExceeded "
    "RequestLimitExceeded.UinLimitExceeded RequestLimitExceeded.SomethingNew",
    "bridge-misconfigured": "InvalidParameter.CodeTypeIsInvalid AuthFailure AuthFailure.InvalidAuthorization "
    "AuthFailure.InvalidSecretId AuthFailure.MFAFailure AuthFailure.SecretIdNotFound AuthFailure.SignatureExpire "
    "AuthFailure.SignatureFailure AuthFailure.TokenFailure AuthFailure.UnauthorizedOperation UnauthorizedOperation "
    "IpInBlacklist IpNotInWhitelist ActionOffline InvalidAction InvalidRequest MissingParameter NoSuchProduct "
    "NoSuchVersion RequestSizeLimitExceeded UnknownParameter UnsupportedOperation UnsupportedProtocol "
    "UnsupportedRegion DryRunOperation AuthFailure.SomethingNew UnauthorizedOperation.SomethingNew",
    "upstream-failed": "InternalError FailedOperation ServiceUnavailable ResourceInUse ResourceInsufficient "
    "ResourceNotFound ResourceUnavailable ResponseSizeLimitExceeded LimitExceeded InternalError.DomainInternalError "
    "InternalError.SomethingNew InvalidParameter.SomethingNew InvalidParameterValue.SomethingNew "
    "FailedOperation.SomethingNew MissingParameter.SomethingNew LimitExceeded.SomethingNew SomethingNew "
    "AuthFailures internalerror.verifycodeerr RequestLimitExceededX",
}


@pytest.mark.parametrize(
    ("api_code", "outcome"),
    [*DOCUMENTED.items(), *((api_code, outcome) for outcome, codes in OTHERS.items() for api_code in codes.split())],
)
def test_classify_error_reply_returns_outcome_of_api_code(api_code: str, outcome: str) -> None:
    document = {"Response": {"Error": {"Code": api_code, "Message": "…"}, "RequestId": "r-1"}}
    verdict = classify(CallResult(Reply(200, json.dumps(document).encode()), 0.25))
    assert (verdict.outcome.code, verdict.api_request_id, verdict.api_code) == (outcome, "r-1", api_code)
    assert verdict.timing.upstream_seconds == 0.25


def test_api_codes_are_all_covered_by_these_tests() -> None:
    tested = {*DOCUMENTED, *(code for codes in OTHERS.values() for code in codes.split())}
    assert set(API_CODES) <= tested


OF_SENDING = {
    "InternalError.SendVerifyCodeErr": "send-failed",
    "FailedOperation.SendVerifyCodeIsLimited": "send-limited",
    "FailedOperation.SendTcbPhoneEmailCodeFailed": "bridge-misconfigured",
    "FailedOperation.VerifyUinIsRealname": "bridge-misconfigured",
    "InternalError.VerifyCodeErr": "upstream-failed",
    "InvalidParameter.VerifyCodeIsInvalid": "upstream-failed",
}
"""The error codes that have another outcome if a code was to be sent."""


def test_outcome_for_send_action_differs_only_in_listed_codes() -> None:
    assert set(SEND_API_CODES) == set(OF_SENDING)
    for api_code in {**API_CODES, **OF_SENDING}:
        verifying, sending = (error_codes.outcome_for(api_code, action) for action in (CREATE, SEND))
        assert sending.code == OF_SENDING.get(api_code, verifying.code)
    for action in (CREATE, DESCRIBE, DELETE):
        assert error_codes.outcome_for("InternalError.VerifyCodeErr", action).code == "code-incorrect"


def test_error_codes_never_mean_success() -> None:
    meant = [*API_CODES.values(), *SEND_API_CODES.values()]
    assert "success" not in {outcome.kind for outcome in meant}


CONTRACT = """
verified 200 yes definitive success -
sent 202 yes definitive success -
code-incorrect 422 yes definitive permanent -
contact-invalid 422 yes definitive permanent -
already-verified 409 yes definitive permanent -
attempts-exhausted 422 no definitive permanent -
outcome-unresolved 409 yes definitive permanent -
idempotency-key-reused 422 no no permanent -
body-malformed 400 no no permanent -
body-invalid 422 no no permanent -
in-progress 409 no no retryable 1
upstream-throttled 503 no no retryable 1
upstream-unreachable 503 no no retryable 5
outcome-unknown 504 maybe unknown retryable -
upstream-failed 502 maybe unknown retryable -
send-limited 429 maybe no retryable 60
send-failed 502 yes no retryable -
bridge-misconfigured 500 no no retryable -
ledger-unavailable 503 no no retryable 2
overloaded 503 no no retryable 1
body-incomplete 503 no no retryable 1
internal-error 500 maybe no retryable -
signature-invalid 401 no no unauthenticated -
not-found 404 no no unauthenticated -
delivery-not-found 404 no no unauthenticated -
method-not-allowed 405 no no unauthenticated -
body-too-large 413 no no unauthenticated -
media-type-unsupported 415 no no unauthenticated -
"""
"""Code, status, whether the API is called, what is stored, the kind, and the seconds of `Retry-After`."""


def test_outcomes_table_equals_contract() -> None:
    rows = [f"{one.code} {one.status} {one.call} {one.stored} {one.kind} {one.retry_after or '-'}" for one in OUTCOMES]
    assert rows == CONTRACT.split("\n")[1:-1]
    assert [one.code for one in OUTCOMES if one.retryable] == [one.code for one in OUTCOMES if one.kind == "retryable"]
    assert [one.code for one in OUTCOMES if one.abort] == [one.code for one in OUTCOMES if one.kind == "permanent"]


def test_outcomes_use_no_status_that_senders_or_scf_treat_specially() -> None:
    statuses = {outcome.status for outcome in OUTCOMES}
    assert statuses.isdisjoint({410, *range(430, 451)})


@pytest.mark.parametrize(
    ("api_code", "named"),
    [
        ("AuthFailure.SecretIdNotFound", "TENCENT_SECRET_ID: the key does not exist or is disabled"),
        ("AuthFailure.InvalidSecretId", "TENCENT_SECRET_ID: is not the id of an API key"),
        ("AuthFailure.SignatureFailure", "TENCENT_SECRET_KEY: does not belong to"),
        ("AuthFailure.UnauthorizedOperation", "domain:CreateIntlPhoneEmail"),
        ("AuthFailure.TokenFailure", "TENCENT_SESSION_TOKEN"),
        ("AuthFailure.SignatureExpire", "clock"),
        ("AuthFailure.MFAFailure", "TENCENT_SECRET_ID"),
        ("UnauthorizedOperation.Whatever", "domain:CreateIntlPhoneEmail"),
        ("FailedOperation.SendTcbPhoneEmailCodeFailed", "cloud account"),
        ("IpNotInWhitelist", "IP address"),
        ("NoSuchVersion", "DOMAIN_API_URL"),
    ],
)
def test_remedy_for_misconfiguration_names_setting(api_code: str, named: str) -> None:
    assert named in error_codes.remedy_for(api_code)


@pytest.mark.parametrize(
    ("result", "outcome"),
    [("never-sent", "upstream-unreachable"), ("no-reply", "outcome-unknown"), ("unusable", "upstream-failed")],
)
def test_classify_call_without_reply_returns_outcome_of_call_result(result: str, outcome: str) -> None:
    verdict = classify(CallResult(result, 1.5, "TimeoutError"))  # type: ignore[arg-type]  # parametrised
    assert (verdict.outcome.code, verdict.error, verdict.timing.upstream_seconds) == (outcome, "TimeoutError", 1.5)


GOOD = {"Response": {"RequestId": "eac6b301"}}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"{}",
        b'"verified"',
        json.dumps(GOOD).encode() + b"x",
        json.dumps(GOOD).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps(GOOD).encode(),
        b'{"Response": {"RequestId": "1"}, "Response": {"RequestId": "1"}}',
        b'{"Response": {"Error": {"Code": "InternalError.VerifyCodeErr"}, "RequestId": "1", "RequestId": "2"}}',
        b'{"Response": [{"RequestId": "1"}]}',
        b'{"Response": {"RequestId": null}}',
        b'{"Response": {"RequestId": 1}}',
        b'{"Response": {"RequestId": " "}}',
        b'{"Response": {"RequestId": "a\\nb"}}',
        b'{"Response": {"requestId": "1"}}',
        b'{"RequestId": "1"}',
        b'{"Response": {"RequestId": "1"}, "Error": {"Code": "InternalError.VerifyCodeErr"}}',
        b'{"Response": {"RequestId": "1"}, "Error": null}',
        b'{"Response": {"RequestId": "1", "Error": {}}}',
        b'{"Response": {"RequestId": "1", "Error": "no"}}',
        b'{"Response": {"RequestId": "1", "Error": {"Code": ""}}}',
        b'{"Response": {"RequestId": "1", "Error": {"Code": 5}}}',
        b'{"Response": {"Error": {"Code": "InternalError.VerifyCodeErr"}}}',
        b"[" * 100_000,
    ],
)
def test_classify_ambiguous_reply_returns_upstream_failed(data: bytes) -> None:
    verdict = classify(CallResult(Reply(200, data), 0))
    assert verdict.outcome is outcomes.UPSTREAM_FAILED
    assert verdict.error


@pytest.mark.parametrize("status", [201, 204, 302, 400, 401, 404, 429, 500, 502, 503])
def test_classify_status_other_than_200_returns_upstream_failed(status: int) -> None:
    assert classify(CallResult(Reply(status, json.dumps(GOOD).encode()), 0)).outcome is outcomes.UPSTREAM_FAILED


# Hypothesis also draws literals of the code. Some of them are complete successful replies.
@given(data=(st.binary() | st.text().map(str.encode)).filter(lambda data: b"RequestId" not in data))
def test_classify_random_bytes_never_returns_verified(data: bytes) -> None:
    assert classify(CallResult(Reply(200, data), 0)).outcome is outcomes.UPSTREAM_FAILED


@pytest.mark.parametrize(("action", "shown"), [(CREATE, outcomes.CODE_INCORRECT), (SEND, outcomes.SENT)])
def test_conceal_already_verified_replaces_no_other_outcome(action: str, shown: outcomes.Outcome) -> None:
    for outcome in OUTCOMES:
        expected = shown if outcome is outcomes.ALREADY_VERIFIED else outcome
        assert conceal_already_verified(outcome, action) is expected


@pytest.mark.parametrize("outcome", [outcomes.ALREADY_VERIFIED, outcomes.CODE_INCORRECT])
@pytest.mark.parametrize("request_id", ["r-1", None])
def test_conceal_in_result_shows_a_wrong_code_with_a_request_id(
    outcome: outcomes.Outcome, request_id: str | None
) -> None:
    placeholders = iter(["made-up", "another"])
    result = conceal_in_result(Result(outcome, request_id, "Api.Code"), lambda: next(placeholders))
    assert result == Result(outcomes.CODE_INCORRECT, request_id or "made-up", "Api.Code")
    assert next(placeholders) == "another"  # both outcomes create one placeholder, so that they take the same time


def test_conceal_in_result_keeps_every_other_result() -> None:
    for outcome in OUTCOMES:
        if outcome not in (outcomes.ALREADY_VERIFIED, outcomes.CODE_INCORRECT):
            assert conceal_in_result(Result(outcome), pytest.fail) == Result(outcome)
