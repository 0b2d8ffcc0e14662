"""Remove a verified contact from the account's contact list, so that it can be verified again.

This happens with `AFTER_VERIFIED=release`, only for contacts whose verification is in this ledger, under the contact's
lock and after the settlement. The ledger stores a failed release, which is retried before the contact's next call.
"""

from __future__ import annotations

from typing import NamedTuple

from signup_bridge.core.clock import Deadline
from signup_bridge.core.contact import Contact
from signup_bridge.core.outcomes import UPSTREAM_FAILED, VERIFIED, Result
from signup_bridge.ledger import Ledger, LedgerUnavailable
from signup_bridge.ledger.keys import Keys
from signup_bridge.telemetry.logs import log
from signup_bridge.upstream.calls import RateLimitedApi

RELEASE_TIMEOUT = 1.0
"""Maximum seconds for a release after its verification."""

LOCK_TIMEOUT = RELEASE_TIMEOUT + 2.0
"""Seconds after which the contact's lock expires if the bridge dies during the release."""


class ContactRelease(NamedTuple):
    """Removes contacts from the account's contact list."""

    api: RateLimitedApi
    ledger: Ledger

    def retry_pending(self, contact: Contact, keys: Keys, token: str, deadline: Deadline) -> Result | None:
        """Retry a failed release. Return the result if it fails again, else None. Raises LedgerUnavailable."""
        result = self.api.delete(contact, deadline)
        if result.outcome is VERIFIED:
            self.ledger.finish_release(keys, token, removed=True, deadline=deadline)
            return None
        log.warning("contact not removed from the contact list", extra={"fields": _log_fields(result)})
        return result if result.outcome.retryable else result._replace(outcome=UPSTREAM_FAILED)

    def release(self, contact: Contact, keys: Keys, token: str, deadline: Deadline) -> None:
        """Remove a contact that has just been verified from the list, and unlock it."""
        try:
            result = self.api.delete(contact, deadline.within(RELEASE_TIMEOUT))
            removed = result.outcome is VERIFIED
            self.ledger.finish_release(keys, token, removed=removed, deadline=deadline)
        except LedgerUnavailable as error:
            log.warning("contact removal postponed to its next call", extra={"fields": {"reason": str(error)}})
            return
        if not removed:
            log.warning("contact removal postponed to its next call", extra={"fields": _log_fields(result)})


def _log_fields(result: Result) -> dict[str, str]:
    fields = {"api_code": result.api_code, "upstream_error": result.error, "api_request_id": result.api_request_id}
    return {key: value for key, value in fields.items() if value}
