"""The outcomes of the API's error codes, and the remedies for the operator.

A prefix is sufficient only for `API_FAMILIES`, because a wrong verification code is an ``InternalError``. A code that
is in no table has the outcome `UPSTREAM_FAILED`.
Sources: the error codes documented for ``CreateIntlPhoneEmail`` and the common ones of Tencent Cloud API 3.0.
"""

from __future__ import annotations

from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.outcomes import (
    ALREADY_VERIFIED,
    BRIDGE_MISCONFIGURED,
    CODE_INCORRECT,
    CONTACT_INVALID,
    SEND_FAILED,
    SEND_LIMITED,
    UPSTREAM_FAILED,
    UPSTREAM_THROTTLED,
    Outcome,
)

API_CODES: dict[str, Outcome] = {
    # documented for CreateIntlPhoneEmail:
    "InternalError.VerifyCodeErr": CODE_INCORRECT,
    "InternalError.VerifiedPhoneEmailErr": ALREADY_VERIFIED,
    "InvalidParameterValue.InvalidParameterFormat": CONTACT_INVALID,
    "InternalError.CheckVerifyCodeErr": UPSTREAM_FAILED,
    "InternalError.AddPhoneEmailErr": UPSTREAM_FAILED,
    "InternalError.JsonMarshal": UPSTREAM_FAILED,
    "InternalError.ReadBodyError": UPSTREAM_FAILED,
    "InternalError.ForbiddenRequest": BRIDGE_MISCONFIGURED,
    "InternalError.NeedLogin": BRIDGE_MISCONFIGURED,
    "InternalError.MethodNotMatch": BRIDGE_MISCONFIGURED,
    "MissingParameter.ActionNotFound": BRIDGE_MISCONFIGURED,
    # the same errors, with the names of the mainland API and of related actions:
    "InvalidParameter.VerifyCodeIsInvalid": CODE_INCORRECT,
    "FailedOperation.DuplicatePhoneEmail": ALREADY_VERIFIED,
    "FailedOperation.ProhibitPhoneEmail": CONTACT_INVALID,
    "InvalidParameter.TelephoneIsInvalid": CONTACT_INVALID,
    "InvalidParameter.EmailIsInvalid": CONTACT_INVALID,
    "InvalidParameter.CodeTypeIsInvalid": BRIDGE_MISCONFIGURED,
    "InternalError.DomainInternalError": UPSTREAM_FAILED,
    "LimitExceeded.RequestLimit": UPSTREAM_THROTTLED,
    # common, about credentials and permissions, with the family's sub-codes:
    "AuthFailure": BRIDGE_MISCONFIGURED,
    "UnauthorizedOperation": BRIDGE_MISCONFIGURED,
    "IpInBlacklist": BRIDGE_MISCONFIGURED,
    "IpNotInWhitelist": BRIDGE_MISCONFIGURED,
    # common, about the bridge's request:
    "ActionOffline": BRIDGE_MISCONFIGURED,
    "DryRunOperation": BRIDGE_MISCONFIGURED,
    "InvalidAction": BRIDGE_MISCONFIGURED,
    "InvalidRequest": BRIDGE_MISCONFIGURED,
    "MissingParameter": BRIDGE_MISCONFIGURED,
    "NoSuchProduct": BRIDGE_MISCONFIGURED,
    "NoSuchVersion": BRIDGE_MISCONFIGURED,
    "RequestSizeLimitExceeded": BRIDGE_MISCONFIGURED,
    "UnknownParameter": BRIDGE_MISCONFIGURED,
    "UnsupportedOperation": BRIDGE_MISCONFIGURED,
    "UnsupportedProtocol": BRIDGE_MISCONFIGURED,
    "UnsupportedRegion": BRIDGE_MISCONFIGURED,
    # common, throttled and certainly not processed, with the family's sub-codes:
    "RequestLimitExceeded": UPSTREAM_THROTTLED,
    # common, these exact codes only:
    "InvalidParameter": CONTACT_INVALID,
    "InvalidParameterValue": CONTACT_INVALID,
    # common, without information about the outcome:
    "FailedOperation": UPSTREAM_FAILED,
    "InternalError": UPSTREAM_FAILED,
    "LimitExceeded": UPSTREAM_FAILED,
    "ResourceInUse": UPSTREAM_FAILED,
    "ResourceInsufficient": UPSTREAM_FAILED,
    "ResourceNotFound": UPSTREAM_FAILED,
    "ResourceUnavailable": UPSTREAM_FAILED,
    "ResponseSizeLimitExceeded": UPSTREAM_FAILED,
    "ServiceUnavailable": UPSTREAM_FAILED,
}

