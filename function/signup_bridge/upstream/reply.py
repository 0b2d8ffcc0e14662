"""Classify the facts of a call to the API as a `Result`.

Only a complete reply with a request id and without an error means "verified", because a wrong "verified" admits a
stranger.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal, NamedTuple

from signup_bridge.core import Value, strict_json
from signup_bridge.core.actions import CREATE, SEND
from signup_bridge.core.outcomes import (
    BRIDGE_MISCONFIGURED,
    OUTCOME_UNKNOWN,
    SENT,
    UPSTREAM_FAILED,
    UPSTREAM_UNREACHABLE,
    VERIFIED,
    Result,
    Timing,
)
from signup_bridge.upstream import error_codes


class Reply(Value):
    """A complete HTTP reply of the API, unchanged. Its body may contain the contact."""

    hidden = ("body",)

    def __init__(self, status: int, body: bytes) -> None:
        self.status: Final = status
        self.body: Final = body


class CallResult(NamedTuple):
    """The facts of one finished call to the API.

    ``result`` is the complete reply, or: ``no-credentials`` (nothing to sign the request with), ``never-sent`` (no byte
    of the request was passed to the network), ``no-reply`` (it was, but no complete reply arrived in time),
    ``unusable`` (the reply is not HTTP, is incomplete, or is too large). ``error`` is the class of the error, for the
    log.
    """

    result: Reply | Literal["no-credentials", "never-sent", "no-reply", "unusable"]
    seconds: float
    error: str | None = None


_WITHOUT_REPLY = {
    "no-credentials": BRIDGE_MISCONFIGURED,
    "never-sent": UPSTREAM_UNREACHABLE,
    "no-reply": OUTCOME_UNKNOWN,
    "unusable": UPSTREAM_FAILED,
}


def classify(call: CallResult, action: str = CREATE) -> Result:
    """Return the result of a call.

    The API always replies with HTTP 200. A reply with a request id and without an ``Error`` member is a success. A
    reply without a request id does not come from the API, so its result is unknown.
    """
    timing = Timing(upstream_seconds=call.seconds)
    if not isinstance(call.result, Reply):
        return Result(_WITHOUT_REPLY[call.result], error=call.error, timing=timing)
    try:
        request_id, api_code, _ = _read(call.result)
    except ValueError as error:
        return Result(UPSTREAM_FAILED, error=str(error), timing=timing)
    success = SENT if action == SEND else VERIFIED
    outcome = success if api_code is None else error_codes.outcome_for(api_code, action)
    return Result(outcome, request_id, api_code, timing=timing)


class ContactListPage(Value):
    """A page of the account's contact list: each contact as the API returns it, with its ``CreatedOn``."""

    hidden = ("rows",)

    def __init__(self, rows: tuple[tuple[str, str], ...], total: int) -> None:
        self.rows: Final = rows
        self.total: Final = total


def parse_contact_list(call: CallResult) -> ContactListPage | None:
    """Return the page in a reply to ``DescribeIntlPhoneEmailList``, or None for an unusable reply."""
    if not isinstance(call.result, Reply):
        return None
    try:
        _, api_code, response = _read(call.result)
    except ValueError:
        return None
    rows, total = response.get("PhoneEmailList"), response.get("TotalCount")
    if api_code is not None or not isinstance(rows, list) or type(total) is not int:
        return None
    if not all(isinstance(row, dict) and isinstance(row.get("Code"), str) for row in rows):
        return None
    return ContactListPage(tuple((row["Code"], str(row.get("CreatedOn"))) for row in rows), total)


def _read(reply: Reply) -> tuple[str, str | None, dict[str, Any]]:
    """Return the request id, the error's code (None without an error) and the object ``Response``.

    Raises ValueError for an unusable reply.
    """
    if reply.status != 200:
        raise ValueError(f"HTTP status {reply.status}")
    document = strict_json.loads(reply.body)
    response = document.get("Response") if isinstance(document, dict) else None
    if not isinstance(response, dict):
        raise ValueError("no Response object")  # noqa: TRY004  the reply is wrong, not a type in this program
    if "Error" in document:
        raise ValueError("an Error outside the Response")
    request_id = _token(response.get("RequestId"), "no RequestId")
    if "Error" not in response:
        return request_id, None, response
    error = response["Error"]
    code = _token(error.get("Code") if isinstance(error, dict) else None, "an Error without a Code")
    return request_id, code, response


def _token(value: object, message: str) -> str:
    """Return a value that logs and responses may contain unchanged: short, visible ASCII. Raises ValueError."""
    if not isinstance(value, str) or not re.fullmatch(r"[!-~]{1,128}", value):
        raise ValueError(message)
    return value
