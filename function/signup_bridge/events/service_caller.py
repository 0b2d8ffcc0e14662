"""Call the service function for an event, with the log line, the metrics and the response of a web request."""

from __future__ import annotations

from typing import Literal, NamedTuple

from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.delivery import IdempotencyKey
from signup_bridge.core.outcomes import INTERNAL_ERROR, Outcome, RequestRejected
from signup_bridge.service.signup_service import Request, SignupService
from signup_bridge.telemetry.logs import log
from signup_bridge.web import delivery_log
from signup_bridge.web.delivery_log import DeliveryLog
from signup_bridge.web.responses import HttpResponse, Responder


class EventResult(NamedTuple):
    """The end of one event or record: its ``outcome``, the ``public_outcome`` that callers see, and a response."""

    outcome: Outcome
    public_outcome: Outcome
    response: HttpResponse


class ServiceCaller:
    """Calls the service for what the platform has authorized. ``budget``: seconds for one delivery."""

    def __init__(
        self, service: SignupService, responder: Responder, deliveries: DeliveryLog, clock: Clock, *, budget: float
    ) -> None:
        self._service = service
        self._responder = responder
        self._deliveries = deliveries
        self._clock = clock
        self.budget = budget

    def call(
        self,
        body: bytes,
        source: Literal["invocation", "message", "bus"],
        time_left: float,
        key: IdempotencyKey | None = None,
    ) -> EventResult:
        """Handle one delivery within the budget and the ``time_left``, in seconds. Raises nothing."""
        elapsed = Stopwatch(self._clock)
        request = Request(body, Deadline(self._clock, min(self.budget, time_left)), source, key=key)
        try:
            delivery = self._service.handle(request)
        except RequestRejected as rejection:
            return self.reject(rejection, elapsed)
        except Exception as error:  # noqa: BLE001  as in a web request: one record must not stop the batch
            log.error("internal error", exc_info=error)
            return self.reject(RequestRejected(INTERNAL_ERROR), elapsed)
        public = delivery.public_result
        response = self._responder.from_result(public, delivery.contact_type, delivery.contact)
        self._deliveries.write(delivery_log.from_result(delivery), status=response.status, elapsed=elapsed)
        return EventResult(delivery.result.outcome, public.outcome, response)

    def reject(self, rejection: RequestRejected, elapsed: Stopwatch | None = None) -> EventResult:
        """Reject an event before or after the service saw it."""
        response, entry = self._responder.from_rejection(rejection), delivery_log.from_rejection(rejection)
        self._deliveries.write(entry, status=response.status, elapsed=elapsed or Stopwatch(self._clock))
        return EventResult(rejection.outcome, rejection.outcome, response)
