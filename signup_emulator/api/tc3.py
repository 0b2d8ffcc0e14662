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

from .account.error_codes import ApiError

_AUTHORIZATION = re.compile(
    r"TC3-HMAC-SHA256 Credential=(?P<id>[^/, ]+)/(?P<date>[0-9-]{10})/(?P<service>[a-z0-9:-]+)/tc3_request, ?"
    r"SignedHeaders=(?P<signed>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
"""The value of X-TC-Content-SHA256 that is signed in place of the body (an SDK's unsignedPayload)."""

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
    request: Request,
    *,
    keys: Mapping[str, str],
    tokens: Mapping[str, str],
    now: float,
    service: str = "domain",
    any_host: bool = False,
) -> None:
    """Raises ApiError unless the request is signed, just now, with one of ``keys`` (SecretId to SecretKey).

    ``tokens`` (SecretId to session token) are those that temporary keys need beside them. ``any_host``: the host may
    be signed without its port, and its first part as the service.
    """
    if "authorization" not in request.headers:
        message = "The Authorization header is missing: sign with TC3-HMAC-SHA256 (an SDK's signMethod)."
        raise ApiError("AuthFailure.InvalidAuthorization", message)
    match = _AUTHORIZATION.fullmatch(request.headers.get("authorization", ""))
    timestamp = request.headers.get("x-tc-timestamp", "")
    if match is None or not re.fullmatch("[0-9]{1,12}", timestamp):
        raise ApiError("AuthFailure.InvalidAuthorization", "The Authorization or X-TC-Timestamp header is malformed.")
    host = request.headers.get("host", "")
    services, hosts = {service}, {host}
    if any_host:
        services.add(host.lower().partition(".")[0])
        hosts.add(host.rpartition(":")[0] or host)
    if match["service"] not in services or not {"content-type", "host"} <= set(match["signed"].split(";")):
        raise ApiError("AuthFailure.InvalidAuthorization", "The service or the signed headers are wrong.")
    if match["id"] not in keys:
        raise ApiError("AuthFailure.SecretIdNotFound", "The SecretId is not found.")
    if (request.headers.get("x-tc-token") or None) != tokens.get(match["id"]):
        raise ApiError("AuthFailure.TokenFailure", "The token does not belong to the SecretId.")
    if abs(now - int(timestamp)) > CLOCK_TOLERANCE:
        raise ApiError("AuthFailure.SignatureExpire", "The timestamp is more than five minutes off.")
    date = f"{datetime.fromtimestamp(int(timestamp), timezone.utc):%Y-%m-%d}"
    key = ("TC3" + keys[match["id"]]).encode()
    for part in (date, match["service"], "tc3_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    scope = f"TC3-HMAC-SHA256\n{timestamp}\n{date}/{match['service']}/tc3_request"
    texts = [f"{scope}\n{_canonical_digest(request, match['signed'], one)}" for one in hosts]
    signatures = [hmac.digest(key, text.encode(), "sha256").hex() for text in texts]
    if match["date"] != date or not any(hmac.compare_digest(match["signature"], one) for one in signatures):
        raise ApiError("AuthFailure.SignatureFailure", "The signature does not match the request.")


def _canonical_digest(request: Request, signed: str, host: str) -> str:
    values = {**request.headers, "host": host}
    headers = "".join(f"{name}:{values.get(name, '').strip().lower()}\n" for name in signed.split(";"))
    unsigned = request.headers.get("x-tc-content-sha256") == UNSIGNED_PAYLOAD
    body = hashlib.sha256(UNSIGNED_PAYLOAD.encode() if unsigned else request.body).hexdigest()
    canonical = f"{request.method}\n/\n{request.query}\n{headers}\n{signed}\n{body}"
    return hashlib.sha256(canonical.encode()).hexdigest()
