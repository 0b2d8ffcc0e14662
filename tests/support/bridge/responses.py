"""Parse whole responses, and build the problem documents that tests expect."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass
class HttpResponse:
    """A response without the parts that differ at each request or belong to the server.

    ``body`` lacks the members ``request_id`` and ``retry_after``, which were equal to the headers of the same meaning
    (``attempts-exhausted`` has no header), and the delivery's ``id``; ``sent`` has them.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    sent: bytes = field(default=b"", compare=False, repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)


VARYING = {"x-request-id", "server-timing", "date", "server", "connection", "content-length"}


def parse_response(status: int, headers: Any, data: bytes, *, timed: bool = True) -> HttpResponse:
    received = {name.lower(): value for name, value in headers}
    assert "x-request-id" in received
    assert not timed or "server-timing" in received
    kept = {name: value for name, value in received.items() if name not in VARYING}
    return HttpResponse(status, kept, _without_ids(received, data), data)


def _without_ids(headers: dict[str, str], data: bytes) -> bytes:
    """Return the body without the members that describe the request, after a comparison with its headers."""
    if not headers.get("content-type", "").partition(";")[0].endswith("json") or not data.endswith(b"\n"):
        return data
    document = json.loads(data)
    retry_after = document.pop("retry_after", None)
    if document.get("code") == "attempts-exhausted":
        assert isinstance(retry_after, int)
        assert "retry-after" not in headers
    else:
        assert retry_after == (int(headers["retry-after"]) if "retry-after" in headers else None)
    if document.get("code") in ("verified", "sent"):
        document.pop("id", None)
    is_problem = headers["content-type"] == "application/problem+json"
    assert document.pop("request_id", None) == (headers["x-request-id"] if is_problem else None)
    return json.dumps(document).encode() + b"\n"


def problem(
    code: str, status: int, *, retryable: bool, api_request_id: Any = None, errors: Any = None
) -> dict[str, Any]:
    """Return the expected members of a problem document, except its texts."""
    members: dict[str, Any] = {
        "type": f"urn:signup-bridge:problem:{code}",
        "status": status,
        "code": code,
        "retryable": retryable,
    }
    if api_request_id is not None:
        members["api_request_id"] = api_request_id
    if errors is not None:
        members["errors"] = errors
    return members


ABORT = {"content-type": "application/problem+json", "webhook-delivery": "abort-message"}


PROBLEM = {"content-type": "application/problem+json"}


def check_problem(response: HttpResponse, expected: dict[str, Any], headers: dict[str, str]) -> None:
    """Check the whole response: status, headers, every member, and that its texts are not empty."""
    members = response.json
    assert members.pop("title")
    assert members.pop("detail")
    assert replace(response, body=b"") == HttpResponse(expected["status"], headers, b"")
    assert members == expected
