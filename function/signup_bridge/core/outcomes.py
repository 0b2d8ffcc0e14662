"""The outcome table: how a delivery can end, and the response to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

from .actions import CREATE, SEND


class Outcome(NamedTuple):
    """One row of the outcome table.

    ``call``: whether the API was called. ``stored``: how the ledger stores the outcome. ``retryable``: whether a retry
    of the delivery may end differently. ``retry_after`` is in seconds.
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
        """The kind of outcome, on which the response formats of a sender's profile depend.

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
        """Whether the response stops senders that honour ``webhook-delivery: abort-message``."""
        return self.kind == "permanent"


VERIFIED = Outcome("verified", 200, "Verified", "", "yes", retryable=False, stored="definitive")
SENT = Outcome("sent", 202, "The code was sent", "", "yes", retryable=False, stored="definitive")
CODE_INCORRECT = Outcome(
    "code-incorrect", 422, "The verification code is wrong",
    "The API refused this verification code for this contact. Ask the person for the code again, or send a new one.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
CONTACT_INVALID = Outcome(
    "contact-invalid", 422, "The contact is not usable",
    "The API refused the form of the contact. Ask the person for another phone number or email address.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
ALREADY_VERIFIED = Outcome(
    "already-verified", 409, "The contact has been verified before",
    "The contact is already on the account's list. That says nothing about this verification code.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
ATTEMPTS_EXHAUSTED = Outcome(
    "attempts-exhausted", 422, "Too many wrong codes",
    "The limit for wrong codes for this contact has been reached. Wait for the seconds in `retry_after`, then send the "
    "person a new code and verify it with a new delivery.",
    "no", retryable=False, stored="definitive",
)  # fmt: skip
OUTCOME_UNRESOLVED = Outcome(
    "outcome-unresolved", 409, "It cannot be told whether the code was accepted",
    "An earlier answer of the API was lost, and what it was cannot be found out. Send the person a new code.",
    "yes", retryable=False, stored="definitive",
)  # fmt: skip
IDEMPOTENCY_KEY_REUSED = Outcome(
    "idempotency-key-reused", 422, "The delivery's id was used for another content",
    "A delivery of this id, with another contact or code, is already known. Give each delivery an id of its own.",
    "no", retryable=False,
)  # fmt: skip
BODY_MALFORMED = Outcome(
    "body-malformed", 400, "The body is not valid JSON",
    "Send one JSON object in UTF-8, with no member twice.",
    "no", retryable=False,
)  # fmt: skip
BODY_INVALID = Outcome(
    "body-invalid", 422, "The request has invalid members",
    "Each entry of `errors` names a member of the body, or a header, and what it must be.",
    "no", retryable=False,
)  # fmt: skip
IN_PROGRESS = Outcome(
    "in-progress", 409, "The verification is under way",
    "This delivery, or this contact, is being verified right now. Send the same delivery again.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
UPSTREAM_THROTTLED = Outcome(
    "upstream-throttled", 503, "The API's request quota is used up",
    "Too many verifications at once. Nothing was processed: send the same delivery again.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
UPSTREAM_UNREACHABLE = Outcome(
    "upstream-unreachable", 503, "The API cannot be reached",
    "The request never left. Nothing was processed: send the same delivery again.",
    "no", retryable=True, retry_after=5,
)  # fmt: skip
OUTCOME_UNKNOWN = Outcome(
    "outcome-unknown", 504, "The API did not answer in time",
    "The request left, and no answer came: whether the code was accepted is not known. Send the same delivery again.",
    "maybe", retryable=True, stored="unknown",
)  # fmt: skip
UPSTREAM_FAILED = Outcome(
    "upstream-failed", 502, "The API gave no usable answer",
    "The reply says neither yes nor no: whether the code was accepted is not known. Send the same delivery again.",
    "maybe", retryable=True, stored="unknown",
)  # fmt: skip
SEND_LIMITED = Outcome(
    "send-limited", 429, "Too many codes were asked for",
    "No code was sent: so many may not be sent to this contact, or to contacts like it. Wait as Retry-After says.",
    "maybe", retryable=True, retry_after=60,
)  # fmt: skip
SEND_FAILED = Outcome(
    "send-failed", 502, "The code could not be sent",
    "The API could not send the message. Send the same delivery again, or ask the person for another contact.",
    "yes", retryable=True,
)  # fmt: skip
BRIDGE_MISCONFIGURED = Outcome(
    "bridge-misconfigured", 500, "The bridge is misconfigured",
    "The API does not accept the bridge's own credentials, permission or endpoint. The bridge's log names the setting.",
    "no", retryable=True,
)  # fmt: skip
LEDGER_UNAVAILABLE = Outcome(
    "ledger-unavailable", 503, "The ledger cannot be reached",
    "Nothing is verified that cannot be remembered. Nothing was processed: send the same delivery again.",
    "no", retryable=True, retry_after=2,
)  # fmt: skip
OVERLOADED = Outcome(
    "overloaded", 503, "More work than can be finished in time",
    "The bridge is at its limit. Nothing was processed: send the same delivery again.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
BODY_INCOMPLETE = Outcome(
    "body-incomplete", 503, "The body did not arrive whole",
    "The connection ended or fell silent before the whole body arrived. "
    "Nothing was processed: send the same delivery again.",
    "no", retryable=True, retry_after=1,
)  # fmt: skip
INTERNAL_ERROR = Outcome(
    "internal-error", 500, "A fault of the bridge",
    "Something went wrong inside the bridge. Its log has the details under this answer's X-Request-Id.",
    "maybe", retryable=True,
)  # fmt: skip
SIGNATURE_INVALID = Outcome(
    "signature-invalid", 401, "The signature or token is not valid",
    "It is missing, stale or wrong. Sign with a current secret, over the exact bytes of the body.",
    "no", retryable=False,
)  # fmt: skip
NOT_FOUND = Outcome(
    "not-found", 404, "There is nothing here", "Webhooks are posted to /webhooks/signup or to /.", "no", retryable=False
)
DELIVERY_NOT_FOUND = Outcome(
    "delivery-not-found", 404, "The delivery is not known",
    "The ledger stores no delivery with this id. Check the id, or send the delivery.",
    "no", retryable=False,
)  # fmt: skip
METHOD_NOT_ALLOWED = Outcome(
    "method-not-allowed", 405, "The method is not allowed here",
    "The Allow header names the methods of this path.",
    "no", retryable=False,
)  # fmt: skip
BODY_TOO_LARGE = Outcome("body-too-large", 413, "The body is too large", "Send a smaller body.", "no", retryable=False)
MEDIA_TYPE_UNSUPPORTED = Outcome(
    "media-type-unsupported", 415, "The media type is not JSON",
    "Send application/json, a type that ends in +json, or no Content-Type.",
    "no", retryable=False,
)  # fmt: skip

OUTCOMES = tuple(row for row in globals().values() if isinstance(row, Outcome))
"""The rows above, in their order."""

BY_CODE = {outcome.code: outcome for outcome in OUTCOMES}

_PERHAPS_SENT = "Whether a message was sent is not known. Send the same delivery again, after SEND_INTERVAL."
SEND_UNKNOWN = OUTCOME_UNKNOWN._replace(detail=f"The request left, and no answer came. {_PERHAPS_SENT}")
SEND_REPLY_UNUSABLE = UPSTREAM_FAILED._replace(detail=f"The reply says neither yes nor no. {_PERHAPS_SENT}")
"""`OUTCOME_UNKNOWN` and `UPSTREAM_FAILED` of a request for a code."""


class Timing(NamedTuple):
    """Seconds before the API call and in it."""

    queue_seconds: float = 0.0
    upstream_seconds: float = 0.0


NO_TIME = Timing()


class Result(NamedTuple):
    """The outcome of a delivery, with details of the API call that decided it.

    ``error`` is for the log. ``retry_after`` is in seconds, None for the outcome's own; in a permanent outcome it is
    the time until a new delivery for the contact may be tried. ``limit``: the send limit that rejected a code.
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
    """Return the outcome to show if senders must not learn which contacts were verified before."""
    if outcome is not ALREADY_VERIFIED:
        return outcome
    return SENT if action == SEND else CODE_INCORRECT


def conceal_in_result(result: Result, placeholder_id: Callable[[], str]) -> Result:
    """Return the result of a verification without a trace of `ALREADY_VERIFIED`.

    The placeholder stands for the API's request id if there was no call. Both outcomes get the same work, since the
    time of a response could tell them apart.
    """
    outcome = conceal_already_verified(result.outcome, CREATE)
    if outcome is not CODE_INCORRECT:
        return result
    placeholder = placeholder_id()
    return result._replace(outcome=outcome, api_request_id=result.api_request_id or placeholder)


class RequestRejected(Exception):  # noqa: N818  not an error of the bridge: an outcome on its way to the response
    """A request that is rejected before any work.

    ``detail`` is for developers, ``message`` for the person who signs up (None: the outcome's title); neither contains
    anything of the request. ``errors`` are pairs: a JSON pointer to a member, or the name of a header, and what it must
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
