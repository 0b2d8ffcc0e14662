"""What became of a call whose answer was lost: a verification is found out, and never guessed.

In comes a delivery with the calls that may have been processed, out comes a `Made`. "Verified" needs the account's
list to say so beyond doubt, or the API to accept the code in one more call; a stranger must never get in by a doubt.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal

from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Clock, Deadline, Stopwatch
from signup_bridge.core.contact import Contact
from signup_bridge.core.delivery import Delivery
from signup_bridge.core.outcomes import (
    ALREADY_VERIFIED,
    BRIDGE_MISCONFIGURED,
    CODE_INCORRECT,
    OUTCOME_UNKNOWN,
    OUTCOME_UNRESOLVED,
    VERIFIED,
    Result,
)
from signup_bridge.ledger import CallWindow, Ledger, LedgerUnavailable, UnknownOutcome
from signup_bridge.ledger.keys import Keys
from signup_bridge.upstream.calls import CallAttempt, RateLimitedApi, SlotReservation
from signup_bridge.upstream.client import PAGE_SIZE

CLOCK_SKEW = 2.0
"""Seconds by which a row may seem older than the call that made it: ``CreatedOn`` has whole seconds, and two clocks in
step differ by less than one. Not more: who was verified three seconds before the call was not verified by it."""

PROCESSING_DELAY = 5.0
"""Seconds after the bridge gave up in which the API may still have processed the call."""

COMPETING_WINDOW = 15.0
"""Seconds around a call in which another code's call for the contact makes it uncertain whose the verification is."""

MAX_AGE = 3600.0
"""Seconds after which the list proves nothing any more. A time zone that is read wrongly is off by hours."""

MAX_CALLS = 2
"""Calls for one delivery, all told."""

LIST_ZONE = timezone(timedelta(hours=8))
"""The zone of ``CreatedOn``, which the API does not state."""


