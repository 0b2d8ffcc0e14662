"""Make API calls in their rate limit slots, and retry calls that were certainly not processed.

This module never repeats a call that the API may have processed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from copy import copy
from typing import NamedTuple

from signup_bridge.core.actions import CREATE, DELETE, DESCRIBE, SEND
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery
from signup_bridge.core.outcomes import (
    BRIDGE_MISCONFIGURED,
    IN_PROGRESS,
    UPSTREAM_THROTTLED,
    UPSTREAM_UNREACHABLE,
    VERIFIED,
    Result,
)
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.observer import Observer
from signup_bridge.upstream.error_codes import remedy_for

from . import reply
from .circuit_breaker import CircuitBreaker
from .client import DomainApi
from .credentials import Credentials, CredentialsProvider
from .latency import RecentLatency
from .reply import CallResult, ContactListPage

CALL_TIME_RESERVE = 2.0
"""Seconds reserved for the call itself when a slot is reserved; at most a quarter of the remaining time."""

MIN_CALL_TIME = 1.0
"""Seconds that must be left for a call to start, because a call that is cut off has an unknown outcome. The 95th
percentile of recent calls raises it, up to half of the request's budget."""

SLOT_TOLERANCE = 0.015
"""Seconds after its slot within which a call that had to wait may still start. Twenty slots a second leave a reserve of
42 ms."""

MAX_RESERVATIONS = 3
"""Slots that a call may miss before it starts outside its slot."""

PAGE_SIZE = 200
"""Rows of a page of the account's contact list, the API's maximum."""

CONNECT_RETRY_DELAYS = (0.1, 0.4)
"""Seconds to wait before each retry of a call that was never sent."""


class SlotReservation(NamedTuple):
    """A reserved slot: ``wait`` seconds after ``since`` started."""

    wait: float
    since: Stopwatch

    @staticmethod
    def from_ledger(wait: float, requested: Stopwatch, clock: Clock) -> SlotReservation:
        """Return a slot that the ledger has just reserved, assuming halfway between the request and now."""
        return SlotReservation(max(0.0, wait - requested.seconds() / 2), Stopwatch(clock))


class CallAttempt(NamedTuple):
    """The last result of one or more attempts, and when its call started and finished.

    ``started`` is None if the API cannot have processed the call.
    """

    result: Result
    started: Stopwatch | None = None
    finished: Stopwatch | None = None