# Error codes with a different outcome for an action that sends a verification code. Sources: the errors that the
# mainland API documents for SendPhoneEmailCode, and the name of CreateIntlPhoneEmail's error for a failure to send.
SEND_API_CODES: dict[str, Outcome] = {
    "InternalError.SendVerifyCodeErr": SEND_FAILED,
    "FailedOperation.SendVerifyCodeIsLimited": SEND_LIMITED,
    "FailedOperation.SendTcbPhoneEmailCodeFailed": BRIDGE_MISCONFIGURED,
    "FailedOperation.VerifyUinIsRealname": BRIDGE_MISCONFIGURED,
    # about a verification code, which the request does not have:
    "InternalError.VerifyCodeErr": UPSTREAM_FAILED,
    "InvalidParameter.VerifyCodeIsInvalid": UPSTREAM_FAILED,
}

API_FAMILIES = ("AuthFailure", "UnauthorizedOperation", "RequestLimitExceeded")
"""Codes of `API_CODES` whose sub-codes all have the same outcome."""

# Remedies if the API rejects the bridge itself. The first prefix that matches the code applies.
REMEDIES: tuple[tuple[str, str], ...] = (
    ("AuthFailure.SecretIdNotFound", "TENCENT_SECRET_ID: the key does not exist or is disabled; set an enabled key"),
    ("AuthFailure.InvalidSecretId", "TENCENT_SECRET_ID: is not the id of an API key; correct it"),
    ("AuthFailure.SignatureFailure", "TENCENT_SECRET_KEY: does not belong to TENCENT_SECRET_ID; correct it"),
    ("AuthFailure.SignatureExpire", "system clock: is off by more than five minutes; synchronize it"),
    ("AuthFailure.TokenFailure", "TENCENT_SESSION_TOKEN or the execution role's token: is wrong or expired; renew it"),
    ("AuthFailure.UnauthorizedOperation", "CAM policy of the key: must allow domain:{action}; add it"),
    ("UnauthorizedOperation", "CAM policy of the key: must allow domain:{action}; add it"),
    ("AuthFailure", "TENCENT_SECRET_ID and TENCENT_SECRET_KEY: are not accepted; correct them"),
    ("FailedOperation.", "cloud account: may not send codes; check it in the console"),
    ("Ip", "CAM policy of the key: does not allow the bridge's IP address; add the address"),
    ("", "DOMAIN_API_URL: is the wrong site of the API, or a proxy changes the requests; check both"),
)

NO_CREDENTIALS = (
    "TENCENT_SECRET_ID and TENCENT_SECRET_KEY: are not set; set them, or give the function an execution role (a web "
    "function also needs ROLE_CREDENTIALS_FROM_HEADERS=true)"
)


def remedy_for(api_code: str | None, action: str = CREATE) -> str:
    """Return the remedy for ``bridge-misconfigured``, for the log. Without a code, the credentials are missing."""
    if api_code is None:
        return NO_CREDENTIALS
    return next(remedy for prefix, remedy in REMEDIES if api_code.startswith(prefix)).replace("{action}", action)


def outcome_for(api_code: str, action: str = CREATE) -> Outcome:
    """Return the outcome of an API error code: that of the code, else that of its family, else UPSTREAM_FAILED."""
    if action == SEND and api_code in SEND_API_CODES:
        return SEND_API_CODES[api_code]
    family = api_code.partition(".")[0]
    return API_CODES.get(family if family in API_FAMILIES else api_code, UPSTREAM_FAILED)
