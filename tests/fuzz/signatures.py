"""Fuzz each verifier with headers and a body: it accepts exactly the signed requests.

An input is written like a request: lines of ``name: value``, an empty line, the body. ``{sign}`` in a value is
replaced by the valid signature, so that the fuzzer also reaches the code after the comparison.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Callable
from typing import NamedTuple

from signup_bridge.core.clock import SystemClock
from signup_bridge.inbound import signatures
from signup_bridge.inbound.signatures import SignatureInvalid

from tests.support import ROOT

NOW = 1_614_265_330
TOLERANCE = 300
OFFICIAL = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEYS = (base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), b"It's a Secret to Everybody")
"""The keys in the documentation of Standard Webhooks and GitHub. `OFFICIAL` is the former's example signature."""


class Stopped(SystemClock):
    def time(self) -> float:
        return NOW


class Request(NamedTuple):
    headers: dict[str, str]
    body: bytes

    @classmethod
    def read(cls, data: bytes) -> Request:
        head, _, body = data.partition(b"\n\n")
        try:
            text = head.decode()
        except UnicodeDecodeError:
            text = head.decode("latin-1")
        lines = (line.partition(": ") for line in text.split("\n"))
        return cls({name.lower(): value for name, _, value in lines}, body)

    def signed(self) -> Request:
        """Return the request with ``{sign}`` replaced."""
        headers = dict(self.headers)
        for name, value in headers.items():
            if "{sign}" in value:
                headers[name] = value.replace("{sign}", self._signature(name))
        return Request(headers, self.body)

    def _signature(self, name: str) -> str:
        if name == "x-hub-signature-256":
            return hmac.new(KEYS[1], self.body, hashlib.sha256).hexdigest()
        if name == "authorization":
            return KEYS[1].decode()
        covered = (self.headers.get(f"{name.partition('-')[0]}-{of}", "") for of in ("id", "timestamp"))
        return _sign(".".join(covered).encode("latin-1", "replace") + b"." + self.body)


def _sign(data: bytes, key: bytes = KEYS[0]) -> str:
    return base64.b64encode(hmac.new(key, data, hashlib.sha256).digest()).decode()


def signed_ids(request: Request) -> set[str]:
    """Return the ids of all sets of headers that have a valid signature."""
    good = set()
    for prefix in ("webhook", "svix"):
        sent, timestamp, signature = (
            request.headers.get(f"{prefix}-{of}", "") for of in ("id", "timestamp", "signature")
        )
        if not re.fullmatch(r"[!-\-/-~]{1,256}", sent) or not re.fullmatch(r"[0-9]{1,12}", timestamp):
            continue
        right = {"v1," + _sign(f"{sent}.{timestamp}.".encode() + request.body, key) for key in KEYS}
        if abs(NOW - int(timestamp)) <= TOLERANCE and right.intersection(_entries(signature)) and _on_a_wire(signature):
            good.add(sent)
    return good


def _entries(signature: str) -> set[str]:
    """Return each version in a list of signatures with the text after it, for every way to split the list."""
    found = set()
    for chunk in signature.split(" "):
        parts = chunk.split(",")
        while parts:
            version = parts.pop(0)
            if version == "v1" and parts and parts[0]:
                found.add(f"v1,{parts.pop(0)}")
    return found


def _on_a_wire(value: str) -> bool:
    return all(character <= "\xff" for character in value)


def is_githubs(request: Request) -> bool:
    signature = request.headers.get("x-hub-signature-256", "")
    parts = (one.partition("=") for chunk in signature.split(" ") for one in chunk.split(","))
    digests = {hmac.new(key, request.body, hashlib.sha256).hexdigest() for key in KEYS}
    return _on_a_wire(signature) and any(name == "sha256" and digest.lower() in digests for name, _, digest in parts)


def is_bearers(request: Request) -> bool:
    found = re.fullmatch(r"(?i:bearer) (.*)", request.headers.get("authorization", ""), re.DOTALL)
    return found is not None and found[1].encode("latin-1", "replace").strip() in KEYS and _on_a_wire(found[1])


VERIFIERS: tuple[tuple[signatures.Verifier, Callable[[Request], bool]], ...] = (
    (signatures.github(KEYS), is_githubs),
    (signatures.bearer(KEYS), is_bearers),
)


def try_one(data: bytes) -> None:
    request = Request.read(data).signed()
    verify = signatures.standard_webhooks(KEYS, tolerance=TOLERANCE, clock=Stopped())
    right = signed_ids(request)
    try:
        assert verify(request.headers, request.body) in right, "an unsigned request is accepted"
    except SignatureInvalid:
        assert not right, "a signed request is rejected"
    for other, is_right in VERIFIERS:
        try:
            assert other(request.headers, request.body) is None, "an id that no signature covers is returned"
            accepted = True
        except SignatureInvalid:
            accepted = False
        assert accepted is is_right(request), "an unsigned request is accepted, or a signed one is rejected"


def seeds() -> list[bytes]:
    """Return valid signatures of each scheme, and the headers of all vectors."""
    body = b'{"test": 2432232314}'
    good = (
        f"webhook-id: msg_1\nwebhook-timestamp: {NOW}\nwebhook-signature: v1,{{sign}}",
        f"svix-id: msg_1\nsvix-timestamp: {NOW - 300}\nsvix-signature: v1,bm90IHRoaXMgb25l, v1,{{sign}} v1a,eA==",
        f"webhook-id: msg_1\nwebhook-timestamp: {NOW}\nwebhook-signature: v1,bm90IHRoaXMgb25l,v1,{{sign}},v1a,eA==",
        f"webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek\nwebhook-timestamp: {NOW}\nwebhook-signature: {OFFICIAL}",
        "x-hub-signature-256: sha256={sign}",
        "x-hub-signature-256: sha1=00, sha256=0A,sha256={sign}",
        "authorization: Bearer {sign}",
    )
    vectors = [one for path in (ROOT / "tests" / "vectors").glob("*.json") for one in json.loads(path.read_text())]
    heads = ("\n".join(": ".join(header) for header in vector["headers"]) for vector in vectors)
    return [head.encode() + b"\n\n" + body for head in (*good, *heads)]


WORDS = (
    b"webhook-id: ", b"webhook-timestamp: ", b"webhook-signature: ", b"svix-id: ", b"svix-timestamp: ",
    b"svix-signature: ", b"x-hub-signature-256: ", b"authorization: ", b"{sign}", b"v1,", b" v1,", b", v1,", b",v1,",
    b"sha256=", b",sha256=", b"Bearer ", b"1614265330", b"1614265630", b"1614265631", b"\n\n", b"\xc3\xa9", b"\xd9\xa3",
)  # fmt: skip
