"""What must not be forgotten: which deliveries were seen, what became of them, who is at work, when a call may leave.

`Ledger` is the protocol, `sqlite` and `redis` are its engines, `open_ledger` chooses. Each verb is one atomic step. In
go keyed hashes (`keys.Keys`), never a contact or a code. Times are Unix seconds on the ledger's own clock.
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
"""Seconds that a definitive outcome is replayed to a delivery that is known by its content alone."""

SEND_LIMIT_WINDOW = 3600.0
"""Seconds that no guard's window is longer than."""

LEASE_LIMIT = 1000.0
"""Seconds that no lease is longer than. One that seems longer was written before the clock was set back."""

KEY_CHANGED_WARNING = (
    "LEDGER_KEY is another one than before: what was remembered is not found any more. A delivery that is sent again "
    "is verified again, and the counts of wrong codes begin anew."
)

CALL_HISTORY = 4000.0
"""Seconds that a call is kept for the resolution of other deliveries' unknown outcomes, whatever LEDGER_TTL is."""

COMPETING_MARGIN = 60.0
"""Seconds around a call of an unknown outcome in which other calls for its contact are read, those that began up to
`LEASE_LIMIT` earlier included. More than `resolution.NEAR`."""

MAX_COMPETING_CALLS = 100
"""Other calls for the contact that are read at most around one call."""


class LedgerUnavailable(Exception):  # noqa: N818  not a mistake of the program: a state of the world
    """The ledger cannot be used now. Its text says why and what to do, and holds nothing personal."""


class Policy(NamedTuple):
    """What holds for every delivery: seconds, and the number of wrong codes after which a contact must wait (0: none).

    ``interval`` is the seconds between two calls of one action. ``hides``: a pair of contact and code that was verified
    and taken off the list must not be told from a wrong code; so it counts as one, and may be one too many.
    """

    ttl: float
    wrong_codes: int
    wrong_code_window: float
    interval: float
    conceal: bool = False

    @property
    def retention(self) -> float:
        """Seconds that a record is kept at least, for the count and for other deliveries' unknown outcomes."""
        return max(self.wrong_code_window, CALL_HISTORY)


class SendLimit(NamedTuple):
    """At most ``limit`` messages of a ``series`` are sent within ``window`` seconds. ``series`` is a keyed hash."""

    name: str
    counter_key: bytes
    limit: int
    window: float


class Slot(NamedTuple):
    """``wait`` seconds until a call may leave. When it does not ``fit`` nothing was reserved."""

    wait: float
    fits: bool


class Settlement(NamedTuple):
    """How the work on a delivery ended: with a definitive ``record``, or with None, when the outcome is unknown.

    ``sent`` and ``gave_up`` run since the call that this owner made last began and ended, None when it made none;
    ``asked`` since it asked for its claim. They are read when the ledger writes: a ledger that is slow must not shift
    the call. ``counts``: it may have been a wrong code. ``removal``: seconds for which the contact stays locked, to be
    taken off the account's list; 0.0 when it stays there. ``content_replay`` is as `CONTENT_REPLAY`.
    """

    record: Record | None
    sent_at: Stopwatch | None = None
    gave_up_at: Stopwatch | None = None
    requested: Stopwatch | None = None
    counts_as_wrong: bool = True
    release_lock: float = 0.0
    content_replay: float = CONTENT_REPLAY


class StoredState(NamedTuple):
    """What is known of a delivery that nobody claims: ``record`` is there when it is ``settled``.

    ``content`` is that of its `Keys`.
    """

    state: Literal["settled", "unknown", "in-flight"]
    content: bytes
    record: Record | None = None


class Ledger(Protocol):
    """Each verb is one atomic step, over by the deadline, and raises LedgerUnavailable."""

    @property
    def reach(self) -> Literal["instance", "shared"]:
        """Who shares it: the threads and workers of one instance, or all instances."""

    @property
    def engine(self) -> str:
        """Its name."""

    def hasher(self) -> Hasher:
        """What makes a delivery's keys."""

    def claim(self, keys: Keys, token: str, *, lease: float, max_wait: float, deadline: Deadline) -> Claim:
        """Claim a delivery under a fresh ``token`` for ``lease`` seconds, if its call may leave within ``max_wait``."""

    def claim_send(
        self,
        keys: Keys,
        token: str,
        *,
        guards: Sequence[SendLimit],
        lease: float,
        max_wait: float,
        deadline: Deadline,
    ) -> Claim:
        """Claim a delivery that asks for a code to be sent, if every guard lets one more message out; count it.

        One whose outcome is unknown is claimed like a new one, which its earlier message does not change: that stays
        counted.
        """

    def begin_retry(self, keys: Keys, token: str, *, max_wait: float, deadline: Deadline) -> Slot | None:
        """Reserve and note one more call of an unknown delivery. None when it is not the token's any more."""

    def settle(self, keys: Keys, token: str, settlement: Settlement, *, deadline: Deadline) -> bool:
        """Remember how it ended, even if its claim was lost.

        False when it is not the token's any more, and nothing was remembered.
        """

    def release(self, keys: Keys, token: str, *, deadline: Deadline) -> None:
        """Give it back: its last call was certainly not processed.

        What was new is new again; what was unknown, or found an unknown outcome of its content, is unknown. A message
        is not counted any more.
        """

    def finish_release(self, keys: Keys, token: str, *, removed: bool, deadline: Deadline) -> None:
        """The work on the account's list is over; ``removed``: the contact is off it. Too late, it does nothing."""

    def reserve_slot(self, action: str, *, max_wait: float, deadline: Deadline) -> Slot:
        """Reserve the next free slot of an action's pace, if it comes within ``max_wait``."""

    def throttle(self, action: str, *, deadline: Deadline) -> None:
        """The API refused a call for its quota: pace this action more slowly for a while."""

    def get(self, delivery: bytes, *, deadline: Deadline) -> StoredState | None:
        """What is known of a delivery, without claiming it; None when nothing is."""

    def count_unknown(self, *, deadline: Deadline) -> int:
        """How many deliveries have an outcome that is unknown, and are not being worked on."""

    def ping(self, *, deadline: Deadline) -> None:
        """Whether it works."""

    def prune(self, *, deadline: Deadline) -> int:
        """Delete what has expired, as much as can be by the deadline; how many records were deleted."""

    def close(self) -> None:
        """Let go of files and connections."""
