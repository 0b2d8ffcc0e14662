"""What the API leaves open, and what this stand-in does there: each choice with its default, switchable at run time.

In come names and plain JSON values, out comes a `Behaviour`. It knows no state; what it means is done in `domain.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

CODE_LIFE = 600
RATE = 20


class Constraint(NamedTuple):
    """What a value must be: in words, and as a check."""

    words: str
    holds: Callable[[Any], bool]


class Option(NamedTuple):
    """One row of the table: what can be chosen, what it is at the start, and why."""

    name: str
    default: Any
    must: str
    meaning: str
    why: str


def _one_of(*values: str) -> Constraint:
    return Constraint(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


YES_OR_NO = Constraint("true or false", lambda value: type(value) is bool)
SECONDS = Constraint("seconds, a number from 0 to 86400", lambda value: _is_number(value) and 0 <= value <= 86_400)
COUNT = Constraint("a whole number from 0 on", lambda value: type(value) is int and value >= 0)
HOURS = Constraint("hours, a number from -12 to 14", lambda value: _is_number(value) and -12 <= value <= 14)


def _option(must: Constraint, meaning: str, why: str, *, default: Any) -> Any:
    return field(default=default, metadata={"must": must, "meaning": meaning, "why": why})


@dataclass(frozen=True)
class Behaviour:
    """How the stand-in behaves where the reference says nothing; plain JSON values. Raises ValueError for others."""

    check_first: str = _option(
        _one_of("verified", "code"),
        "what is looked at first when a wrong code comes for a contact that is on the list",
        "Not documented. With `verified` nobody can go on guessing codes of a contact that is on the list.",
        default="verified",
    )
    used_code_good: bool = _option(
        YES_OR_NO,
        "whether a code that was accepted once is accepted again, after its contact was taken off the list",
        "Not documented. A verification code is spent by its use nearly everywhere.",
        default=False,
    )
    replaced_code_good: bool = _option(
        YES_OR_NO,
        "whether an older code is still good after a newer one was sent to the same contact",
        "Not documented. Mostly the newest alone is; a sender that relies on an older one finds it out here.",
        default=False,
    )
    code_life: float = _option(
        SECONDS,
        "how long a code is good",
        "Not documented. Ten minutes is what such messages usually say.",
        default=CODE_LIFE,
    )
    resend_interval: float = _option(
        SECONDS,
        "how far apart codes are sent to a contact; sooner is `FailedOperation.SendVerifyCodeIsLimited`",
        "Not documented; that there is a limit is known from the mainland twin's error code alone, its length is not. "
        "60 is usual. A guessed limit would make a signup system's tests wait for nothing, so there is none: switch it "
        "on, or use the contact `send-limited`, to see what you do about it.",
        default=0,
    )
    phone_form: str = _option(
        _one_of("any", "digits", "dotted"),
        "which phone numbers are taken: with `digits` such as `18766554433`, with `dotted` such as `+86.13600000000`; "
        "others are `InvalidParameterValue.InvalidParameterFormat`",
        "Not documented. The reference's example is bare digits, contacts elsewhere in the product are dotted. "
        "Each spelling is a contact of its own.",
        default="any",
    )
    rate: int = _option(
        COUNT,
        "how many requests within a second each action takes, 0: any number; more are `RequestLimitExceeded`",
        "Documented: 20. Over what stretch of time it is counted is not; here it is any second.",
        default=RATE,
    )
    list_zone: float = _option(
        HOURS,
        "the zone of the list's `CreatedOn`, east of UTC",
        "Not documented. The product's clocks are China's.",
        default=8,
    )
    list_order: str = _option(
        _one_of("newest-first", "oldest-first"),
        "the order of the list's rows",
        "Not documented. The product's other lists begin with the newest.",
        default="newest-first",
    )
    list_masked: bool = _option(
        YES_OR_NO,
        "whether the list's contacts are masked",
        "Not documented. The reference's example is in the clear.",
        default=False,
    )
    list_offset: str = _option(
        _one_of("rows", "pages-from-0", "pages-from-1"),
        "what the list's `Offset` counts; with `pages-from-1` both 0 and 1 are the first page",
        "Documented as a page's number in one reference and as a row's offset in its twin.",
        default="rows",
    )
    any_host_signed: bool = _option(
        YES_OR_NO,
        "whether a signature may name the host without its port, and as its service the host's first part",
        "Some SDKs make that of an endpoint such as `127.0.0.1:9010`. The API's own host has no port and begins with "
        "the service, so nothing like it is seen there.",
        default=True,
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            must: Constraint = one.metadata["must"]
            if not must.holds(getattr(self, one.name)):
                raise ValueError(f"{one.name}: must be {must.words}")

    def change(self, values: Any) -> Behaviour:
        """This with other values, all or none. Raises ValueError, which names the member and what it must be."""
        if not isinstance(values, Mapping):
            raise ValueError(f"must be an object with some of {', '.join(DEFAULTS)}")  # noqa: TRY004  a value's form
        for name in values:
            if name not in DEFAULTS:
                raise ValueError(f"{name}: is not known; known are {', '.join(DEFAULTS)}")
        return replace(self, **values)

    def document(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


OPTIONS: tuple[Option, ...] = tuple(
    Option(one.name, one.default, one.metadata["must"].words, one.metadata["meaning"], one.metadata["why"])
    for one in fields(Behaviour)
)
DEFAULTS: dict[str, Any] = {option.name: option.default for option in OPTIONS}
