"""The outcome table: all possible outcomes of a delivery, and the response to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from .actions import CREATE, SEND


class Outcome(NamedTuple):
    """One row of the outcome table.

    ``title`` may be shown to the person who signs up; ``detail`` is for the developer of the sender. ``call``: whether
    the API was called. ``stored``: how the ledger stores the outcome. ``retryable``: whether a retry of the delivery
    may have a different outcome. ``retry_after`` is in seconds.
    """

    code: str
    status: int
    title: str
    detail: str
    call: Literal["yes", "no", "maybe"]
    retryable: bool
    stored: Literal["definitive", "unknown", "no"] = "no"
    retry_after: int | None = None

    @property
    def kind(self) -> Literal["success", "permanent", "retryable", "unauthenticated"]:
        """The kind of outcome, which determines the response format in a sender's profile.

        ``unauthenticated``: the request failed before its delivery was read. The operator must correct the secret or
        the URL, so the sender should keep the delivery.
        """
        if self.retryable:
            return "retryable"
        if self.status < 300:
            return "success"
        return "permanent" if self.status in (400, 409, 422) else "unauthenticated"

    @property
    def abort(self) -> bool:
        """Whether the header ``webhook-delivery: abort-message`` tells the sender to stop retrying."""
        return self.kind == "permanent"


VERIFIED = Outcome("verified", 200, "Verified", "", "yes", retryable=False, stored="definitive")
SENT = Outcome("sent", 202, "The code was sent", "", "yes", retryable=False, stored="definitive")
CODE_INCORRECT = Outcome(
    "code-incorrect", 422, "The verification code is incorrect",
    "The API rejected this verification code for this contact. Ask the person to enter the code again, "
    "or send a new code.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
CONTACT_INVALID = Outcome(
    "contact-invalid", 422, "The contact is not valid",
    "The API rejected this phone number or email address. Ask the person for another one.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
ALREADY_VERIFIED = Outcome(
    "already-verified", 409, "The contact is already verified",
    "The contact was already on the account's contact list. This outcome does not show whether the verification code "
    "is correct.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
ATTEMPTS_EXHAUSTED = Outcome(
    "attempts-exhausted", 422, "Too many wrong codes",
    "Too many wrong codes were entered for this contact. Wait the number of seconds in `retry_after`, then send a new "
    "code and verify it with a new delivery.",
    "no", retryable=False, stored="definitive",
)  # fmt: skip
OUTCOME_UNRESOLVED = Outcome(
    "outcome-unresolved", 409, "The result of the verification is unknown",
    "The API's response to an earlier request was lost, and the bridge could not reconcile the outcome. Send the "
    "person a new code.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
IDEMPOTENCY_KEY_REUSED = Outcome(
    "idempotency-key-reused", 422, "The delivery's id was used with different content",
    "A delivery with this id and another contact or verification code is already stored. "
    "Use a unique id for each delivery.",
    "no", retryable=False,
)  # fmt: skip
BODY_MALFORMED = Outcome(
    "body-malformed", 400, "The body is not valid JSON",
    "Send one JSON object in UTF-8, without duplicate members.",
    "no", retryable=False,
)  # fmt: skip
BODY_INVALID = Outcome(
    "body-invalid", 422, "The request has invalid members",
    "Each entry of `errors` names an invalid member of the body, or a header, and what it must be.",
    "no", retryable=False,
)  # fmt: skip
IN_PROGRESS = Outcome(
    "in-progress", 409, "The delivery is in progress",
    "This delivery, or another one for the same contact, is in progress. Retry the same delivery.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
UPSTREAM_THROTTLED = Outcome(
    "upstream-throttled", 503, "The API's rate limit is reached",
    "There are more deliveries than the account's rate limit allows. The delivery was not processed. "
    "Retry the same delivery.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
UPSTREAM_UNREACHABLE = Outcome(
    "upstream-unreachable", 503, "The API cannot be reached",
    "No request was sent to the API. The delivery was not processed. Retry the same delivery.",
    "no", retryable=True, retry_after=5,
)  # fmt: skip
OUTCOME_UNKNOWN = Outcome(
    "outcome-unknown", 504, "The API did not respond in time",
    "A request was sent to the API, but no response arrived. It is unknown whether the code was accepted. Retry the "
    "same delivery.",
    "maybe", retryable=True, stored="unknown",
)  # fmt: skip
UPSTREAM_FAILED = Outcome(
    "upstream-failed", 502, "The API returned no usable response",
    "The API's response does not show whether the code was accepted. Retry the same delivery.",
    "maybe", retryable=True, stored="unknown",
)  # fmt: skip
SEND_LIMITED = Outcome(
    "send-limited", 429, "Too many codes were requested",
    "The limit for verification codes to this contact or number range has been reached. No code was sent. Retry after "
    "the time in Retry-After.",
    "maybe", retryable=True, retry_after=60,
)  # fmt: skip
SEND_FAILED = Outcome(
    "send-failed", 502, "The code could not be sent",
    "The API could not send the verification code. Retry the same delivery, or ask the person for another contact.",
    "yes", retryable=True,
)  # fmt: skip
BRIDGE_MISCONFIGURED = Outcome(
    "bridge-misconfigured", 500, "The bridge is misconfigured",
    "The API credentials, permissions or endpoint of the bridge are missing or wrong. The field `remedy` in "
    "the bridge's log names the setting to correct.",
    "no", retryable=True,
)  # fmt: skip
LEDGER_UNAVAILABLE = Outcome(
    "ledger-unavailable", 503, "The ledger is unavailable",
    "The bridge cannot store the delivery, so it was not processed. Retry the same delivery.",
    "no", retryable=True, retry_after=2,
)  # fmt: skip
OVERLOADED = Outcome(
    "overloaded", 503, "The bridge is overloaded",
    "The bridge has too many deliveries in progress. This delivery was not processed. Retry the same delivery.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
BODY_INCOMPLETE = Outcome(
    "body-incomplete", 503, "The body is incomplete",
    "The connection was closed or timed out before the whole body arrived. The delivery was not processed. Retry the "
    "same delivery.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
INTERNAL_ERROR = Outcome(
    "internal-error", 500, "An internal error occurred",
    "An unexpected error occurred in the bridge. Its log contains the details under the id in X-Request-Id.",
    "maybe", retryable=True,
)  # fmt: skip
SIGNATURE_INVALID = Outcome(
    "signature-invalid", 401, "The signature or token is not valid",
    "The signature or token is missing, expired or wrong. Sign the exact bytes of the body with a current secret.",
    "no", retryable=False,
)  # fmt: skip
NOT_FOUND = Outcome(
    "not-found", 404, "The path does not exist",
    "Send webhooks by POST to /webhooks/signup or to /.",
    "no", retryable=False,
)  # fmt: skip
DELIVERY_NOT_FOUND = Outcome(
    "delivery-not-found", 404, "The delivery was not found",
    "The ledger contains no delivery with this id. Check the id, or send the delivery.",
    "no", retryable=False,
)  # fmt: skip
METHOD_NOT_ALLOWED = Outcome(
    "method-not-allowed", 405, "The method is not allowed",
    "The Allow header lists the methods of this path.",
    "no", retryable=False,
)  # fmt: skip
BODY_TOO_LARGE = Outcome("body-too-large", 413, "The body is too large", "Send a smaller body.", "no", retryable=False)
MEDIA_TYPE_UNSUPPORTED = Outcome(
    "media-type-unsupported", 415, "The media type is not supported",
    "Send the Content-Type application/json, a type that ends with +json, or no Content-Type.",
    "no", retryable=False,
)  # fmt: skip

OUTCOMES = tuple(row for row in globals().values() if isinstance(row, Outcome))
"""All rows, in the order above."""

BY_CODE = {outcome.code: outcome for outcome in OUTCOMES}

SEND_UNKNOWN = OUTCOME_UNKNOWN._replace(
    detail="A request was sent to the API, but no response arrived. It is unknown whether the code was sent. Retry the "
    "same delivery after SEND_INTERVAL."
)
SEND_REPLY_UNUSABLE = UPSTREAM_FAILED._replace(
    detail="The API's response does not show whether the code was sent. Retry the same delivery after SEND_INTERVAL."
)
"""`OUTCOME_UNKNOWN` and `UPSTREAM_FAILED` for a request to send a code."""


class Timing(NamedTuple):
    """Seconds before and during the API call."""

    queue_seconds: float = 0.0
    upstream_seconds: float = 0.0


NO_TIME = Timing()


class Result(NamedTuple):
    """The outcome of a delivery, with details of the API call that decided it.

    ``error`` is for the log. ``retry_after`` is in seconds, None for the outcome's default; in a permanent outcome it
    is the time until a new delivery for the contact may be tried. ``limit``: the send limit that rejected a code.
    ``resolved``: the outcome was unknown before. ``replayed``: the ledger had stored it.
    """

    outcome: Outcome
    api_request_id: str | None = None
    api_code: str | None = None
    error: str | None = None
    retry_after: float | None = None
    limit: str | None = None
    resolved: bool = False
    replayed: bool = False
    timing: Timing = NO_TIME

    def with_queue_time(self, seconds: float) -> Result:
        """Return the same result with ``seconds`` in the queue."""
        return self._replace(timing=self.timing._replace(queue_seconds=seconds))


def conceal_already_verified(outcome: Outcome, action: str) -> Outcome:
    """Return the outcome to show to senders that must not learn which contacts were verified before."""
    if outcome is not ALREADY_VERIFIED:
        return outcome
    return SENT if action == SEND else CODE_INCORRECT


def conceal_in_result(result: Result, placeholder_id: Callable[[], str]) -> Result:
    """Return the result of a verification with `ALREADY_VERIFIED` replaced by `CODE_INCORRECT`.

    The placeholder replaces the API's request id if there was no call. Both outcomes require the same work, so that
    the response time does not distinguish them.
    """
    outcome = conceal_already_verified(result.outcome, CREATE)
    if outcome is not CODE_INCORRECT:
        return result
    placeholder = placeholder_id()
    return result._replace(outcome=outcome, api_request_id=result.api_request_id or placeholder)


class RequestRejected(Exception):  # noqa: N818  an outcome, not an error of the bridge
    """A request that is rejected before it is processed.

    ``detail`` is for developers, ``message`` for the person who signs up (None: the outcome's title); neither contains
    any part of the request. ``errors`` are pairs: a JSON pointer to a member, or the name of a header, and what it must
    be.
    """

    def __init__(
        self,
        outcome: Outcome,
        detail: str | None = None,
        errors: tuple[tuple[str, str], ...] = (),
        message: str | None = None,
    ) -> None:
        super().__init__(outcome.code)
        self.outcome = outcome
        self.detail = detail or outcome.detail
        self.errors = errors
        self.message = message


class EncodingUnsupported(RequestRejected):
    """The body has a content coding. The response names the accepted one (RFC 9110, sections 12.5.3 and 15.5.16)."""

    def __init__(self) -> None:
        super().__init__(MEDIA_TYPE_UNSUPPORTED, "Send the body without a Content-Encoding.")
