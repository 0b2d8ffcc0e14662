"""Define the options for behaviour that the API's reference does not state. They can be changed at run time.

`domain.py` implements them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, NamedTuple

CODE_LIFE = 600
RATE = 20


class Constraint(NamedTuple):
    """A constraint on a value: its description and its check."""

    description: str
    accepts: Callable[[Any], bool]


class Option(NamedTuple):
    """One option: its default, constraint, meaning, and the reason for the default."""

    name: str
    default: Any
    constraint: str
    meaning: str
    why: str


def _choice(*values: str) -> Constraint:
    return Constraint(f"one of {', '.join(values)}", lambda value: isinstance(value, str) and value in values)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


BOOLEAN = Constraint("true or false", lambda value: type(value) is bool)
SECONDS = Constraint("a number of seconds from 0 to 86400", lambda value: _is_number(value) and 0 <= value <= 86_400)
COUNT = Constraint("a whole number from 0", lambda value: type(value) is int and value >= 0)
HOURS = Constraint("a number of hours from -12 to 14", lambda value: _is_number(value) and -12 <= value <= 14)


def _option(constraint: Constraint, meaning: str, why: str, *, default: Any) -> Any:
    return field(default=default, metadata={"constraint": constraint, "meaning": meaning, "why": why})


@dataclass(frozen=True)
class Behaviour:
    """The value of each option, a JSON value. Raises ValueError for an invalid one."""

    check_first: str = _option(
        _choice("verified", "code"),
        "which check comes first if the code is wrong and the contact is on the list",
        "Not documented. `verified` prevents guessing the codes of a contact that is on the list.",
        default="verified",
    )
    used_code_good: bool = _option(
        BOOLEAN,
        "whether a used code is valid again after its contact is deleted from the list",
        "Not documented. Nearly every service accepts a verification code only once.",
        default=False,
    )
    replaced_code_good: bool = _option(
        BOOLEAN,
        "whether an older code stays valid after a newer one is sent to the contact",
        "Not documented. Usually only the newest code is valid. The default exposes senders that rely on an older one.",
        default=False,
    )
    code_life: float = _option(
        SECONDS,
        "how long a code is valid",
        "Not documented. Messages with such codes usually state ten minutes.",
        default=CODE_LIFE,
    )
    resend_interval: float = _option(
        SECONDS,
        "the minimum time between two codes for a contact; an earlier request returns "
        "`FailedOperation.SendVerifyCodeIsLimited`",
        "Not documented; an error code of the mainland API shows that a limit exists. 60 is common. The default sets "
        "none, so that tests of a signup system need not wait. To test a limit, set one or use the contact "
        "`send-limited`.",
        default=0,
    )
    phone_form: str = _option(
        _choice("any", "digits", "dotted"),
        "the accepted form of phone numbers: `digits` as in `18766554433`, `dotted` as in `+86.13600000000`; other "
        "forms return `InvalidParameterValue.InvalidParameterFormat`",
        "Not documented. The reference's example has digits only; other actions of the product use the dotted form. "
        "Each spelling is a separate contact.",
        default="any",
    )
    rate: int = _option(
        COUNT,
        "the maximum requests per second for each action, 0 for no limit; further requests return "
        "`RequestLimitExceeded`",
        "Documented: 20. The window is not documented; the emulator counts the last second.",
        default=RATE,
    )
    list_zone: float = _option(
        HOURS,
        "the time zone of the list's `CreatedOn`, as an offset east of UTC",
        "Not documented. Other actions of the product use China Standard Time.",
        default=8,
    )
    list_order: str = _option(
        _choice("newest-first", "oldest-first"),
        "the order of the contacts in the list",
        "Not documented. The product's other lists show the newest entry first.",
        default="newest-first",
    )
    list_masked: bool = _option(
        BOOLEAN,
        "whether contacts in the list are masked",
        "Not documented. The contact in the reference's example is not masked.",
        default=False,
    )
    list_offset: str = _option(
        _choice("rows", "pages-from-0", "pages-from-1"),
        "the unit of the list's `Offset`; with `pages-from-1`, 0 and 1 both select the first page",
        "One reference documents a page number, its twin a row offset.",
        default="rows",
    )
    any_host_signed: bool = _option(
        BOOLEAN,
        "whether a signature may omit the host's port, and name the host's first label as its service",
        "Some SDKs sign this way for an endpoint such as `127.0.0.1:9010`. The API's own host has no port and starts "
        "with the service, so the option makes no difference there.",
        default=True,
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            constraint: Constraint = one.metadata["constraint"]
            if not constraint.accepts(getattr(self, one.name)):
                raise ValueError(f"{one.name}: must be {constraint.description}")

    def change(self, values: Any) -> Behaviour:
        """Return a copy with these values changed. Raises ValueError, which names the member and its constraint."""
        if not isinstance(values, Mapping):
            raise ValueError(f"must be an object with some of {', '.join(DEFAULTS)}")  # noqa: TRY004  a value's form
        for name in values:
            if name not in DEFAULTS:
                raise ValueError(f"{name}: is not supported; expected one of {', '.join(DEFAULTS)}")
        return replace(self, **values)

    def document(self) -> dict[str, Any]:
        """Return the options as JSON values."""
        return asdict(self)


OPTIONS: tuple[Option, ...] = tuple(
    Option(one.name, one.default, one.metadata["constraint"].description, one.metadata["meaning"], one.metadata["why"])
    for one in fields(Behaviour)
)
DEFAULTS: dict[str, Any] = {option.name: option.default for option in OPTIONS}
