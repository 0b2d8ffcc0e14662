"""The choices of the emulator where the API's reference is silent: each with its default, changeable at run time.

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
    """One choice: its default, constraint, meaning and reason."""

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
SECONDS = Constraint("seconds, a number from 0 to 86400", lambda value: _is_number(value) and 0 <= value <= 86_400)
COUNT = Constraint("a whole number from 0", lambda value: type(value) is int and value >= 0)
HOURS = Constraint("hours, a number from -12 to 14", lambda value: _is_number(value) and -12 <= value <= 14)


def _option(constraint: Constraint, meaning: str, why: str, *, default: Any) -> Any:
    return field(default=default, metadata={"constraint": constraint, "meaning": meaning, "why": why})


@dataclass(frozen=True)
class Behaviour:
    """The value of each choice, a JSON value. Raises ValueError for invalid ones."""

    check_first: str = _option(
        _choice("verified", "code"),
        "what is checked first if a code is wrong and the contact is on the list",
        "Not documented. With `verified`, codes of a contact on the list cannot be guessed.",
        default="verified",
    )
    used_code_good: bool = _option(
        BOOLEAN,
        "whether a used code is accepted again after its contact was deleted from the list",
        "Not documented. Nearly every service accepts a verification code only once.",
        default=False,
    )
    replaced_code_good: bool = _option(
        BOOLEAN,
        "whether an older code stays valid after a newer one was sent to the contact",
        "Not documented. Usually only the newest code is valid; a sender that relies on an older one fails here.",
        default=False,
    )
    code_life: float = _option(
        SECONDS,
        "how long a code is valid",
        "Not documented. Such messages usually name ten minutes.",
        default=CODE_LIFE,
    )
    resend_interval: float = _option(
        SECONDS,
        "the minimum time between two codes for a contact; an earlier one is `FailedOperation.SendVerifyCodeIsLimited`",
        "Not documented; only the mainland twin's error code shows that there is a limit. 60 is usual. A guessed limit "
        "would make a signup system's tests wait, so there is none: to test one, switch it on, or use the contact "
        "`send-limited`.",
        default=0,
    )
    phone_form: str = _option(
        _choice("any", "digits", "dotted"),
        "which phone numbers are accepted: with `digits` such as `18766554433`, with `dotted` such as "
        "`+86.13600000000`; others are `InvalidParameterValue.InvalidParameterFormat`",
        "Not documented. The reference's example has digits only, contacts elsewhere in the product are dotted. "
        "Each spelling is a separate contact.",
        default="any",
    )
    rate: int = _option(
        COUNT,
        "the limit of requests per second for each action, 0 for none; more are `RequestLimitExceeded`",
        "Documented: 20. The window is not documented; here it is any second.",
        default=RATE,
    )
    list_zone: float = _option(
        HOURS,
        "the time zone of the list's `CreatedOn`, east of UTC",
        "Not documented. The product uses China's time elsewhere.",
        default=8,
    )
    list_order: str = _option(
        _choice("newest-first", "oldest-first"),
        "the order of the list's rows",
        "Not documented. The product's other lists start with the newest.",
        default="newest-first",
    )
    list_masked: bool = _option(
        BOOLEAN,
        "whether the list's contacts are masked",
        "Not documented. The reference's example is not masked.",
        default=False,
    )
    list_offset: str = _option(
        _choice("rows", "pages-from-0", "pages-from-1"),
        "the unit of the list's `Offset`; with `pages-from-1` both 0 and 1 are the first page",
        "Documented as a page number in one reference and as a row offset in its twin.",
        default="rows",
    )
    any_host_signed: bool = _option(
        BOOLEAN,
        "whether a signature may have the host without its port, and the host's first label as its service",
        "Some SDKs sign so for an endpoint such as `127.0.0.1:9010`. The API's own host has no port and begins with "
        "the service, so there is no difference.",
        default=True,
    )

    def __post_init__(self) -> None:
        for one in fields(self):
            constraint: Constraint = one.metadata["constraint"]
            if not constraint.accepts(getattr(self, one.name)):
                raise ValueError(f"{one.name}: must be {constraint.description}")

    def change(self, values: Any) -> Behaviour:
        """Return a copy with other values. Raises ValueError, which names the member and its constraint."""
        if not isinstance(values, Mapping):
            raise ValueError(f"must be an object with some of {', '.join(DEFAULTS)}")  # noqa: TRY004  a value's form
        for name in values:
            if name not in DEFAULTS:
                raise ValueError(f"{name}: is not supported; expected one of {', '.join(DEFAULTS)}")
        return replace(self, **values)

    def document(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)


OPTIONS: tuple[Option, ...] = tuple(
    Option(one.name, one.default, one.metadata["constraint"].description, one.metadata["meaning"], one.metadata["why"])
    for one in fields(Behaviour)
)
DEFAULTS: dict[str, Any] = {option.name: option.default for option in OPTIONS}