class RateLimitedApi:
    """The API's actions, each with its own rate limit. Every API call calls ``credentials``."""

    def __init__(
        self, api: DomainApi, credentials: CredentialsProvider, ledger: Ledger, clock: Clock, observer: Observer
    ) -> None:
        self._api = api
        self.credentials = credentials
        self._ledger = ledger
        self._breakers = {action: CircuitBreaker(clock) for action in (CREATE, SEND)}
        self._latencies = {action: RecentLatency(clock) for action in (CREATE, SEND, DESCRIBE, DELETE)}
        self._clock = clock
        self._observer = observer

    def with_credentials(self, credentials: Credentials) -> RateLimitedApi:
        """Return an object with the same state whose calls are signed with these credentials."""
        bound = copy(self)
        bound.credentials = lambda: credentials
        return bound

    def create(self, delivery: Delivery, slot: SlotReservation, deadline: Deadline) -> CallAttempt:
        """Verify the code of a delivery.

        Source: Tencent Cloud API 3.0: ``Type`` is an int, ``Code`` (the contact) and ``VerifyCode`` are strings.
        """
        params = _contact_params(delivery.contact) | {"VerifyCode": delivery.verify_code}
        return self._call_in_slot(CREATE, params, slot, deadline)

    def send(self, contact: Contact, slot: SlotReservation, deadline: Deadline) -> CallAttempt:
        """Send a code to a contact. Each message costs money."""
        return self._call_in_slot(SEND, _contact_params(contact), slot, deadline)

    def max_slot_wait(self, action: str, deadline: Deadline) -> float:
        """Return the seconds that a call may wait for its slot; negative if it is too late for a call."""
        left = deadline.remaining()
        return left - max(min(CALL_TIME_RESERVE, left / 4), self._min_call_time(action, deadline))

    def _min_call_time(self, action: str, deadline: Deadline) -> float:
        return min(max(MIN_CALL_TIME, self._latencies[action].p95()), deadline.total / 2)

    def _is_late(self, action: str, deadline: Deadline) -> bool:
        """Return whether a call that starts now would probably not finish in time."""
        left = deadline.remaining()
        return not left or left < self._min_call_time(action, deadline)

    def _call_in_slot(
        self, action: str, params: Mapping[str, object], slot: SlotReservation, deadline: Deadline
    ) -> CallAttempt:
        """Make the action's call in its slot; retry only if it was certainly not processed."""
        breaker = self._breakers[action]
        waited = Stopwatch(self._clock)
        delays = iter(CONNECT_RETRY_DELAYS)
        result = Result(IN_PROGRESS)
        while True:
            self._wait_until(slot, action, deadline)
            before = waited.seconds()
            if self._is_late(action, deadline):  # after the wait for its slot, or after a freeze
                return CallAttempt(result.with_queue_time(before))
            if paused := breaker.open_for():
                result = Result(UPSTREAM_UNREACHABLE, error="circuit open", retry_after=paused)
                return CallAttempt(result.with_queue_time(before))
            started, replied = Stopwatch(self._clock), False
            try:
                call = self._api.call(action, params, self.credentials(), deadline)
                replied = call.result not in ("never-sent", "no-reply")
            finally:
                breaker.record(replied=replied)
            finished = Stopwatch(self._clock)
            result = self._classify(action, call).with_queue_time(before)
            if result.outcome not in (UPSTREAM_UNREACHABLE, UPSTREAM_THROTTLED):
                return CallAttempt(result, None if result.outcome.stored == "no" else started, finished)
            retry = self._retry(action, result, delays, deadline)
            if not isinstance(retry, SlotReservation):
                return CallAttempt(result._replace(retry_after=retry))
            slot = retry

    def _retry(
        self, action: str, result: Result, delays: Iterator[float], deadline: Deadline
    ) -> SlotReservation | float | None:
        """Return the slot of the retry; without a retry, the seconds after which one is possible."""
        try:
            self._throttle(action, result, deadline)
            if self._is_late(action, deadline):
                return None
            if not _is_rate_limit(result):
                delay = next(delays, None) if result.outcome is UPSTREAM_UNREACHABLE else None
                if delay is None or self._is_late(action, deadline.earlier(delay)):
                    return None
                self._clock.sleep(delay)
            slot = self.reserve_slot(action, deadline)
        except LedgerUnavailable:
            return None
        return slot.retry_after if isinstance(slot, Result) else slot

    def reserve_slot(self, action: str, deadline: Deadline) -> SlotReservation | Result:
        """Reserve the action's next slot, or return a result if that slot is too late. Raises LedgerUnavailable."""
        requested = Stopwatch(self._clock)
        slot = self._ledger.reserve_slot(action, max_wait=self.max_slot_wait(action, deadline), deadline=deadline)
        if slot.fits:
            return SlotReservation.from_ledger(slot.wait, requested, self._clock)
        outcome = IN_PROGRESS if self._is_late(action, deadline) else UPSTREAM_THROTTLED
        return Result(outcome, retry_after=slot.wait)

    def _wait_until(self, slot: SlotReservation, action: str, deadline: Deadline) -> None:
        """Wait for the slot. A late call reserves another one, so that it does not cluster with punctual calls."""
        for _ in range(MAX_RESERVATIONS):
            if not slot.wait:
                return
            self._clock.sleep(max(0.0, slot.wait - slot.since.seconds()))
            if slot.since.seconds() - slot.wait < SLOT_TOLERANCE:
                return
            with suppress(LedgerUnavailable):
                other = self.reserve_slot(action, deadline)
                if isinstance(other, SlotReservation):
                    slot = other
                    continue
            return

    def list_page(self, contact_type: ContactType, offset: int, deadline: Deadline) -> ContactListPage | None:
        """Return a page of the account's contact list, or None if it is not available. Raises LedgerUnavailable."""
        params = {"Type": contact_type.value, "Limit": PAGE_SIZE, "Offset": offset}
        result, call = self._call_once(DESCRIBE, params, deadline)
        if result.outcome is BRIDGE_MISCONFIGURED:
            remedy = f"{remedy_for(result.api_code, DESCRIBE)}, or set RESOLVE_UNKNOWN=never"
            fields = {"api_code": result.api_code, "remedy": remedy}
            log.error("contact list not accessible, unknown outcomes not reconciled", extra={"fields": fields})
        return reply.parse_contact_list(call) if call else None

    def delete(self, contact: Contact, deadline: Deadline) -> Result:
        """Remove a contact from the account's contact list. Raises LedgerUnavailable.

        The outcome ``verified`` means that the contact is not on the list.
        """
        return self._call_once(DELETE, _contact_params(contact), deadline)[0]

    def _call_once(
        self, action: str, params: Mapping[str, object], deadline: Deadline
    ) -> tuple[Result, CallResult | None]:
        """Reserve a slot and make one call in it, or return no call if it is too late. Raises LedgerUnavailable."""
        slot = self.reserve_slot(action, deadline)
        if isinstance(slot, Result):
            return slot, None
        self._wait_until(slot, action, deadline)
        if self._is_late(action, deadline):
            return Result(IN_PROGRESS), None
        call = self._api.call(action, params, self.credentials(), deadline)
        result = self._classify(action, call)
        self._throttle(action, result, deadline)
        return result, call

    def _classify(self, action: str, call: CallResult) -> Result:
        """Return the result of a call that has just finished, and record its latency if it was sent."""
        if call.result not in ("never-sent", "no-credentials"):
            self._latencies[action].add(call.seconds)
        result = reply.classify(call, action)
        if action == DELETE and result.api_code == "ResourceNotFound":
            result = result._replace(outcome=VERIFIED)
        self._observer.on_api_call(action, result)
        return result

    def _throttle(self, action: str, result: Result, deadline: Deadline) -> None:
        if _is_rate_limit(result):
            self._ledger.throttle(action, deadline=deadline)


def _contact_params(contact: Contact) -> dict[str, object]:
    """Return the parameters of a contact, unchanged, because the API does not document which formats it accepts."""
    return {"Type": contact.type.value, "Code": contact.value}


def _is_rate_limit(result: Result) -> bool:
    """Return whether the API rejected the call because of its rate limit, which other users of the account share."""
    return (result.api_code or "").startswith("RequestLimitExceeded")
