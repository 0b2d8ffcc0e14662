"""Call the service for an event, with the same log line, metrics and response as for a web request."""

from __future__ import annotations

from typing import Literal, NamedTuple

from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import INTERNAL_ERROR, Outcome, RequestRejected
from signup_bridge.service.signup_service import Request, SignupService
from signup_bridge.telemetry import logs
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.observer import Observer
from signup_bridge.web import delivery_log
from signup_bridge.web.responses import HttpResponse, Responder, from_rejection


class EventResult(NamedTuple):
    """The result of one event or record: its outcome, the ``public_outcome`` that callers may see, and a response."""

    outcome: Outcome
    public_outcome: Outcome
    response: HttpResponse


class ServiceCaller(NamedTuple):
    """Calls the service for sources that the platform authorizes. ``budget``: seconds for one delivery."""

    service: SignupService
    responder: Responder
    observer: Observer
    clock: Clock
    budget: float

    def call(
        self,
        body: bytes,
        source: Literal["invocation", "message", "bus"],
        time_left: float,
        key: IdempotencyKey | None = None,
    ) -> EventResult:
        """Handle one delivery within the budget and within ``time_left`` seconds. Raises nothing."""
        elapsed = Stopwatch(self.clock)
        request = Request(body, Deadline(self.clock, min(self.budget, time_left)), source, key=key)
        try:
            delivery = self.service.handle(request)
        except RequestRejected as rejection:
            return self.reject(rejection, elapsed)
        except Exception as error:  # noqa: BLE001  as for a web request; one record must not stop the batch
            log.error("internal error", exc_info=error)
            return self.reject(RequestRejected(INTERNAL_ERROR), elapsed)
        response = self.responder.from_result(delivery, logs.current_request_id())
        delivery_log.write(delivery_log.from_result(delivery), self.observer, response.status, elapsed)
        return EventResult(delivery.result.outcome, delivery.public_result.outcome, response)

    def reject(self, rejection: RequestRejected, elapsed: Stopwatch | None = None) -> EventResult:
        """Reject an event, before or after the service handled it."""
        response = from_rejection(rejection, self.responder.profile, logs.current_request_id())
        entry = delivery_log.from_rejection(rejection)
        delivery_log.write(entry, self.observer, response.status, elapsed or Stopwatch(self.clock))
        return EventResult(rejection.outcome, rejection.outcome, response)
