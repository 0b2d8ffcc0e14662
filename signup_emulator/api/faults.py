"""Faults on demand: an API error code instead of an answer, or a reply that breaks on the wire."""

from __future__ import annotations

import re
import threading
from dataclasses import asdict, dataclass, fields
from typing import Any

from .domain import ACTIONS

WIRE_FAULTS = {
    # The call is processed, then its reply is lost or damaged.
    "hang": "no reply at all; the connection stays open",
    "reset": "the connection is reset",
    "close": "the connection is closed without a reply",
    "truncate": "half of the body, then the connection is closed",
    "stall-body": "half of the body, then nothing more",
    "drip": "the whole reply, a byte every fifth of a second",
    # Neither is the call processed, nor is there a reply.
    "unprocessed": "the connection is closed before the call is processed",
    # Something else answers in the API's place; the call is not processed.
    "http-502": "HTTP status 502 with an HTML page",
    "html": "HTTP status 200 with an HTML page",
    "empty-object": "{}",
    "empty-response": '{"Response": {}}',
    "error-with-charset": "a wrong code, as application/json; charset=utf-8",
    "error-without-content-type": "a wrong code, without a Content-Type",
    "redirect": "a redirect to where a GET would be answered as a success is",
}
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
    "InternalError.NeedLogin": "nobody is logged in",
    "InternalError.MethodNotMatch": "the wrong HTTP method",
    "MissingParameter.ActionNotFound": "the action leads nowhere",
    # what SendIntlPhoneEmailCode may answer besides
    "InternalError.SendVerifyCodeErr": "the code could not be sent",
    "FailedOperation.SendVerifyCodeIsLimited": "codes are sent to this contact too often",
    # what DeleteIntlPhoneEmail and DescribeIntlPhoneEmailList are documented to answer besides
    "InternalError.DeletePhoneEmailVerifyErr": "the contact could not be taken off the list",
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

PROCESSED = ("hang", "reset", "close", "truncate", "stall-body", "drip")
_API_CODE = re.compile(r"[A-Z][A-Za-z0-9]+(\.[A-Za-z0-9_]+)*")
"""The form of an error code. Some products' codes have digits, underscores or a lower-case sub-code."""


@dataclass
class Fault:
    """A fault for the next ``times`` calls of an action with a contact, any where None."""

    fault: str
    action: str | None = None
    contact: str | None = None
    times: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.fault, str) or not self._is_known():
            raise ValueError(f"fault: must be an API error code or one of {', '.join(WIRE_FAULTS)}")
        if self.action is not None and self.action not in ACTIONS:
            raise ValueError(f"action: must be absent or one of {', '.join(ACTIONS)}")
        if self.contact is not None and not isinstance(self.contact, str):
            raise ValueError("contact: must be a string or absent")
        if type(self.times) is not int or self.times < 1:
            raise ValueError("times: must be a whole number from 1 on")

    def _is_known(self) -> bool:
        """Any API error code will do, but not a wire fault in another spelling."""
        return self.fault in WIRE_FAULTS or (
            self.fault.lower() not in WIRE_FAULTS and _API_CODE.fullmatch(self.fault) is not None
        )


class Faults:
    """The faults that are armed, first come first served. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._armed: list[Fault] = []

    def arm(self, fault: Fault) -> None:
        with self._lock:
            self._armed.append(fault)

    def armed(self) -> list[dict[str, Any]]:
        """What is armed, in its order, as JSON values."""
        with self._lock:
            return [asdict(fault) for fault in self._armed]

    def clear(self) -> None:
        with self._lock:
            self._armed.clear()

    def take(self, action: str, contact: str | None) -> str | None:
        """The fault for this call, used up by it."""
        with self._lock:
            for fault in self._armed:
                if fault.action in (None, action) and fault.contact in (None, contact):
                    fault.times -= 1
                    if not fault.times:
                        self._armed.remove(fault)
                    return fault.fault
            return None


def read(document: Any) -> Fault:
    """The fault in a JSON document. Raises ValueError, which says what is wrong."""
    names = [field.name for field in fields(Fault)]
    if not isinstance(document, dict) or "fault" not in document or not set(document) <= set(names):
        raise ValueError(f"must be an object with the member fault and perhaps {', '.join(names[1:])}")
    return Fault(**document)
