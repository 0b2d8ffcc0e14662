"""Store the data that must survive a restart: deliveries, their results and owners, and the rate of calls.

`Ledger` is the protocol, `sqlite` and `redis` implement it, and `factory` opens one. The keys of records are keyed
hashes (`keys.Keys`), never a contact or a code. Times are Unix seconds on the ledger's own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, NoReturn, Protocol, TypeAlias

from signup_bridge.core import Value

if TYPE_CHECKING:
    from signup_bridge.core.clock import Deadline, Stopwatch

    from .keys import Hasher, Keys

CONTENT_REPLAY = 120.0
"""Seconds for which a definitive outcome is replayed to a delivery without an id."""

SEND_LIMIT_WINDOW = 3600.0
"""Longest window of a send limit, in seconds."""

LEASE_LIMIT = 1000.0
"""Longest lease, in seconds. A longer one was written before the clock was set back, and has expired."""

KEY_CHANGED_WARNING = (
    "LEDGER_KEY has changed. Existing ledger records can no longer be found: redelivered webhooks are verified again "
    "and wrong-code counts restart."
)

CALL_HISTORY = 4000.0
"""Seconds for which calls are stored to reconcile other deliveries' unknown outcomes, independent of LEDGER_TTL."""

COMPETING_MARGIN = 60.0
"""Seconds around a call with an unknown outcome in which other calls for its contact are read, including those that
started up to `LEASE_LIMIT` earlier. More than `reconciliation.COMPETING_WINDOW`."""

MAX_COMPETING_CALLS = 100
"""Maximum number of other calls for the contact that are read around one call."""


class LedgerUnavailable(Exception):  # noqa: N818  names a state of the ledger, not a programming error
    """The ledger cannot be used now. The message states the reason and the remedy, and contains no personal data."""


class Policy(NamedTuple):
    """The rules for all deliveries; times are in seconds.

    A contact is blocked after ``wrong_codes`` within ``wrong_code_window`` (0: no limit). ``interval`` is the time
    between two calls of one action. ``conceal``: a verified code whose contact was removed from the account's contact
    list counts as a wrong code, so that a sender cannot distinguish the two.
    """

    ttl: float
    wrong_codes: int
    wrong_code_window: float
    interval: float
    conceal: bool = False

    @property
    def retention(self) -> float:
        """Minimum lifetime of a record in seconds, for the count and for the reconciliation of other deliveries."""
        return max(self.wrong_code_window, CALL_HISTORY)


class SendLimit(NamedTuple):
    """At most ``limit`` messages within ``window`` seconds are counted under ``counter_key``, a keyed hash."""

    name: str
    counter_key: bytes
    limit: int
    window: float


class Slot(NamedTuple):
    """A slot, in which a call may start after ``wait`` seconds. A slot that does not fit was not reserved."""

    wait: float
    fits: bool


class Record(NamedTuple):
    """The stored result of a delivery.

    ``contact_type`` is the API's ``Type``. ``retry_after``: the seconds until a new delivery for the contact may be
    tried, 0.0 afterwards; None if the result has no such time.
    """

    outcome: str
    api_request_id: str | None = None
    resolved: bool = False
    contact_type: int = 0
    retry_after: float | None = None


class Settlement(NamedTuple):
    """The result of the work on a delivery: a definitive ``record``, or None if the outcome is unknown.

    ``sent_at`` and ``gave_up_at`` run since the owner's last call started and ended (None: it made none), ``requested``
    since it requested its claim. The ledger reads them when it writes, so that a slow ledger does not shift the call.
    ``counts_as_wrong``: the code may have been wrong. ``release_lock``: seconds for which the contact stays locked for
    its removal from the account's contact list (0.0: no removal). ``content_replay`` replaces `CONTENT_REPLAY`.
    """

    record: Record | None
    sent_at: Stopwatch | None = None
    gave_up_at: Stopwatch | None = None
    requested: Stopwatch | None = None
    counts_as_wrong: bool = True
    release_lock: float = 0.0
    content_replay: float = CONTENT_REPLAY


class StoredState(NamedTuple):
    """The stored state of a delivery. A settled delivery has a ``record``; ``content`` is that of its `Keys`."""

    state: Literal["settled", "unknown", "in-flight"]
    content: bytes
    record: Record | None = None


