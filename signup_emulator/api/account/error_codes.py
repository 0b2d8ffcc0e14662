"""The API's error codes, and the exception for an error reply."""

from __future__ import annotations

API_CODES = {
    # documented for CreateIntlPhoneEmail
    "InternalError.VerifyCodeErr": "the verification code is wrong",
    "InternalError.VerifiedPhoneEmailErr": "the contact was verified before",
    "InvalidParameterValue.InvalidParameterFormat": "a parameter, usually the contact, has an unsupported format",
    "InternalError.CheckVerifyCodeErr": "the code could not be checked",
    "InternalError.AddPhoneEmailErr": "the contact could not be added to the list; the code may be used up",
    "InternalError.JsonMarshal": "the API failed to serialize its reply",
    "InternalError.ReadBodyError": "the API failed to read the request's body",
    "InternalError.ForbiddenRequest": "the request is forbidden",
    "InternalError.NeedLogin": "a login is required",
    "InternalError.MethodNotMatch": "the HTTP method is wrong",
    "MissingParameter.ActionNotFound": "the action does not exist",
    # further codes of SendIntlPhoneEmailCode
    "InternalError.SendVerifyCodeErr": "the code could not be sent",
    "FailedOperation.SendVerifyCodeIsLimited": "codes for this contact were requested too often",
    # documented for DeleteIntlPhoneEmail and DescribeIntlPhoneEmailList
    "InternalError.DeletePhoneEmailVerifyErr": "the contact could not be deleted from the list",
    "InternalError.DescribePhoneEmailListErr": "the list of verified contacts could not be read",
    # related actions and the mainland API, with the same meanings
    "InvalidParameter.TelephoneIsInvalid": "the phone number is invalid",
    "InvalidParameter.EmailIsInvalid": "the email address is invalid",
    "InvalidParameter.VerifyCodeIsInvalid": "the verification code is wrong (mainland API)",
    "InvalidParameter.CodeTypeIsInvalid": "Type is neither phone nor email",
    "FailedOperation.DuplicatePhoneEmail": "the contact was verified before (mainland API)",
    "FailedOperation.ProhibitPhoneEmail": "the contact is not permitted",
    "InternalError.DomainInternalError": "the product has an internal error",
    "LimitExceeded.RequestLimit": "too many requests (mainland API)",
    # credentials and permission
    "AuthFailure": "the credentials are rejected",
    "AuthFailure.InvalidAuthorization": "the Authorization header is malformed",
    "AuthFailure.InvalidSecretId": "the SecretId is not the ID of an API key",
    "AuthFailure.MFAFailure": "multi-factor authentication is required",
    "AuthFailure.SecretIdNotFound": "the API key does not exist or is disabled",
    "AuthFailure.SignatureExpire": "the timestamp is more than five minutes off",
    "AuthFailure.SignatureFailure": "the signature is wrong",
    "AuthFailure.TokenFailure": "the session token is wrong or expired",
    "AuthFailure.UnauthorizedOperation": "the policy of the API key does not allow the action",
    "UnauthorizedOperation": "the action is not allowed",
    "IpInBlacklist": "the caller's IP address is on the deny list",
    "IpNotInWhitelist": "the caller's IP address is not on the allow list",
    # invalid requests
    "ActionOffline": "the action is no longer available",
    "DryRunOperation": "a dry run, which would have succeeded",
    "InvalidAction": "the action does not exist",
    "InvalidRequest": "the request is malformed",
    "MissingParameter": "a parameter is missing",
    "NoSuchProduct": "the product does not exist",
    "NoSuchVersion": "the version does not exist",
    "RequestSizeLimitExceeded": "the request is too large",
    "UnknownParameter": "the action has no such parameter",
    "UnsupportedOperation": "the operation is not supported",
    "UnsupportedProtocol": "the protocol is not supported",
    "UnsupportedRegion": "the region is not supported",
    "InvalidParameter": "a parameter is invalid",
    "InvalidParameterValue": "the value of a parameter is invalid",
    # throttled, and not processed
    "RequestLimitExceeded": "the requests per second exceed the quota",
    "RequestLimitExceeded.GlobalRegionUinLimitExceeded": "the account sends too many requests across all regions",
    "RequestLimitExceeded.IPLimitExceeded": "the IP address sends too many requests",
    "RequestLimitExceeded.UinLimitExceeded": "the account sends too many requests",
    # failures without a stated cause
    "FailedOperation": "the operation failed",
    "InternalError": "the API has an internal error",
    "LimitExceeded": "an account quota is exceeded",
    "ResourceInUse": "the resource is in use",
    "ResourceInsufficient": "a resource is insufficient",
    "ResourceNotFound": "the resource does not exist",
    "ResourceUnavailable": "the resource is unavailable",
    "ResponseSizeLimitExceeded": "the reply would be too large",
    "ServiceUnavailable": "the API is temporarily unavailable",
}
"""The known error codes of the API, each with its meaning. Other well-formed codes can be armed, too."""


class ApiError(Exception):
    """An error reply of the API: its code and its message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
