"""`AFTER_VERIFIED=release`: a verified contact is taken off the account's list and can be verified again some day.

Only what this ledger saw verified is removed, under the contact's lock and after its outcome is recorded. A removal
that failed is remembered there, and done before the contact's next call.
"""

from __future__ import annotations

from signup_bridge.core.clock import Deadline
from signup_bridge.core.contact import Contact
from signup_bridge.core.outcomes import UPSTREAM_FAILED, VERIFIED, Result
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.ledger.keys import Keys
from signup_bridge.telemetry.logs import log
from signup_bridge.upstream.calls import RateLimitedApi

RELEASE_TIMEOUT = 1.0
"""Seconds that a removal may take after the verification it follows."""

LOCK_TIMEOUT = RELEASE_TIMEOUT + 2.0
"""Seconds for which the contact stays locked meanwhile, should the bridge die of it."""


class ContactRelease:
    """Takes contacts off the account's list."""

    def __init__(self, caller: RateLimitedApi, ledger: Ledger) -> None:
        self._caller = caller
        self._ledger = ledger

    def retry_pending(self, contact: Contact, keys: Keys, token: str, deadline: Deadline) -> Result | None:
        """Do what failed last time; what stands in the way of the contact's next call. Raises LedgerUnavailable."""
        verdict = self._caller.delete(contact, deadline)
        if verdict.outcome is VERIFIED:
            self._ledger.finish_release(keys, token, removed=True, deadline=deadline)
            return None
        log.warning("the contact could not be taken off the account's list", extra={"fields": _log_fields(verdict)})
        return verdict if verdict.outcome.retryable else verdict._replace(outcome=UPSTREAM_FAILED)

    def release(self, contact: Contact, keys: Keys, token: str, deadline: Deadline) -> None:
        """Take a contact off the list that has just been verified, and unlock it."""
        try:
            verdict = self._caller.delete(contact, deadline.within(RELEASE_TIMEOUT))
            removed = verdict.outcome is VERIFIED
            self._ledger.finish_release(keys, token, removed=removed, deadline=deadline)
        except LedgerUnavailable as error:
            log.warning("the removal of a contact is left for its next call", extra={"fields": {"reason": str(error)}})
            return
        if not removed:
            log.warning("the removal of a contact is left for its next call", extra={"fields": _log_fields(verdict)})


def _log_fields(verdict: Result) -> dict[str, str]:
    told = {"api_code": verdict.api_code, "upstream_error": verdict.error, "api_request_id": verdict.request_id}
    return {key: value for key, value in told.items() if value}
