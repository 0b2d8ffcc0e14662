"""Check a TC3-HMAC-SHA256 signature as the API documents it, without an SDK.

Source: Tencent Cloud API 3.0, "Signature v3" (TC3-HMAC-SHA256).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone

from .account.error_codes import ApiError

_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/, ]+)/(?P<date>[0-9-]{10})/(?P<service>[a-z0-9:-]+)/tc3_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""The value of X-TC-Content-SHA256 that replaces the body in the signature (an SDK's unsignedPayload)."""

CLOCK_TOLERANCE = 300
"""The seconds by which a request's timestamp may differ from the clock."""


@dataclass(frozen=True)
class SignedRequest:
    """The parts of a request that a signature covers. The header names are in lower case."""

    method: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def check(
    request: SignedRequest,
    *,
    keys: Mapping[str, str],
    tokens: Mapping[str, str],
    now: float,
    service: str = "domain",
    any_host: bool = False,
) -> None:
    """Check that the request was signed within the clock tolerance by one of ``keys`` (SecretId to SecretKey).

    ``tokens`` maps the SecretId of each temporary key to its session token. ``any_host`` accepts a signature whose
    host has no port, or whose service is the host's first label. Raises ApiError.
    """
    match, timestamp = _parse_headers(request)
    host = request.headers.get("host", "")
    services, hosts = {service}, {host}
    if any_host:
        services.add(host.lower().partition(".")[0])
        hosts.add(host.rpartition(":")[0] or host)
    if match["service"] not in services or not {"content-type", "host"} <= set(match["signed"].split(";")):
        raise ApiError("AuthFailure.InvalidAuthorization", "The service or the list of signed headers is wrong.")
    if match["id"] not in keys:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId does not exist.")
    if (request.headers.get("x-tc-token") or None) != tokens.get(match["id"]):
        raise ApiError("AuthFailure.TokenFailure", "The token does not belong to the SecretId.")
    if abs(now - timestamp) > CLOCK_TOLERANCE:
        raise ApiError("AuthFailure.SignatureExpire", "The timestamp is more than five minutes off.")
    date = f"{datetime.fromtimestamp(timestamp, timezone.utc):%Y-%m-%d}"
    signatures = [_sign(request, match, keys[match["id"]], date, host) for host in hosts]
    if match["date"] != date or not any(hmac.compare_digest(match["signature"], one) for one in signatures):
        raise ApiError("AuthFailure.SignatureFailure", "The signature does not match the request.")


def _parse_headers(request: SignedRequest) -> tuple[re.Match[str], int]:
    """Return the parts of the Authorization header, and the timestamp. Raises ApiError."""
    if "authorization" not in request.headers:
        message = "The Authorization header is missing. Sign with TC3-HMAC-SHA256 (an SDK's signMethod)."
        raise ApiError("AuthFailure.InvalidAuthorization", message)
    match = _AUTHORIZATION.fullmatch(request.headers["authorization"])
    timestamp = request.headers.get("x-tc-timestamp", "")
    if match is None or not re.fullmatch("[0-9]{1,12}", timestamp):
        raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization or X-TC-Timestamp header is malformed.")
    return match, int(timestamp)


def _sign(request: SignedRequest, match: re.Match[str], secret_key: str, date: str, host: str) -> str:
    """Return the expected signature of the request for ``host``."""
    key = f"TC3{secret_key}".encode()
    for part in (date, match["service"], "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    scope = f"{date}/{match['service']}/tc3_request"
    digest = _canonical_digest(request, match["signed"], host)
    text = f"TC3-HMAC-SHA256\n{request.headers['x-tc-timestamp']}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()


def _canonical_digest(request: SignedRequest, signed: str, host: str) -> str:
    values = {**request.headers, "host": host}
    headers = "".join(f"{name}:{values.get(name, '').strip().lower()}\n" for name in signed.split(";"))
    unsigned = request.headers.get("x-tc-content-sha256") == UNSIGNED_PAYLOAD
    body = hashlib.sha256(UNSIGNED_PAYLOAD.encode() if unsigned else request.body).hexdigest()
    canonical = f"{request.method}\n/\n{request.query}\n{headers}\n{signed}\n{body}"
    return hashlib.sha256(canonical.encode()).hexdigest()
