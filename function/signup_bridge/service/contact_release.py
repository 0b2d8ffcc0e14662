"""`AFTER_VERIFIED=release`: take a verified contact off the account's list, so that it can be verified again later.

Only contacts whose verification is in this ledger are released, under the contact's lock and after the settlement. The
ledger stores a failed release, which is retried before the contact's next call.
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
"""Seconds that a release may take after its verification."""

LOCK_TIMEOUT = RELEASE_TIMEOUT + 2.0
"""Seconds for which the contact stays locked meanwhile, in case the bridge dies."""


class ContactRelease(NamedTuple):
    """Takes contacts off the account's list."""

    api: RateLimitedApi
    ledger: Ledger

    def retry_pending(self, contact: Contact, keys: Keys, token: str, deadline: Deadline) -> Result | None:
        """Retry a failed release; return the result if it fails again. Raises LedgerUnavailable."""
        result = self.api.delete(contact, deadline)
        if result.outcome is VERIFIED:
            self.ledger.finish_release(keys, token, removed=True, deadline=deadline)
            return None
        log.warning("the contact could not be taken off the account's list", extra={"fields": _log_fields(result)})
        return result if result.outcome.retryable else result._replace(outcome=UPSTREAM_FAILED)

    def release(self, contact: Contact, keys: Keys, token: str, deadline: Deadline) -> None:
        """Take a contact that has just been verified off the list, and unlock it."""
        try:
            result = self.api.delete(contact, deadline.within(RELEASE_TIMEOUT))
            removed = result.outcome is VERIFIED
            self.ledger.finish_release(keys, token, removed=removed, deadline=deadline)
        except LedgerUnavailable as error:
            log.warning("the removal of a contact is left for its next call", extra={"fields": {"reason": str(error)}})
            return
        if not removed:
            log.warning("the removal of a contact is left for its next call", extra={"fields": _log_fields(result)})


def _log_fields(result: Result) -> dict[str, str]:
    fields = {"api_code": result.api_code, "upstream_error": result.error, "api_request_id": result.api_request_id}
    return {key: value for key, value in fields.items() if value}
