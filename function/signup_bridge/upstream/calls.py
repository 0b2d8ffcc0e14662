"""Calls that leave in their slot of the pace, and go again when they were certainly not processed.

In come a delivery and the wait for its slot; out comes a `Made`: what the last call meant, and when it was. It must
never repeat a call that may have been processed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
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
    Outcome,
    Result,
)
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.telemetry.logs import log
from signup_bridge.telemetry.observer import Observer
from signup_bridge.upstream.error_codes import remedy_for

from . import reply
from .circuit_breaker import CircuitBreaker
from .client import DomainApi
from .latency import RecentLatency
from .reply import CallResult, ContactListPage

CALL_TIME_RESERVE = 2.0
"""Seconds that are kept for the call itself, a quarter of what is left at most, when a slot is looked for."""

MIN_CALL_TIME = 1.0
"""Seconds without which no call starts: one that is cut off ends as an unknown outcome. If the API's recent calls took
longer, their 95th percentile counts, and in any case no more than half of the request's budget."""

SLOT_TOLERANCE = 0.015
"""Seconds after its slot for which a call that had to wait may still leave. Twenty slots leave 42 ms to spare in a
second."""

MAX_RESERVATIONS = 3
"""Slots that a call may be late for before it leaves all the same."""

CONNECT_RETRY_DELAYS = (0.1, 0.4)
"""Seconds to wait before a call that was never sent goes again."""


def min_call_time(deadline: Deadline, latency: float) -> float:
    """The seconds without which no call starts. ``latency``: the 95th percentile of recent calls, in seconds."""
    return min(max(MIN_CALL_TIME, latency), deadline.total / 2)


def max_slot_wait(deadline: Deadline, latency: float = 0.0) -> float:
    """The seconds that a call may wait for its slot; negative if it is too late for a call."""
    left = deadline.remaining()
    return left - max(min(CALL_TIME_RESERVE, left / 4), min_call_time(deadline, latency))


class SlotReservation(NamedTuple):
    """A reserved slot: ``wait`` seconds from the time at which ``since`` began to run."""

    wait: float
    since: Stopwatch

    @staticmethod
    def from_ledger(wait: float, asked: Stopwatch, clock: Clock) -> SlotReservation:
        """The turn that the ledger has just told; it was ``asked`` for a while ago, and reckoned in between."""
        return SlotReservation(max(0.0, wait - asked.seconds() / 2), Stopwatch(clock))


class CallAttempt(NamedTuple):
    """What came of trying to call: the verdict, and when the call that it is about began and ended.

    ``began`` and ``ended`` are None when no call may have been processed.
    """

    result: Result
    started: Stopwatch | None = None
    finished: Stopwatch | None = None


