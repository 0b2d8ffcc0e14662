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
from signup_bridge.core.outcomes import EncodingUnsupported, Refusal
from signup_bridge.inbound import body as payload
from signup_bridge.inbound import cloudevents, idempotency_key, signatures
from signup_bridge.inbound.body import Contact, ContactType, Delivery, DeliveryKey, SendRequest
from signup_bridge.inbound.cloudevents import Reading
from signup_bridge.service.code_sending import Sending
from signup_bridge.service.verification import Verification
from signup_bridge.settings import Settings
from signup_bridge.upstream import credentials
from signup_bridge.upstream.reply import Verdict

from . import middleware, responses
from .wsgi_environ import AGE, BUDGET, DELIVERY_KEY, ORIGIN

IN_LINE = 0.75
"""The part of its budget that a request may spend in the server's line."""

ASKING, ASKING_TIME = 2, 1.0
"""How many may ask the ledger at once without a delivery, and the seconds that its answer may take: whatever it does,
there are threads left for /health."""


class Webhooks:
    """What is behind the routes that senders ask."""

    def __init__(self, configured: Settings, verification: Verification, sending: Sending, clock: Clock) -> None:
        self._configured = configured
        self._verification = verification
        self._sending = sending
        self._clock = clock
        self._verify_signature = signatures.verifier(configured, clock)
        self._few = threading.Semaphore(ASKING)

    def signup(self) -> Response:
        deadline = self._deadline()
        body, key, reading = self._incoming()
        if self._configured.send_codes and reading.action and payload.asks_to_send(body):
            return self._send(payload.parse_send(body, key, reading), deadline)
        delivery = payload.parse(body, key, reading)
        with self._credentials_of_request():
            verdict = self._verification.verify(delivery, deadline)
        return self._answer(verdict, delivery, CREATE)

    def code(self) -> Response:
        deadline = self._deadline()
        return self._send(payload.parse_send(*self._incoming()), deadline)

    def delivered(self, delivery_id: str) -> Response:
        deadline = self._deadline().within(ASKING_TIME)
        self._verify_signature(request.headers, b"")
        with self.asking():
            keys = idempotency_key.possible(delivery_id, request.headers, self._configured)
            found = self._verification.look(keys, deadline)
        if found is None:
            raise Refusal(outcomes.NOT_FOUND, "No delivery of this id is remembered.")
        verdict, contact_type = found
        return self._told(verdict, contact_type, None)

    @contextmanager
    def asking(self) -> Iterator[Deadline]:
        """Wait a moment to be one of those who may ask the ledger, until the deadline. Raises Refusal."""
        if not self._few.acquire(timeout=0.2):
            raise Refusal(outcomes.OVERLOADED)
        try:
            yield self._deadline().within(ASKING_TIME)
        finally:
            self._few.release()

    def _deadline(self) -> Deadline:
        """When this request must be answered: the budget began when the server accepted it.

        One that stood in line for most of its budget has none left: what is not begun cannot become an unknown outcome.
        """
        environ = request.environ
        budget = min(self._configured.request_budget, environ.get(BUDGET, self._configured.request_budget))
        age = environ.get(AGE, 0.0)
        return Deadline(self._clock, budget - age if age < budget * IN_LINE else 0.0, total=budget)

    def _incoming(self) -> tuple[bytes, DeliveryKey | None, Reading]:
        """A body whose sender is known, the key that its delivery is known by, and how it is to be read."""
        body, environ, headers = _body(self._configured.body_limit), request.environ, request.headers
        origin = environ.get(ORIGIN, "request")
        key = environ.get(DELIVERY_KEY)
        if origin == "request":
            signed_id = self._verify_signature(headers, body)
            key = idempotency_key.of_request(headers, signed_id, self._configured)
        content_type = headers.get("Content-Type")
        payload.check_media_type(content_type)
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise EncodingUnsupported
        reading = cloudevents.reading(
            origin,
            self._configured.mapping,
            content_type=content_type,
            binary="ce-id" in headers,
            trusted=origin == "message" or (key is None and idempotency_key.are_trusted(self._configured)),
        )
        return body, key, reading

    def _send(self, wanted: SendRequest, deadline: Deadline) -> Response:
        with self._credentials_of_request():
            verdict = self._sending.send(wanted, deadline)
        return self._answer(verdict, wanted, SEND)

    def _credentials_of_request(self) -> AbstractContextManager[None]:
        """While a request is answered whose signature has passed: its headers may say whose account is used."""
        wanted = self._configured.role_credentials_from_headers
        return credentials.of_headers(request.headers) if wanted else nullcontext()

    def _answer(self, verdict: Verdict, delivery: Delivery | SendRequest, wanted: str) -> Response:
        contact = delivery.contact
        fields = {"action": "send"} if wanted == SEND else {}
        middleware.note(verdict, wanted, **fields, type=contact.type.word, contact=contact.masked)
        return self._told(verdict, contact.type, contact)

    def _told(self, verdict: Verdict, contact_type: ContactType | None, contact: Contact | None) -> Response:
        """The answer to a delivery, or to the question about it."""
        told, configured = verdict, self._configured
        if not configured.reveal_already_verified:
            told = responses.hidden(verdict)
            middleware.leave_times_out()
        middleware.hear(told.outcome, verdict.outcome)
        answer = responses.of_verdict(
            told, contact_type, contact, configured.profile, resend_after=configured.send_interval
        )
        return middleware.response_of(responses.replayed(answer) if told.replayed else answer)


def _body(limit: int) -> bytes:
    """The whole body of the request. Raises Refusal; before anything is read if the body is announced as too large."""
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise Refusal(outcomes.BODY_TOO_LARGE, f"Send at most {limit} bytes.") from None
    except (ClientDisconnected, OSError):
        raise Refusal(outcomes.BODY_INCOMPLETE) from None
    except Exception as error:  # noqa: BLE001  the server's own classes for a chunk that is not HTTP's
        # gunicorn reports the end of the connection inside a chunk's terminator as a wrong terminator.
        broken_off = getattr(error, "term", None) in (b"", b"\r")
        outcome = outcomes.BODY_INCOMPLETE if broken_off else outcomes.BODY_MALFORMED
        raise Refusal(outcome) from None
    # Werkzeug ends a body in chunks at its limit, and one that breaks off where it breaks off, without a word.
    if len(body) > limit:
        raise Refusal(outcomes.BODY_TOO_LARGE, f"Send at most {limit} bytes.")
    if len(body) != (request.content_length or len(body)):
        raise Refusal(outcomes.BODY_INCOMPLETE)
    return body
