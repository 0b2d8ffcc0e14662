"""The calls of the Domain API, through the official SDK.

In come what an action takes and a deadline; out comes a `Call`: what is known for certain about what
happened. It must never raise, judge, retry, or say a word of what it sends.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Literal
from urllib.parse import urlsplit

import certifi
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.retry import NoopRetryer

from signup_bridge.core.actions import CREATE, DELETE, DESCRIBE, SEND
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.tracing import trace_id

from .credentials import Credentials, CredentialsProvider
from .exchange import exchange
from .reply import CallResult, Reply
from .transport import Wire

PAGE_SIZE = 200
"""Rows of a page of the account's list, the most that the API gives."""

# At DEBUG the SDK's logger prints the Authorization header, the contact and the code. A filter holds whatever level or
# handler is set later, and whoever sets it.
logging.getLogger("tencentcloud_sdk_common").addFilter(lambda _record: False)


_signing_credentials: ContextVar[Credentials] = ContextVar("credentials")
"""What the call that is being made is signed with: never on the client, which threads share."""


class _Credential:
    """The SDK's credential protocol: whatever belongs to the call that is being made."""

    def get_credential_info(self) -> tuple[str, str, str | None]:
        current = _signing_credentials.get()
        return current.secret_id, current.secret_key, current.token


def _headers() -> dict[str, str]:
    """A call's headers: a new dict each time, for the SDK writes into it; a trace id, too, where there is none."""
    trace = trace_id.get()
    return {"X-TC-TraceId": trace} if trace else {}


class DomainApi:
    """The Domain API (product ``domain``, version ``2018-08-08``) over one client, shared by all threads.

    ``url`` is the API's base URL, ``ca_bundle`` a PEM file (certifi's when None), ``connections`` how many are kept
    alive, ``credentials`` is asked at every call. Raises OSError when the CA bundle cannot be read.
    """

    def __init__(
        self,
        url: str,
        *,
        credentials: CredentialsProvider,
        connections: int,
        clock: Clock,
        ca_bundle: str | None = None,
    ) -> None:
        parts = urlsplit(url)
        profile = ClientProfile(
            language="en-US",
            httpProfile=HttpProfile(protocol=parts.scheme, endpoint=parts.netloc, keepAlive=True),
            # Said, because the other one, StandardRetryer, calls a third time after fail-then-succeed.
            retryer=NoopRetryer(),
        )
        self._clock = clock
        self._credentials = credentials
        self._client = CommonClient("domain", "2018-08-08", _Credential(), "", profile)
        self._client.request.conn = Wire(
            url, ca_bundle=ca_bundle or certifi.where(), connections=connections, clock=clock
        )

    def create_intl_phone_email(self, contact: Contact, verify_code: str, deadline: Deadline) -> CallResult:
        """Call ``CreateIntlPhoneEmail`` once, with the contact as it is: which forms it takes is not documented.

        Source: Tencent Cloud API 3.0, product ``domain``, version ``2018-08-08``: ``Type`` is an int, ``Code`` (the
        contact) and ``VerifyCode`` are strings.
        """
        params = {"Type": contact.type.value, "Code": contact.value, "VerifyCode": verify_code}
        return self._call(CREATE, params, deadline)

    def send_intl_phone_email_code(self, contact: Contact, deadline: Deadline) -> CallResult:
        """Call ``SendIntlPhoneEmailCode`` once, with the contact as it is: a message, which costs money."""
        return self._call(SEND, {"Type": contact.type.value, "Code": contact.value}, deadline)

    def describe_intl_phone_email_list(self, contact_type: ContactType, offset: int, deadline: Deadline) -> CallResult:
        """Ask for one page of the account's list, as long as the API allows."""
        params = {"Type": contact_type.value, "Limit": PAGE_SIZE, "Offset": offset}
        return self._call(DESCRIBE, params, deadline)

    def delete_intl_phone_email(self, contact: Contact, deadline: Deadline) -> CallResult:
        """Take a contact off the account's list."""
        return self._call(DELETE, {"Type": contact.type.value, "Code": contact.value}, deadline)

    def _call(self, action: str, params: Mapping[str, object], deadline: Deadline) -> CallResult:
        current = self._credentials()
        if current is None:
            return CallResult("no-credentials", 0.0, "NoCredentials")
        elapsed = Stopwatch(self._clock)
        with exchange(deadline) as wire:
            signing = _signing_credentials.set(current)
            try:
                self._client.call(action, params, headers=_headers())
            except TencentCloudSDKException as error:
                # It wraps whatever happened, and is not always a failure: what the wire saw decides.
                wire.error = wire.error or str(error.get_code())
            finally:
                _signing_credentials.reset(signing)
        if wire.body is not None and wire.status is not None:
            return CallResult(Reply(wire.status, wire.body), elapsed.seconds())
        if wire.untrusted:
            fields = {"reason": wire.untrusted, "upstream_error": wire.error, "look_at": "DOMAIN_API_CA_BUNDLE"}
            log.error("the API's certificate is not trusted: nothing was sent", extra={"fields": fields})
        result: Literal["never-sent", "no-answer", "unusable"]
        if not wire.sent:
            result = "never-sent"
        elif wire.timed_out or not wire.received:
            result = "no-answer"
        else:
            result = "unusable"
        return CallResult(result, elapsed.seconds(), wire.error)
