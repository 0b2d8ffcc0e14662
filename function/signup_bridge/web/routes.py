"""The webhooks: a request becomes a delivery, and what became of it the answer.

In comes whatever anybody posts, as Flask has it; out goes the answer in the form of the sender's profile. It must know
who sent a body before it reads it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from flask import Response, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from signup_bridge.core import outcomes
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.clock import Clock, Deadline
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, Delivery, IdempotencyKey
from signup_bridge.core.outcomes import EncodingUnsupported, RequestRejected, Result
from signup_bridge.inbound import body as payload
from signup_bridge.inbound import cloudevents, idempotency_key, signatures
from signup_bridge.inbound.cloudevents import BodyFormat
from signup_bridge.service.code_sending import CodeSender
from signup_bridge.service.verification import Verification
from signup_bridge.settings import Settings
from signup_bridge.upstream import credentials

from . import middleware, responses
from .wsgi_environ import BUDGET, DELIVERY_KEY, QUEUE_TIME, SOURCE

MAX_QUEUE_FRACTION = 0.75
"""The part of its budget that a request may spend in the server's line."""

MAX_LEDGER_QUERIES, LEDGER_QUERY_TIMEOUT = 2, 1.0
"""How many may ask the ledger at once without a delivery, and the seconds that its answer may take: whatever it does,
there are threads left for /health."""


class WebhookViews:
    """What is behind the routes that senders ask."""

    def __init__(self, configured: Settings, verification: Verification, sending: CodeSender, clock: Clock) -> None:
        self._configured = configured
        self._verification = verification
        self._sending = sending
        self._clock = clock
        self._verify_signature = signatures.verifier(configured, clock)
        self._query_slots = threading.Semaphore(MAX_LEDGER_QUERIES)

    def signup(self) -> Response:
        deadline = self._deadline()
        body, key, reading = self._read_request()
        if self._configured.send_codes and reading.action and payload.is_send_request(body):
            return self._send(payload.parse_send(body, key, reading), deadline)
        delivery = payload.parse(body, key, reading)
        with self._credentials_of_request():
            verdict = self._verification.verify(delivery, deadline)
        return self._answer(verdict, delivery, CREATE)

    def send_code(self) -> Response:
        deadline = self._deadline()
        return self._send(payload.parse_send(*self._read_request()), deadline)

    def get_delivery(self, delivery_id: str) -> Response:
        deadline = self._deadline().within(LEDGER_QUERY_TIMEOUT)
        self._verify_signature(request.headers, b"")
        with self.ledger_query():
            keys = idempotency_key.candidates(delivery_id, request.headers, self._configured)
            found = self._verification.lookup(keys, deadline)
        if found is None:
            raise RequestRejected(outcomes.NOT_FOUND, "No delivery of this id is remembered.")
        verdict, contact_type = found
        return self._respond(verdict, contact_type, None)

    @contextmanager
    def ledger_query(self) -> Iterator[Deadline]:
        """Wait a moment to be one of those who may ask the ledger, until the deadline. Raises Refusal."""
        if not self._query_slots.acquire(timeout=0.2):
            raise RequestRejected(outcomes.OVERLOADED)
        try:
            yield self._deadline().within(LEDGER_QUERY_TIMEOUT)
        finally:
            self._query_slots.release()

    def _deadline(self) -> Deadline:
        """When this request must be answered: the budget began when the server accepted it.

        One that stood in line for most of its budget has none left: what is not begun cannot become an unknown outcome.
        """
        environ = request.environ
        budget = min(self._configured.request_budget, environ.get(BUDGET, self._configured.request_budget))
        age = environ.get(QUEUE_TIME, 0.0)
        return Deadline(self._clock, budget - age if age < budget * MAX_QUEUE_FRACTION else 0.0, total=budget)

    def _read_request(self) -> tuple[bytes, IdempotencyKey | None, BodyFormat]:
        """A body whose sender is known, the key that its delivery is known by, and how it is to be read."""
        body, environ, headers = _body(self._configured.body_limit), request.environ, request.headers
        origin = environ.get(SOURCE, "request")
        key = environ.get(DELIVERY_KEY)
        if origin == "request":
            signed_id = self._verify_signature(headers, body)
            key = idempotency_key.from_request(headers, signed_id, self._configured)
        content_type = headers.get("Content-Type")
        payload.check_media_type(content_type)
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise EncodingUnsupported
        reading = cloudevents.body_format(
            origin,
            self._configured.mapping,
            content_type=content_type,
            binary="ce-id" in headers,
            trusted=origin == "message" or (key is None and idempotency_key.accepts_unsigned_ids(self._configured)),
        )
        return body, key, reading

    def _send(self, wanted: CodeRequest, deadline: Deadline) -> Response:
        with self._credentials_of_request():
            verdict = self._sending.send(wanted, deadline)
        return self._answer(verdict, wanted, SEND)

    def _credentials_of_request(self) -> AbstractContextManager[None]:
        """While a request is answered whose signature has passed: its headers may say whose account is used."""
        wanted = self._configured.role_credentials_from_headers
        return credentials.use_request_headers(request.headers) if wanted else nullcontext()

    def _answer(self, verdict: Result, delivery: Delivery | CodeRequest, wanted: str) -> Response:
        contact = delivery.contact
        fields = {"action": "send"} if wanted == SEND else {}
        middleware.record_result(verdict, wanted, **fields, type=contact.type.label, contact=contact.masked)
        return self._respond(verdict, contact.type, contact)

    def _respond(self, verdict: Result, contact_type: ContactType | None, contact: Contact | None) -> Response:
        """The answer to a delivery, or to the question about it."""
        told, configured = verdict, self._configured
        if not configured.reveal_already_verified:
            told = responses.conceal_already_verified(verdict)
            middleware.omit_timing()
        middleware.notify_outcome(told.outcome, verdict.outcome)
        answer = responses.from_result(
            told, contact_type, contact, configured.profile, resend_after=configured.send_interval
        )
        return middleware.to_flask_response(responses.mark_replayed(answer) if told.replayed else answer)


def _body(limit: int) -> bytes:
    """The whole body of the request. Raises Refusal; before anything is read if the body is announced as too large."""
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise RequestRejected(outcomes.BODY_TOO_LARGE, f"Send at most {limit} bytes.") from None
    except (ClientDisconnected, OSError):
        raise RequestRejected(outcomes.BODY_INCOMPLETE) from None
    except Exception as error:  # noqa: BLE001  the server's own classes for a chunk that is not HTTP's
        # gunicorn reports the end of the connection inside a chunk's terminator as a wrong terminator.
        broken_off = getattr(error, "term", None) in (b"", b"\r")
        outcome = outcomes.BODY_INCOMPLETE if broken_off else outcomes.BODY_MALFORMED
        raise RequestRejected(outcome) from None
    # Werkzeug ends a body in chunks at its limit, and one that breaks off where it breaks off, without a word.
    if len(body) > limit:
        raise RequestRejected(outcomes.BODY_TOO_LARGE, f"Send at most {limit} bytes.")
    if len(body) != (request.content_length or len(body)):
        raise RequestRejected(outcomes.BODY_INCOMPLETE)
    return body
