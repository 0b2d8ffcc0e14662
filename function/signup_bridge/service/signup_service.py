"""Handle one request: the service that the Flask views and the event triggers call.

It depends on no framework. The headers of an HTTP request authenticate its sender; the platform authorizes the sources
of events.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from signup_bridge.core import Value, outcomes
from signup_bridge.core.clock import Deadline
from signup_bridge.core.delivery import CodeRequest, Delivery, DeliveryResult, IdempotencyKey
from signup_bridge.core.outcomes import EncodingUnsupported, RequestRejected
from signup_bridge.inbound import body, cloudevents, idempotency_key
from signup_bridge.inbound.cloudevents import Source
from signup_bridge.inbound.idempotency_key import KeyPolicy
from signup_bridge.inbound.payload_mapping import PayloadMapping
from signup_bridge.inbound.signatures import Headers, Verifier
from signup_bridge.upstream import credentials

from .code_sending import CodeSender
from .verification import Verification


class Request(Value):
    """One request to verify a contact or to send a code.

    ``headers`` are those of an HTTP request, with its signature. ``key`` is the id that a trigger assigns; an id in the
    body takes precedence. ``action``: ``auto`` reads the action from the body, if its source permits that.
    """

    hidden = ("body", "headers")

    def __init__(
        self,
        body: bytes,
        deadline: Deadline,
        source: Source = "request",
        *,
        headers: Headers | None = None,
        key: IdempotencyKey | None = None,
        action: Literal["auto", "send"] = "auto",
    ) -> None:
        self.body: Final = body
        self.deadline: Final = deadline
        self.source: Final = source
        self.headers: Final[Headers] = headers or {}
        self.key: Final = key
        self.action: Final = action


class RequestRules(NamedTuple):
    """Which requests the service accepts and how it reads them.

    ``body_limit`` is in bytes. ``send_codes``: a body may request a code. ``role_credentials``: the platform's headers
    of an HTTP request contain the credentials for its API calls.
    """

    verify_signature: Verifier
    keys: KeyPolicy
    mapping: PayloadMapping | None
    body_limit: int
    send_codes: bool
    role_credentials: bool


class SignupService(NamedTuple):
    """Verifies contacts and sends codes."""

    rules: RequestRules
    verification: Verification
    sender: CodeSender

    def handle(self, request: Request) -> DeliveryResult:
        """Verify the contact or send the code by the request's deadline. Raises RequestRejected."""
        delivery = self._read(request)
        role = credentials.from_headers(request.headers) if self.rules.role_credentials else None
        if isinstance(delivery, CodeRequest):
            return self.sender.send(delivery, request.deadline, role)
        return self.verification.verify(delivery, request.deadline, role)

    def authenticate(self, headers: Headers) -> None:
        """Verify the signature of a request without a body. Raises RequestRejected."""
        self.rules.verify_signature(headers, b"")

    def lookup(self, delivery_id: str, headers: Headers, deadline: Deadline) -> DeliveryResult:
        """Return the stored result of a delivery. Raises RequestRejected, also if there is none."""
        keys = idempotency_key.candidates(delivery_id, headers, self.rules.keys)
        result = self.verification.lookup(keys, deadline)
        if result is None:
            raise RequestRejected(outcomes.DELIVERY_NOT_FOUND)
        return result

    def _read(self, request: Request) -> Delivery | CodeRequest:
        """Authenticate the sender, then parse the body. Raises RequestRejected."""
        rules, headers = self.rules, request.headers
        if len(request.body) > rules.body_limit:
            raise body_too_large(rules.body_limit)
        key = request.key
        if request.source == "request":
            signed_id = rules.verify_signature(headers, request.body)
            key = idempotency_key.from_request(headers, signed_id, rules.keys)
        content_type = headers.get("Content-Type")
        body.check_media_type(content_type)
        if (headers.get("Content-Encoding") or "").strip().lower() not in ("", "identity"):
            raise EncodingUnsupported
        body_format = cloudevents.body_format(
            request.source,
            rules.mapping,
            content_type=content_type,
            binary=headers.get("ce-id") is not None,
            trusted=request.source == "message" or (key is None and rules.keys.accepts_unsigned_ids),
        )
        parsed = body.parse(request.body, body_format)
        if request.action == "send" or (rules.send_codes and parsed.requested_action() == "send"):
            return parsed.to_code_request(key)
        return parsed.to_delivery(key)


def body_too_large(limit: int) -> RequestRejected:
    """Return the rejection of a body of more than ``limit`` bytes."""
    return RequestRejected(outcomes.BODY_TOO_LARGE, f"Send at most {limit} bytes.")
