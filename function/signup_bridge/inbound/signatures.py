"""Verify the signature or token of a request.

Headers and body are untrusted. Every comparison with a secret takes constant time.
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable
from typing import Protocol

from signup_bridge.core.clock import Clock
from signup_bridge.core.outcomes import SIGNATURE_INVALID, RequestRejected

_ID = re.compile(rb"[\x21-\x2d\x2f-\x7e]{1,256}")  # visible ASCII without the dot, which separates the signed parts
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_HEADER_PREFIXES = ("webhook", "svix")

# The separator is a space, ", " from Supabase, and a comma in a repeated header (RFC 9110, section 5.3).
_SIGNATURES = re.compile(rb"(?:^|[ ,])v1,([^ ,]+)")
_GITHUB_SIGNATURES = rb"(?:^|[ ,])sha256=([^ ,]+)"


class SignatureInvalid(RequestRejected):
    """The signature or token is missing or invalid. ``reason`` names the failed check, without values, for the log."""

    def __init__(self, reason: str) -> None:
        super().__init__(SIGNATURE_INVALID)
        self.reason = reason


class Headers(Protocol):
    """A mapping of case-insensitive header names to values, decoded as in WSGI (PEP 3333: Latin-1)."""

    def get(self, name: str, /) -> str | None: ...


Verifier = Callable[[Headers, bytes], str | None]
"""Verifies the signature of headers and body, and returns the signed delivery id, if any. Raises SignatureInvalid."""


def verifier(webhook_auth: str, keys: tuple[bytes, ...], *, tolerance: float, clock: Clock) -> Verifier:
    """Return the verifier for a value of ``WEBHOOK_AUTH``, which accepts any of the keys. Raises ValueError."""
    match webhook_auth:
        case "standard-webhooks":
            return standard_webhooks(keys, tolerance=tolerance, clock=clock)
        case "none":
            return accept_any
        case "github":
            return github(keys)
        case "bearer":
            return bearer(keys)
    raise ValueError(f"WEBHOOK_AUTH: {webhook_auth} is not supported")


def standard_webhooks(secrets: tuple[bytes, ...], *, tolerance: float, clock: Clock) -> Verifier:
    """Return the verifier of Standard Webhooks 1.0, with its own header names or Svix's.

    ``tolerance`` is the maximum age of a timestamp in seconds, and the maximum time that it may be ahead.
    Source: https://github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.
    """

    def verify(headers: Headers, body: bytes) -> str | None:
        reason = "no signature headers"
        for prefix in _HEADER_PREFIXES:
            delivery_id, timestamp, signatures = (
                _bytes(headers.get(f"{prefix}-{name}")) for name in ("id", "timestamp", "signature")
            )
            if delivery_id and timestamp and signatures:
                reason = check(delivery_id, timestamp, signatures, body)
                if not reason:
                    return delivery_id.decode()
        raise SignatureInvalid(reason)

    def check(delivery_id: bytes, timestamp: bytes, signatures: bytes, body: bytes) -> str:
        """Return the failed check, or an empty string."""
        if not _ID.fullmatch(delivery_id):
            return "malformed id"
        if not _TIMESTAMP.fullmatch(timestamp):
            return "malformed timestamp"
        if abs(clock.time() - int(timestamp)) > tolerance:
            return "timestamp outside the tolerance"
        received = _SIGNATURES.findall(signatures)
        signed = b".".join((delivery_id, timestamp, body))
        expected = [base64.b64encode(hmac.digest(secret, signed, "sha256")) for secret in secrets]
        return "" if _any_equal(received, expected) else "no signature matches"

    return verify


def github(secrets: tuple[bytes, ...]) -> Verifier:
    """Return the verifier of ``X-Hub-Signature-256: sha256=<hex>``, which covers only the body, no id and no time.

    Source: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
    """

    def verify(headers: Headers, body: bytes) -> str | None:
        signatures = _bytes(headers.get("x-hub-signature-256"))
        if not signatures:
            raise SignatureInvalid("no signature headers")
        received = [one.lower() for one in re.findall(_GITHUB_SIGNATURES, signatures)]
        expected = [hmac.digest(secret, body, "sha256").hex().encode() for secret in secrets]
        if not _any_equal(received, expected):
            raise SignatureInvalid("no signature matches")
        return None

    return verify


def bearer(secrets: tuple[bytes, ...]) -> Verifier:
    """Return the verifier of ``Authorization: Bearer <token>`` (RFC 6750), which does not cover the body."""

    def verify(headers: Headers, _body: bytes) -> str | None:
        scheme, _, token = _bytes(headers.get("authorization")).partition(b" ")
        if scheme.lower() != b"bearer":
            raise SignatureInvalid("no bearer token")
        if not _any_equal([token.strip()], secrets):
            raise SignatureInvalid("no token matches")
        return None

    return verify


def accept_any(_headers: Headers, _body: bytes) -> str | None:
    """Accept every request: ``WEBHOOK_AUTH=none``."""
    return None


def _bytes(value: str | None) -> bytes:
    """Return the header's bytes; no bytes if the value cannot come from HTTP."""
    try:
        return (value or "").encode("latin-1")
    except UnicodeEncodeError:
        return b""


def _any_equal(received: list[bytes], expected: list[bytes] | tuple[bytes, ...]) -> bool:
    return sum(hmac.compare_digest(one, other) for one in received for other in expected) > 0  # never stops early