class RateLimitedApi:
    """The API's actions, each at its own pace."""

    def __init__(self, api: DomainApi, ledger: Ledger, clock: Clock, watch: Observer) -> None:
        self._api = api
        self._ledger = ledger
        self._pauses = {action: CircuitBreaker(clock) for action in (CREATE, SEND)}
        self._latencies = {action: RecentLatency(clock) for action in (CREATE, SEND, DESCRIBE, DELETE)}
        self._clock = clock
        self._watch = watch

    def create(self, delivery: Delivery, turn: SlotReservation, deadline: Deadline) -> CallAttempt:
        """Have the code of a delivery verified."""
        contact, verify_code = delivery.contact, delivery.verify_code
        return self._call(
            CREATE, partial(self._api.create_intl_phone_email, contact, verify_code, deadline), turn, deadline
        )

    def send(self, contact: Contact, turn: SlotReservation, deadline: Deadline) -> CallAttempt:
        """Have a code sent to a contact."""
        return self._call(SEND, partial(self._api.send_intl_phone_email_code, contact, deadline), turn, deadline)

    def max_slot_wait(self, action: str, deadline: Deadline) -> float:
        """As the function of this name, for an action with its recent latency."""
        return max_slot_wait(deadline, self._latencies[action].p95())

    def no_slot(self, action: str, deadline: Deadline) -> Outcome:
        """Why no slot was had: the quota, or that too little time is left for a call."""
        return IN_PROGRESS if self._is_late(action, deadline) else UPSTREAM_THROTTLED

    def _is_late(self, action: str, deadline: Deadline) -> bool:
        """Whether a call that starts now would probably not end in time."""
        left = deadline.remaining()
        return not left or left < min_call_time(deadline, self._latencies[action].p95())

    def _call(
        self, action: str, make: Callable[[], CallResult], turn: SlotReservation, deadline: Deadline
    ) -> CallAttempt:
        """Make the action's call at its turn, and again only if it was certainly not processed."""
        pause = self._pauses[action]
        waited = Stopwatch(self._clock)
        delays = iter(CONNECT_RETRY_DELAYS)
        verdict = Result(IN_PROGRESS)
        while True:
            self._wait_until(turn, action, deadline)
            before = waited.seconds()
            if self._is_late(action, deadline):  # it waited for its slot, or the thread was frozen
                return CallAttempt(verdict.with_queue_time(before))
            if paused := pause.open_for():
                return CallAttempt(
                    Result(UPSTREAM_UNREACHABLE, error="calls are paused", retry_after=paused).with_queue_time(before)
                )
            began = Stopwatch(self._clock)
            with pause.call() as watched:
                call = make()
                watched.answered = call.result not in ("never-sent", "no-reply")
            ended = Stopwatch(self._clock)
            verdict = self._classify(action, call).with_queue_time(before)
            if verdict.outcome not in (UPSTREAM_UNREACHABLE, UPSTREAM_THROTTLED):
                return CallAttempt(verdict, None if verdict.outcome.stored == "no" else began, ended)
            again = self._retry(action, verdict, delays, deadline)
            if not isinstance(again, SlotReservation):
                return CallAttempt(verdict._replace(retry_after=again))
            turn = again

    def _retry(
        self, action: str, verdict: Result, delays: Iterator[float], deadline: Deadline
    ) -> SlotReservation | float | None:
        """The turn of a call that was not processed; or it does not go again, but may after so many seconds."""
        try:
            self._throttle(action, verdict, deadline)
            if self._is_late(action, deadline):
                return None
            if not _is_rate_limit(verdict):
                delay = next(delays, None) if verdict.outcome is UPSTREAM_UNREACHABLE else None
                if delay is None or self._is_late(action, deadline.earlier(delay)):
                    return None
                self._clock.sleep(delay)
            return self.reserve_slot(action, deadline)
        except LedgerUnavailable:
            return None

    def reserve_slot(self, action: str, deadline: Deadline) -> SlotReservation | float:
        """The next turn for an action; when it does not come in time, the seconds until it would.

        Raises LedgerUnavailable.
        """
        asked = Stopwatch(self._clock)
        slot = self._ledger.reserve_slot(action, max_wait=self.max_slot_wait(action, deadline), deadline=deadline)
        return SlotReservation.from_ledger(slot.wait, asked, self._clock) if slot.fits else slot.wait

    def _wait_until(self, turn: SlotReservation, action: str, deadline: Deadline) -> None:
        """Wait for the turn. Who is late for it takes another: late and punctual calls together would bunch up."""
        for _ in range(MAX_RESERVATIONS):
            if not turn.wait:
                return
            self._clock.sleep(max(0.0, turn.wait - turn.since.seconds()))
            if turn.since.seconds() - turn.wait < SLOT_TOLERANCE:
                return
            with suppress(LedgerUnavailable):
                other = self.reserve_slot(action, deadline)
                if isinstance(other, SlotReservation):
                    turn = other
                    continue
            return

    def list_page(self, contact_type: ContactType, offset: int, deadline: Deadline) -> ContactListPage | None:
        """A page of the account's list, None when it could not be had. Raises LedgerUnavailable."""
        turn = self.reserve_slot(DESCRIBE, deadline)
        if not isinstance(turn, SlotReservation):
            return None
        self._wait_until(turn, DESCRIBE, deadline)
        if self._is_late(DESCRIBE, deadline):
            return None
        call = self._api.describe_intl_phone_email_list(contact_type, offset, deadline)
        verdict = self._classify(DESCRIBE, call)
        self._throttle(DESCRIBE, verdict, deadline)
        if verdict.outcome is BRIDGE_MISCONFIGURED:
            look_at = f"{remedy_for(verdict.api_code, DESCRIBE)}; or RESOLVE_UNKNOWN=never"
            fields = {"api_code": verdict.api_code, "look_at": look_at}
            log.error("the account's list is refused: no lost answer can be found out", extra={"fields": fields})
        return reply.parse_contact_list(call)

    def delete(self, contact: Contact, deadline: Deadline) -> Result:
        """Take a contact off the account's list; ``verified`` says that it is off it. Raises LedgerUnavailable."""
        turn = self.reserve_slot(DELETE, deadline)
        if not isinstance(turn, SlotReservation):
            return Result(self.no_slot(DELETE, deadline), retry_after=turn)
        self._wait_until(turn, DELETE, deadline)
        if self._is_late(DELETE, deadline):
            return Result(IN_PROGRESS)
        verdict = self._classify(DELETE, self._api.delete_intl_phone_email(contact, deadline))
        self._throttle(DELETE, verdict, deadline)
        return verdict

    def _classify(self, action: str, call: CallResult) -> Result:
        """The verdict of a call that has just ended; its duration counts unless nothing was sent."""
        if call.result not in ("never-sent", "no-credentials"):
            self._latencies[action].add(call.seconds)
        verdict = reply.classify(call, action)
        if action == DELETE and verdict.api_code == "ResourceNotFound":
            verdict = verdict._replace(outcome=VERIFIED)
        self._watch.on_api_call(action, verdict)
        return verdict

    def _throttle(self, action: str, verdict: Result, deadline: Deadline) -> None:
        if _is_rate_limit(verdict):
            self._ledger.throttle(action, deadline=deadline)


def _is_rate_limit(verdict: Result) -> bool:
    """Whether the API refused the call for its requests a second, which other users of the account share."""
    return (verdict.api_code or "").startswith("RequestLimitExceeded")
