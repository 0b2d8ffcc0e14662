"""The API's error codes, and the error that carries one."""

from __future__ import annotations

API_CODES = {
    # what CreateIntlPhoneEmail is documented to answer
    "InternalError.VerifyCodeErr": "the verification code is wrong",
    "InternalError.VerifiedPhoneEmailErr": "the contact was verified before",
    "InvalidParameterValue.InvalidParameterFormat": "a parameter, mostly the contact, has a form that is not taken",
    "InternalError.CheckVerifyCodeErr": "the code could not be checked",
    "InternalError.AddPhoneEmailErr": "the contact could not be put on the list; the code may be spent",
    "InternalError.JsonMarshal": "the API failed to write its JSON",
    "InternalError.ReadBodyError": "the API failed to read the request's body",
    "InternalError.ForbiddenRequest": "the request is forbidden",
    "InternalError.NeedLogin": "no login",
    "InternalError.MethodNotMatch": "the wrong HTTP method",
    "MissingParameter.ActionNotFound": "the action does not exist",
    # what SendIntlPhoneEmailCode may answer besides
    "InternalError.SendVerifyCodeErr": "the code could not be sent",
    "FailedOperation.SendVerifyCodeIsLimited": "codes are sent to this contact too often",
    # what DeleteIntlPhoneEmail and DescribeIntlPhoneEmailList are documented to answer besides
    "InternalError.DeletePhoneEmailVerifyErr": "the contact could not be removed from the list",
    "InternalError.DescribePhoneEmailListErr": "the list of verified contacts could not be read",
    # related actions and the mainland twin, for the same things
    "InvalidParameter.TelephoneIsInvalid": "not a phone number that is taken",
    "InvalidParameter.EmailIsInvalid": "not an email address that is taken",
    "InvalidParameter.VerifyCodeIsInvalid": "the verification code is wrong, in the twin's words",
    "InvalidParameter.CodeTypeIsInvalid": "a Type that is neither phone nor email",
    "FailedOperation.DuplicatePhoneEmail": "the contact was verified before, in the twin's words",
    "FailedOperation.ProhibitPhoneEmail": "the contact is not allowed",
    "InternalError.DomainInternalError": "something failed inside the product",
    "LimitExceeded.RequestLimit": "too many requests, in the twin's words",
    # credentials and permission
    "AuthFailure": "the credentials are refused",
    "AuthFailure.InvalidAuthorization": "the Authorization header is malformed",
    "AuthFailure.InvalidSecretId": "not the id of an API key",
    "AuthFailure.MFAFailure": "a second factor is wanted",
    "AuthFailure.SecretIdNotFound": "the account has no such key, or it is disabled",
    "AuthFailure.SignatureExpire": "the clock is more than five minutes off",
    "AuthFailure.SignatureFailure": "the signature is wrong",
    "AuthFailure.TokenFailure": "the session token is wrong or expired",
    "AuthFailure.UnauthorizedOperation": "the key's policy does not allow the action",
    "UnauthorizedOperation": "the action is not allowed",
    "IpInBlacklist": "the caller's address is on a list of refused ones",
    "IpNotInWhitelist": "the caller's address is not on the list of allowed ones",
    # the request is wrong
    "ActionOffline": "the action has been taken out of service",
    "DryRunOperation": "a dry run that would have been done",
    "InvalidAction": "the product has no such action",
    "InvalidRequest": "the request has an unusable shape",
    "MissingParameter": "a parameter is missing",
    "NoSuchProduct": "there is no such product",
    "NoSuchVersion": "the product has no such version",
    "RequestSizeLimitExceeded": "the request is too large",
    "UnknownParameter": "a parameter that the action does not have",
    "UnsupportedOperation": "the operation is not supported",
    "UnsupportedProtocol": "the protocol is not supported",
    "UnsupportedRegion": "the region is not supported",
    "InvalidParameter": "a parameter is wrong",
    "InvalidParameterValue": "a parameter's value is wrong",
    # throttled, and not processed
    "RequestLimitExceeded": "more requests within a second than the quota allows",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": "the account's requests over all regions are too many",
    "RequestLimitExceeded.IPLimitExceeded": "the address sends too many requests",
    "RequestLimitExceeded.UinLimitExceeded": "the account sends too many requests",
    # something failed, nothing more is said
    "FailedOperation": "the operation failed",
    "InternalError": "something failed inside the API",
    "LimitExceeded": "a quota of the account is full",
    "ResourceInUse": "the resource is in use",
    "ResourceInsufficient": "there is not enough of a resource",
    "ResourceNotFound": "there is no such resource",
    "ResourceUnavailable": "the resource cannot be had",
    "ResponseSizeLimitExceeded": "the reply would be too large",
    "ServiceUnavailable": "the API is out of service for a while",
}
"""The API's error codes that are known, each with what it says. Any other well-formed one can be armed, too."""


class ApiError(Exception):
    """A reply of the API that is an error: its code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
