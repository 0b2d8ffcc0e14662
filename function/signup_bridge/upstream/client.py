"""Call the Domain API through the official SDK.

A call returns its facts. It does not raise, retry, classify the reply, or log the request.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from copy import copy
from typing import Literal
from urllib.parse import urlsplit

import certifi
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.common.retry import NoopRetryer

from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.tracing import trace_id

from .credentials import Credentials
from .reply import CallResult, Reply
from .transport import CallTrace, HttpTransport, trace_call

# At DEBUG, the SDK's logger prints the Authorization header, the contact and the code. A filter works with any level
# and handler that is set later.
logging.getLogger("tencentcloud_sdk_common").addFilter(lambda _record: False)


class DomainApi:
    """The Domain API (product ``domain``, version ``2018-08-08``). All threads share one object.

    ``ca_bundle`` is the path of a PEM file (None: certifi's), ``connections`` the number kept alive. Raises OSError if
    the CA bundle cannot be read.
    """

    def __init__(self, url: str, *, connections: int, clock: Clock, ca_bundle: str | None = None) -> None:
        parts = urlsplit(url)
        profile = ClientProfile(
            language="en-US",
            httpProfile=HttpProfile(protocol=parts.scheme, endpoint=parts.netloc, keepAlive=True),
            # The SDK's StandardRetryer makes a third call after a failure and a success.
            retryer=NoopRetryer(),
        )
        self._clock = clock
        self._client = CommonClient("domain", "2018-08-08", None, "", profile)
        self._client.request.conn = HttpTransport(
            url, ca_bundle=ca_bundle or certifi.where(), connections=connections, clock=clock
        )

    def call(
        self, action: str, params: Mapping[str, object], credentials: Credentials | None, deadline: Deadline
    ) -> CallResult:
        """Make one call by the deadline."""
        if credentials is None:
            return CallResult("no-credentials", 0.0, "NoCredentials")
        elapsed = Stopwatch(self._clock)
        client = copy(self._client)  # threads share the original, and each call has its own credentials
        client.credential = credentials
        # The SDK writes into the headers, and adds a trace id if there is none.
        headers = {"X-TC-TraceId": trace_id.get()} if trace_id.get() else {}
        with trace_call(deadline) as trace:
            try:
                client.call(action, params, headers=headers)
            except TencentCloudSDKException as error:
                # The SDK wraps every error, and raises errors for some successes, so the trace determines the result.
                trace.error = trace.error or str(error.get_code())
        if trace.body is not None and trace.status is not None:
            return CallResult(Reply(trace.status, trace.body), elapsed.seconds())
        if trace.untrusted:
            fields = {"reason": trace.untrusted, "upstream_error": trace.error, "remedy": "DOMAIN_API_CA_BUNDLE"}
            log.error("API certificate not trusted, no request sent", extra={"fields": fields})
        return CallResult(_failure(trace), elapsed.seconds(), trace.error)


def _failure(trace: CallTrace) -> Literal["never-sent", "no-reply", "unusable"]:
    if not trace.sent:
        return "never-sent"
    return "no-reply" if trace.timed_out or not trace.received else "unusable"
