"""What must not be lost: which deliveries were processed, their results, who owns them, when a call may leave.

`Ledger` is the protocol, `sqlite` and `redis` implement it, `factory` opens one. Records are found by keyed hashes
(`keys.Keys`), never by a contact or a code. Times are Unix seconds on the ledger's own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from .claims import (
    Acquired,
    CallWindow,
    Claim,
    ContactBusy,
    InFlight,
    KeyMismatch,
    RateLimited,
    Record,
    Replay,
    SendLimited,
    ShortCircuited,
    UnknownOutcome,
    assert_never,
)

if TYPE_CHECKING:
    from signup_bridge.core.clock import Deadline, Stopwatch

    from .keys import Hasher, Keys

__all__ = [
    "CALL_HISTORY",
    "COMPETING_MARGIN",
    "CONTENT_REPLAY",
    "KEY_CHANGED_WARNING",
    "LEASE_LIMIT",
    "MAX_COMPETING_CALLS",
    "SEND_LIMIT_WINDOW",
    "Acquired",
    "CallWindow",
    "Claim",
    "ContactBusy",
    "InFlight",
    "KeyMismatch",
    "Ledger",
    "LedgerUnavailable",
    "Policy",
    "RateLimited",
    "Record",
    "Replay",
    "SendLimit",
    "SendLimited",
    "Settlement",
    "ShortCircuited",
    "Slot",
    "StoredState",
    "UnknownOutcome",
    "assert_never",
]

CONTENT_REPLAY = 120.0
"""Seconds for which a definitive outcome is replayed to a delivery without an id."""

SEND_LIMIT_WINDOW = 3600.0
"""Seconds of the longest window of a send limit."""

LEASE_LIMIT = 1000.0
"""Seconds of the longest lease. A lease that seems longer was written before the clock was set back, and is over."""

KEY_CHANGED_WARNING = (
    "LEDGER_KEY has changed. Existing ledger records can no longer be found: redelivered webhooks are verified again "
    "and wrong-code counts restart."
)

CALL_HISTORY = 4000.0
"""Seconds for which calls are kept to reconcile other deliveries' unknown outcomes, independent of LEDGER_TTL."""

COMPETING_MARGIN = 60.0
"""Seconds around a call with an unknown outcome in which other calls for its contact are read, including those that
began up to `LEASE_LIMIT` earlier. More than `reconciliation.COMPETING_WINDOW`."""

MAX_COMPETING_CALLS = 100
"""Other calls for the contact that are read around one call."""


class LedgerUnavailable(Exception):  # noqa: N818  not a mistake of the program: a state of the world
    """The ledger cannot be used now. The message says why and what to do, and contains nothing personal."""


class Policy(NamedTuple):
    """The rules for all deliveries; times are in seconds.

    A contact must wait after ``wrong_codes`` within ``wrong_code_window`` (0: no limit). ``interval`` is the time
    between two calls of one action. ``conceal``: a contact and code that were verified, and whose contact was taken off
    the list, count as a wrong code, so that a sender cannot tell them from one.
    """

    ttl: float
    wrong_codes: int
    wrong_code_window: float
    interval: float
    conceal: bool = False

    @property
    def retention(self) -> float:
        """Minimum lifetime of a record, in seconds: for the count, and to reconcile other deliveries."""
        return max(self.wrong_code_window, CALL_HISTORY)


class SendLimit(NamedTuple):
    """At most ``limit`` messages within ``window`` seconds are counted under ``counter_key``, a keyed hash."""

    name: str
    counter_key: bytes
    limit: int
    window: float


class Slot(NamedTuple):
    """A call may leave in ``wait`` seconds. If the slot does not fit, it was not reserved."""

    wait: float
    fits: bool


class Settlement(NamedTuple):
    """The result of the work on a delivery: a definitive ``record``, or None if the outcome is unknown.

    ``sent_at`` and ``gave_up_at`` run since the owner's last call began and ended (None: it made none), ``requested``
    since it requested its claim. The ledger reads them when it writes, so that a slow ledger does not shift the call.
    ``counts_as_wrong``: the code may have been wrong. ``release_lock``: seconds for which the contact stays locked, to
    be taken off the account's list (0.0: it stays there). ``content_replay`` replaces `CONTENT_REPLAY`.
    """

    record: Record | None
    sent_at: Stopwatch | None = None
    gave_up_at: Stopwatch | None = None
    requested: Stopwatch | None = None
    counts_as_wrong: bool = True
    release_lock: float = 0.0
    content_replay: float = CONTENT_REPLAY


class StoredState(NamedTuple):
    """What the ledger knows of a delivery. A settled one has a ``record``; ``content`` is that of its `Keys`."""

    state: Literal["settled", "unknown", "in-flight"]
    content: bytes
    record: Record | None = None


class Ledger(Protocol):
    """Each step is atomic, ends by its deadline, and raises LedgerUnavailable."""

    @property
    def reach(self) -> Literal["instance", "shared"]:
        """Who shares it: the threads and workers of one instance, or all instances."""

    @property
    def engine(self) -> str:
        """The name of the engine."""

    def hasher(self) -> Hasher:
        """Return what makes a delivery's keys."""

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        """Claim a delivery under a new token for ``lease`` seconds, if its call may leave within ``max_wait``."""

    def claim_send(
        self,
        keys: Keys,
        token: str,
        *,
        limits: Sequence[SendLimit],
        lease: float,
        max_wait: float,
        deadline: Deadline,
    ) -> Claim:
        """Claim a delivery that requests a code, and count the message, if no limit is reached.

        A delivery whose outcome is unknown is claimed like a new one; its earlier message stays counted.
        """

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        """Reserve a slot for a second call of an unknown delivery and record the call.

        None if the token does not own the delivery, or the second call was made already.
        """

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        """Record the result, even if the claim was lost.

        False if another token owns the delivery; then nothing is recorded.
        """

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        """Undo a claim whose last call was certainly not processed.

        A new delivery is deleted; one that was unknown, or had an unknown outcome of its content, is unknown again. A
        message is no longer counted.
        """

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        """Unlock a contact; ``removed``: it is off the account's list. Does nothing after the end of the lease."""

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        """Reserve the next free slot of an action, if it comes within ``max_wait`` seconds."""

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        """Lower the rate of an action for a while: the API rejected a call for its quota."""

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        """Return what is stored of a delivery, without a claim."""

    def count_unknown(self, *, deadline: Deadline) -> int:
        """Return the number of deliveries whose outcome is unknown and that are not in progress."""

    def ping(self, *, deadline: Deadline) -> None:
        """Check that the ledger accepts writes."""

    def prune(self, *, deadline: Deadline) -> int:
        """Delete expired records, as many as fit in the deadline; return their number."""

    def close(self) -> None:
        """Close files and connections."""
