"""The check of a TC3-HMAC-SHA256 signature, from the API's own description and not from any SDK.

Source: Tencent Cloud API 3.0, "Signature v3" (TC3-HMAC-SHA256).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from .errors import ApiError

_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/, ]+)/(?P<date>[0-9-]{10})/(?P<service>[a-z0-9]+)/tc3_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
CLOCK_TOLERANCE = 300
"""Seconds that a request's timestamp may be off."""


@dataclass(frozen=True)
class Request:
    """What a signature covers; the headers have lower-case names."""

    method: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def check(
    request: Request, *, keys: Mapping[str, str], tokens: Mapping[str, str], now: float, service: str = "domain"
) -> None:
    """Raises ApiError unless the request is signed, just now, with one of ``keys`` (SecretId to SecretKey).

    ``tokens`` (SecretId to session token) are those that temporary keys need beside them.
    """
    match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    timestamp = request.headers.get("x-tc-timestamp", "")
    if match is None or not re.fullmatch("[0-9]{1,12}", timestamp):
        raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization or X-TC-Timestamp header is malformed.")
    if match["service"] != service or not {"content-type", "host"} <= set(match["signed"].split(";")):
        raise ApiError("AuthFailure.InvalidAuthorization", "The service or the signed headers are wrong.")
    if match["id"] not in keys:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    if (request.headers.get("x-tc-token") or None) != tokens.get(match["id"]):
        raise ApiError("AuthFailure.TokenFailure", "The token does not belong to the SecretId.")
    if abs(now - int(timestamp)) > CLOCK_TOLERANCE:
        raise ApiError("AuthFailure.SignatureExpire", "The timestamp is more than five minutes off.")
    date = f"{datetime.fromtimestamp(int(timestamp), timezone.utc):%Y-%m-%d}"
    text = f"TC3-HMAC-SHA256\n{timestamp}\n{date}/{service}/tc3_request\n{_canonical_digest(request, match['signed'])}"
    key = ("TC3" + keys[match["id"]]).encode()
    for part in (date, service, "tc3_request", text):
        key = hmac.digest(key, part.encode(), "sha256")
    if match["date"] != date or not hmac.compare_digest(match["signature"], key.hex()):
        raise ApiError("AuthFailure.SignatureFailure", "The signature does not match the request.")


def _canonical_digest(request: Request, signed: str) -> str:
    headers = "".join(f"{name}:{request.headers.get(name, '').strip().lower()}\n" for name in signed.split(";"))
    body = hashlib.sha256(request.body).hexdigest()
    canonical = f"{request.method}\n/\n{request.query}\n{headers}\n{signed}\n{body}"
    return hashlib.sha256(canonical.encode()).hexdigest()
