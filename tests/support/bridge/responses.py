"""Whole responses, and the problem documents that are expected of the bridge."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any


@dataclass
class HttpResponse:
    """A response without the headers that differ at each request or belong to the server."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


VARYING = {"x-request-id", "server-timing", "date", "server", "connection", "content-length"}


def parse_response(status: int, headers: Any, data: bytes, *, timed: bool = True) -> HttpResponse:
    assert "x-request-id" in {name.lower() for name, _ in headers}
    assert not timed or "server-timing" in {name.lower() for name, _ in headers}
    kept = {name.lower(): value for name, value in headers if name.lower() not in VARYING}
    return HttpResponse(status, kept, data)


def problem(code: str, status: int, *, retryable: bool, request_id: Any = None, errors: Any = None) -> dict[str, Any]:
    """A problem document's members less its texts."""
    members: dict[str, Any] = {
        "type": f"urn:signup-bridge:problem:{code}",
        "status": status,
        "code": code,
        "retryable": retryable,
    }
    if request_id is not None:
        members["request_id"] = request_id
    if errors is not None:
        members["errors"] = errors
    return members


ABORT = {"content-type": "application/problem+json", "webhook-delivery": "abort-message"}


PROBLEM = {"content-type": "application/problem+json"}


def check_problem(response: HttpResponse, expected: dict[str, Any], headers: dict[str, str]) -> None:
    """Check the whole response: status, headers, every member; its texts are not empty."""
    members = response.json
    assert members.pop("title")
    assert members.pop("detail")
    assert replace(response, body=b"") == HttpResponse(expected["status"], headers, b"")
    assert members == expected
