"""Reconcile the outcome of calls whose reply was lost.

"Verified" requires proof: a row of the account's contact list that only this delivery can have created, or a second
call in which the API accepts the code. Without proof, the delivery is not verified.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Literal, NamedTuple

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
from signup_bridge.upstream.calls import PAGE_SIZE, CallAttempt, RateLimitedApi, SlotReservation

CLOCK_SKEW = 2.0
"""Seconds by which a row may seem older than its call: ``CreatedOn`` has whole seconds, and two synchronized clocks
differ by less than one. With a larger value, a verification three seconds before the call would seem to be its own."""

PROCESSING_DELAY = 5.0
"""Seconds after the bridge gave up in which the API may still have processed the call."""

COMPETING_WINDOW = 15.0
"""Seconds around a call in which a call with another code makes it uncertain which of them verified the contact."""

MAX_AGE = 3600.0
"""Seconds after which the list proves nothing. A wrong time zone would shift the times by hours."""

MAX_CALLS = 2
"""Maximum number of calls for one delivery."""

LIST_ZONE = timezone(timedelta(hours=8))
"""The time zone of ``CreatedOn``, which the API does not specify."""


class Reconciler(NamedTuple):
    """Reconciles unknown outcomes.

    ``describe``: read the account's contact list. ``reveal``: senders may learn that a contact was verified before;
    otherwise, the steps are the same for verified and unverified contacts.
    """

    api: RateLimitedApi
    ledger: Ledger
    clock: Clock
    describe: bool
    reveal: bool

    def reconcile(
        self, delivery: Delivery, keys: Keys, token: str, unknown: UnknownOutcome, deadline: Deadline
    ) -> CallAttempt:
        """Return the delivery's outcome, which remains unknown without proof. Raises LedgerUnavailable."""
        seen = self._check_list(delivery.contact, unknown, deadline)
        if seen == "matched":
            return CallAttempt(Result(VERIFIED, resolved=True))
        if seen == "before" and self.reveal:
            return CallAttempt(Result(ALREADY_VERIFIED))
        if seen == "unclear" and self.reveal:
            return CallAttempt(Result(OUTCOME_UNRESOLVED))
        if seen == "failed":
            return CallAttempt(Result(OUTCOME_UNRESOLVED if _is_expired(unknown) else OUTCOME_UNKNOWN))
        if len(unknown.calls) >= MAX_CALLS:
            return CallAttempt(Result(OUTCOME_UNRESOLVED))
        return self._call_again(delivery, keys, token, unknown, deadline)

    def _call_again(
        self, delivery: Delivery, keys: Keys, token: str, unknown: UnknownOutcome, deadline: Deadline
    ) -> CallAttempt:
        """Make a second call. Only a success is proof, because the first call may have used the code."""
        requested = Stopwatch(self.clock)
        max_wait = self.api.max_slot_wait(CREATE, deadline)
        slot = self.ledger.begin_retry(keys, token, max_wait=max_wait, deadline=deadline)
        if slot is None or not slot.fits:
            return CallAttempt(Result(OUTCOME_UNKNOWN))
        reservation = SlotReservation.from_ledger(slot.wait, requested, self.clock)
        attempt = self.api.create(delivery, reservation, deadline)
        outcome = attempt.result.outcome
        if outcome is VERIFIED:
            return attempt._replace(result=attempt.result._replace(resolved=True))
        if outcome not in (CODE_INCORRECT, ALREADY_VERIFIED):
            if attempt.started is None and outcome is not BRIDGE_MISCONFIGURED:  # the first call is still unknown
                return attempt._replace(result=attempt.result._replace(outcome=OUTCOME_UNKNOWN, retry_after=None))
            return attempt
        seen = self._check_list(delivery.contact, unknown, deadline)
        if seen == "matched":
            return attempt._replace(result=Result(VERIFIED, resolved=True))
        outcome = OUTCOME_UNKNOWN if seen == "failed" and not _is_expired(unknown) else OUTCOME_UNRESOLVED
        return attempt._replace(result=attempt.result._replace(outcome=outcome))

    def _check_list(  # noqa: PLR0911  one for each state of the list
        self, contact: Contact, unknown: UnknownOutcome, deadline: Deadline
    ) -> Literal["matched", "before", "unclear", "absent", "failed"]:
        """Compare the account's contact list with the calls that the API may have processed."""
        if not self.describe:
            return "absent"
        try:
            created = self._created_times(contact, deadline)
        except LedgerUnavailable:  # no slot was available
            return "failed"
        if created is None:
            return "failed"
        if not created:
            return "absent"
        times = [_time(text) for text in created]
        if all(time is not None and is_own_call(time, unknown) for time in times):
            return "matched"
        first = min((call.sent_at for call in unknown.calls), default=unknown.now)
        if all(time is not None and time < first - CLOCK_SKEW for time in times):
            return "before"
        return "unclear"

    def _created_times(self, contact: Contact, deadline: Deadline) -> list[str] | None:
        """Return ``CreatedOn`` of the rows with exactly this contact; None if the list is not available.

        The API's documentation does not specify the order of the rows, or whether ``Offset`` counts rows or pages.
        Therefore, this method reads the first page, and the last page in both interpretations.
        """
        offsets = [0]
        for offset in offsets:
            page = self.api.list_page(contact.type, offset, deadline)
            if page is None:
                return None
            times = [created for code, created in page.rows if code == contact.value]
            if times:
                return times
            if offset == 0 and page.total > len(page.rows):
                size = len(page.rows) or PAGE_SIZE
                pages = -(-page.total // size)
                offsets += sorted({last for last in (page.total - size, pages - 1, pages) if last > 0})
        return []


def is_own_call(created: float, unknown: UnknownOutcome) -> bool:
    """Return whether only the delivery's own call can have created a row at ``created``.

    Return False if the contact has more calls than the ledger reads.
    """
    return not unknown.has_more_calls and any(
        call.sent_at - CLOCK_SKEW <= created <= call.gave_up_at + PROCESSING_DELAY
        and unknown.now - call.sent_at < MAX_AGE
        and not any(_is_near(other, call) for other in unknown.competing_calls)
        for call in unknown.calls
    )


def _is_expired(unknown: UnknownOutcome) -> bool:
    """Return whether the calls are too old for the list to prove anything."""
    return bool(unknown.calls) and all(unknown.now - call.sent_at >= MAX_AGE for call in unknown.calls)


def _is_near(other: CallWindow, call: CallWindow) -> bool:
    return other.sent_at <= call.gave_up_at + COMPETING_WINDOW and other.gave_up_at >= call.sent_at - COMPETING_WINDOW


def _time(created: str) -> float | None:
    """Return the Unix time of ``YYYY-MM-DD HH:MM:SS``; None for another format."""
    try:
        return datetime.strptime(created, "%Y-%m-%d %H:%M:%S").replace(tzinfo=LIST_ZONE).timestamp()
    except ValueError:
        return None
