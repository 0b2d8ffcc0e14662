"""Calls that leave in their slot of the pace, and go again when they were certainly not processed.

In come a delivery and the wait for its slot; out comes a `Made`: what the last call meant, and when it was. It must
never repeat a call that may have been processed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from . import judge
from .clock import Clock, Deadline, Stopwatch
from .domain_api import CREATE, DELETE, DESCRIBE, DomainApi
from .judge import Page, Verdict
from .ledger import Ledger, LedgerUnavailable, Slot
from .outcomes import BRIDGE_MISCONFIGURED, UPSTREAM_THROTTLED, UPSTREAM_UNREACHABLE, VERIFIED
from .pacing import Pause
from .payload import Contact, ContactType, Delivery

CALL_TIME = 2.0
"""Seconds that are kept for the call itself, a quarter of what is left at most, when a slot is looked for."""

LEAST_TIME = 0.1
"""Seconds without which a call does not go again."""

UNREACHABLE_DELAYS = (0.1, 0.4)
"""Seconds to wait before a call that was never sent goes again."""


def room(deadline: Deadline) -> float:
    """The seconds that a call may wait for its slot."""
    left = deadline.remaining()
    return left - min(CALL_TIME, left / 4)


@dataclass(frozen=True)
class Made:
    """What came of trying to call: the verdict, and when the call that it is about began and ended.

    ``began`` and ``ended`` are None when no call may have been processed.
    """

    verdict: Verdict
    began: Stopwatch | None = None
    ended: Stopwatch | None = None


class Caller:
    """The API's actions, each at its own pace."""

    def __init__(self, api: DomainApi, ledger: Ledger, pause: Pause, clock: Clock) -> None:
        self._api = api
        self._ledger = ledger
        self._pause = pause
        self._clock = clock

    def create(self, delivery: Delivery, wait: float, deadline: Deadline) -> Made:
        """Call ``CreateIntlPhoneEmail`` after ``wait`` seconds, and again only if it was certainly not processed."""
        waited = Stopwatch(self._clock)
        delays = iter(UNREACHABLE_DELAYS)
        verdict = Verdict(UPSTREAM_THROTTLED)
        while True:
            self._clock.sleep(wait)
            before = waited.seconds()
            if not deadline.remaining():  # the thread may have been frozen
                return Made(replace(verdict, wait=before))
            if paused := self._pause.left():
                return Made(Verdict(UPSTREAM_UNREACHABLE, error="calls are paused", wait=before, retry_after=paused))
            began = Stopwatch(self._clock)
            call = self._api.create_intl_phone_email(delivery.contact, delivery.verify_code, deadline)
            ended = Stopwatch(self._clock)
            if call.result in ("never-sent", "no-answer"):
                self._pause.failed()
            else:
                self._pause.answered()
            verdict = replace(judge.judge(call), wait=before)
            if verdict.outcome not in (UPSTREAM_UNREACHABLE, UPSTREAM_THROTTLED):
                return Made(verdict, None if verdict.outcome is BRIDGE_MISCONFIGURED else began, ended)
            slot = self._again(verdict, next(delays, None), deadline)
            if slot is None or not slot.fits:
                return Made(replace(verdict, retry_after=slot.wait if slot else None))
            wait = slot.wait

    def _again(self, verdict: Verdict, delay: float | None, deadline: Deadline) -> Slot | None:
        """A slot for a call that was not processed; None when it does not go again."""
        if deadline.remaining() < (delay or 0.0) + LEAST_TIME:
            return None
        if verdict.outcome is UPSTREAM_UNREACHABLE:
            if delay is None:
                return None
            self._clock.sleep(delay)
        elif not _is_rate_limit(verdict):
            return None
        try:
            if verdict.outcome is UPSTREAM_THROTTLED:
                self._ledger.slow_down(CREATE, deadline=deadline)
            return self._ledger.reserve(CREATE, max_wait=room(deadline), deadline=deadline)
        except LedgerUnavailable:
            return None

    def page(self, contact_type: ContactType, offset: int, deadline: Deadline) -> Page | None:
        """A page of the account's list, None when it could not be had. Raises LedgerUnavailable."""
        if not self._wait(DESCRIBE, deadline):
            return None
        call = self._api.describe_intl_phone_email_list(contact_type, offset, deadline)
        self._slow_down(DESCRIBE, judge.judge(call), deadline)
        return judge.page(call)

    def delete(self, contact: Contact, deadline: Deadline) -> Verdict:
        """Take a contact off the account's list; ``verified`` says that it is off it. Raises LedgerUnavailable."""
        if not self._wait(DELETE, deadline):
            return Verdict(UPSTREAM_THROTTLED)
        verdict = judge.judge(self._api.delete_intl_phone_email(contact, deadline))
        self._slow_down(DELETE, verdict, deadline)
        return replace(verdict, outcome=VERIFIED) if verdict.api_code == "ResourceNotFound" else verdict

    def _wait(self, action: str, deadline: Deadline) -> bool:
        """Wait for the action's slot; False when it does not come in time."""
        slot = self._ledger.reserve(action, max_wait=room(deadline), deadline=deadline)
        if slot.fits:
            self._clock.sleep(slot.wait)
        return slot.fits

    def _slow_down(self, action: str, verdict: Verdict, deadline: Deadline) -> None:
        if _is_rate_limit(verdict):
            self._ledger.slow_down(action, deadline=deadline)


def _is_rate_limit(verdict: Verdict) -> bool:
    """Whether the API refused the call for its requests a second, which other users of the account share."""
    return (verdict.api_code or "").startswith("RequestLimitExceeded")