class CallWindow(NamedTuple):
    """The time in which the API may have processed one call, in Unix seconds."""

    sent_at: float
    gave_up_at: float


class UnknownOutcome(NamedTuple):
    """The data from which reconciliation derives the outcome of earlier calls.

    ``now`` is the ledger's time. ``calls`` are those for this contact and code that the API may have processed,
    ``competing_calls`` those for the same contact with another code around them. ``has_more_calls``: there are more
    than `MAX_COMPETING_CALLS` around one call, and ``competing_calls`` is empty.
    """

    now: float
    calls: tuple[CallWindow, ...] = ()
    competing_calls: tuple[CallWindow, ...] = ()
    has_more_calls: bool = False


class Acquired(Value):
    """The caller owns the delivery until its lease expires; its call may start after ``wait`` seconds.

    ``release_pending``: the contact must first be removed from the account's contact list. ``unknown_outcome``: the
    earlier calls that must first be reconciled; None for a new delivery.
    """

    def __init__(
        self, wait: float = 0.0, *, release_pending: bool = False, unknown_outcome: UnknownOutcome | None = None
    ) -> None:
        self.wait: Final = wait
        self.release_pending: Final = release_pending
        self.unknown_outcome: Final = unknown_outcome


class Replay(Value):
    """The delivery was settled earlier."""

    def __init__(self, record: Record) -> None:
        self.record: Final = record


class ShortCircuited(Value):
    """The delivery is settled now, without a call."""

    def __init__(self, record: Record) -> None:
        self.record: Final = record


class InFlight(Value):
    """Another caller owns the delivery."""


class ContactBusy(Value):
    """Another delivery for the same contact is in progress."""


class KeyMismatch(Value):
    """The delivery's id was used with different content."""


class RateLimited(Value):
    """No call may start in time. The next slot is free in ``wait`` seconds."""

    def __init__(self, wait: float) -> None:
        self.wait: Final = wait


class SendLimited(Value):
    """The send limit named ``limit`` permits no message for ``wait`` seconds."""

    def __init__(self, wait: float, limit: str) -> None:
        self.wait: Final = wait
        self.limit: Final = limit


Claim: TypeAlias = Acquired | Replay | ShortCircuited | InFlight | ContactBusy | KeyMismatch | RateLimited | SendLimited


def assert_never(claim: NoReturn) -> NoReturn:
    """Mark a case that mypy must find unreachable, as `typing.assert_never` of Python 3.11 does."""
    raise AssertionError(claim)


class Ledger(Protocol):
    """Each step is atomic, ends by its deadline, and raises LedgerUnavailable."""

    @property
    def reach(self) -> Literal["instance", "shared"]:
        """Whether the threads and workers of one instance, or all instances, share the ledger."""

    @property
    def engine(self) -> str:
        """The name of the engine."""

    def hasher(self) -> Hasher:
        """Return the hasher of deliveries' keys."""

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        """Claim a delivery with a new token for ``lease`` seconds, if its call may start within ``max_wait``."""

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

        A delivery with an unknown outcome is claimed like a new one; its earlier message stays counted.
        """

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        """Reserve a slot for the second call of a delivery with an unknown outcome, and record the call.

        Return None if the token does not own the delivery, or if the second call was already made.
        """

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        """Record the result, even if the claim was lost.

        Record nothing and return False if another token owns the delivery.
        """

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        """Undo a claim whose last call was certainly not processed.

        A new delivery is deleted. If its outcome, or an outcome of its content, was unknown before, its outcome is
        unknown again. A message is no longer counted.
        """

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        """Unlock a contact, unless the lease has expired. ``removed``: the account's list no longer contains it."""

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        """Reserve the next free slot of an action, if it comes within ``max_wait`` seconds."""

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        """Lower the rate of an action for some time, after the API rejected a call because of its rate limit."""

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        """Return the stored state of a delivery, without a claim."""

    def count_unknown(self, *, deadline: Deadline) -> int:
        """Return the number of deliveries whose outcome is unknown and that are not in progress."""

    def ping(self, *, deadline: Deadline) -> None:
        """Check that the ledger accepts writes."""

    def prune(self, *, deadline: Deadline) -> int:
        """Delete expired records, as many as fit in the deadline; return their number."""

    def close(self) -> None:
        """Close files and connections."""