class Reconciler:
    """Finds out unknown outcomes. ``describe``: the account's list is asked. ``reveal``: it may be told that a contact
    was verified before; else the way is the same for those that were and those that were not.
    """

    def __init__(self, caller: RateLimitedApi, ledger: Ledger, clock: Clock, *, describe: bool, reveal: bool) -> None:
        self._clock = clock
        self._caller = caller
        self._ledger = ledger
        self._describe = describe
        self._reveal = reveal

    def reconcile(
        self, delivery: Delivery, keys: Keys, token: str, unknown: UnknownOutcome, deadline: Deadline
    ) -> CallAttempt:
        """The delivery's outcome; still unknown when the API does not help. Raises LedgerUnavailable."""
        seen = self._check_list(delivery.contact, unknown, deadline)
        if seen == "ours":
            return CallAttempt(Result(VERIFIED, resolved=True))
        if seen == "before" and self._reveal:
            return CallAttempt(Result(ALREADY_VERIFIED))
        if seen == "unclear" and self._reveal:
            return CallAttempt(Result(OUTCOME_UNRESOLVED))
        if seen == "failed":
            return CallAttempt(Result(OUTCOME_UNRESOLVED if _is_expired(unknown) else OUTCOME_UNKNOWN))
        if len(unknown.calls) >= MAX_CALLS:
            return CallAttempt(Result(OUTCOME_UNRESOLVED))
        return self._call_again(delivery, keys, token, unknown, deadline)

    def _call_again(
        self, delivery: Delivery, keys: Keys, token: str, unknown: UnknownOutcome, deadline: Deadline
    ) -> CallAttempt:
        """One more attempt. Its success is a success; a refusal may be the first call's doing and proves nothing."""
        asked = Stopwatch(self._clock)
        max_wait = self._caller.max_slot_wait(CREATE, deadline)
        slot = self._ledger.begin_retry(keys, token, max_wait=max_wait, deadline=deadline)
        if slot is None or not slot.fits:
            return CallAttempt(Result(OUTCOME_UNKNOWN))
        made = self._caller.create(delivery, SlotReservation.from_ledger(slot.wait, asked, self._clock), deadline)
        outcome = made.result.outcome
        if outcome is VERIFIED:
            return made._replace(result=made.result._replace(resolved=True))
        if outcome not in (CODE_INCORRECT, ALREADY_VERIFIED):
            if made.started is None and outcome is not BRIDGE_MISCONFIGURED:  # this one was not processed; the first?
                return made._replace(result=made.result._replace(outcome=OUTCOME_UNKNOWN, retry_after=None))
            return made
        seen = self._check_list(delivery.contact, unknown, deadline)
        if seen == "ours":
            return made._replace(result=Result(VERIFIED, resolved=True))
        found = OUTCOME_UNKNOWN if seen == "failed" and not _is_expired(unknown) else OUTCOME_UNRESOLVED
        return made._replace(result=made.result._replace(outcome=found))

    def _check_list(  # noqa: PLR0911  one for each thing that the list can say
        self, contact: Contact, unknown: UnknownOutcome, deadline: Deadline
    ) -> Literal["ours", "before", "unclear", "absent", "failed"]:
        """What the account's list says about the contact and the calls that may have been processed."""
        if not self._describe:
            return "absent"
        try:
            created = self._created_times(contact, deadline)
        except LedgerUnavailable:  # no slot could be had
            return "failed"
        if created is None:
            return "failed"
        if not created:
            return "absent"
        times = [_time(text) for text in created]
        if all(time is not None and is_own_call(time, unknown) for time in times):
            return "ours"
        first = min((call.sent_at for call in unknown.calls), default=unknown.now)
        if all(time is not None and time < first - CLOCK_SKEW for time in times):
            return "before"
        return "unclear"

    def _created_times(self, contact: Contact, deadline: Deadline) -> list[str] | None:
        """The ``CreatedOn`` of the rows that are this contact to the letter; None when the list could not be had.

        The order of the rows is not documented, nor whether ``Offset`` counts rows or pages: the first page is asked
        for, and the last one in every reading.
        """
        offsets = [0]
        for offset in offsets:
            page = self._caller.list_page(contact.type, offset, deadline)
            if page is None:
                return None
            found = [created for code, created in page.rows if code == contact.value]
            if found:
                return found
            if offset == 0 and page.total > len(page.rows):
                size = len(page.rows) or PAGE_SIZE
                pages = -(-page.total // size)
                offsets += sorted({last for last in (page.total - size, pages - 1, pages) if last > 0})
        return []


def is_own_call(created: float, unknown: UnknownOutcome) -> bool:
    """Whether a row made at ``created`` can only be the work of the delivery's own call.

    Of a contact with more calls than the ledger reads, none is certain.
    """
    return not unknown.has_more_calls and any(
        call.sent_at - CLOCK_SKEW <= created <= call.gave_up_at + PROCESSING_DELAY
        and unknown.now - call.sent_at < MAX_AGE
        and not any(_is_near(rival, call) for rival in unknown.competing_calls)
        for call in unknown.calls
    )


def _is_expired(unknown: UnknownOutcome) -> bool:
    """Whether no list can say any more that the verification is ours: who waits for one would wait for ever."""
    return bool(unknown.calls) and all(unknown.now - call.sent_at >= MAX_AGE for call in unknown.calls)


def _is_near(rival: CallWindow, call: CallWindow) -> bool:
    return rival.sent_at <= call.gave_up_at + COMPETING_WINDOW and rival.gave_up_at >= call.sent_at - COMPETING_WINDOW


def _time(created: str) -> float | None:
    """Unix seconds of ``YYYY-MM-DD HH:MM:SS``; None for another form."""
    try:
        return datetime.strptime(created, "%Y-%m-%d %H:%M:%S").replace(tzinfo=LIST_ZONE).timestamp()
    except ValueError:
        return None
