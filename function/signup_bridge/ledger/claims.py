"""What a ledger returns to a delivery that asks for a claim: one type for each case, to be matched exhaustively."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeAlias


class Record(NamedTuple):
    """The stored result of a delivery: the outcome's code, the API's request id, whether it was reconciled.

    ``contact_type`` is the API's ``Type``.
    """

    outcome: str
    request_id: str | None = None
    resolved: bool = False
    contact_type: int = 0


class CallWindow(NamedTuple):
    """The time in which the API may have processed one call, in Unix seconds."""

    sent_at: float
    gave_up_at: float


class UnknownOutcome(NamedTuple):
    """What reconciliation needs to find out what became of earlier calls.

    ``now`` is the ledger's time. ``calls`` are those of this contact and code that the API may have processed,
    ``competing_calls`` those of the same contact with another code around them. ``has_more_calls``: there are more than
    `MAX_COMPETING_CALLS` around one call, and ``competing_calls`` is empty.
    """

    now: float
    calls: tuple[CallWindow, ...] = ()
    competing_calls: tuple[CallWindow, ...] = ()
    has_more_calls: bool = False


@dataclass(frozen=True)
class Acquired:
    """The caller owns the delivery until its lease ends; its call may leave after ``wait`` seconds.

    ``release_pending``: the contact must be taken off the account's list first. ``unknown_outcome``: the earlier calls
    that must be reconciled first; None for a new delivery.
    """

    wait: float = 0.0
    release_pending: bool = False
    unknown_outcome: UnknownOutcome | None = None


@dataclass(frozen=True)
class Replay:
    """The delivery was settled earlier."""

    record: Record


@dataclass(frozen=True)
class ShortCircuited:
    """The delivery is settled now, without a call."""

    record: Record


@dataclass(frozen=True)
class InFlight:
    """Another caller owns the delivery."""


@dataclass(frozen=True)
class ContactBusy:
    """Another delivery for the same contact is in progress."""


@dataclass(frozen=True)
class KeyMismatch:
    """The delivery's id was used with another content."""


@dataclass(frozen=True)
class RateLimited:
    """No call may leave in time; the first one could in ``wait`` seconds."""

    wait: float


@dataclass(frozen=True)
class SendLimited:
    """The send limit of the name ``limit`` permits no message for ``wait`` seconds."""

    wait: float
    limit: str


Claim: TypeAlias = Acquired | Replay | ShortCircuited | InFlight | ContactBusy | KeyMismatch | RateLimited | SendLimited


def assert_never(claim: NoReturn) -> NoReturn:
    """Mark a case that mypy must find unreachable, as `typing.assert_never` of Python 3.11 does."""
    raise AssertionError(claim)
