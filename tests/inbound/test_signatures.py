from __future__ import annotations

import base64
import hashlib
import hmac
import time
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from signup_bridge.inbound import signatures
from signup_bridge.inbound.signatures import SignatureInvalid, Verifier
from signup_bridge.setting_parsers import standard_webhooks_key
from signup_bridge.settings import WEBHOOK_AUTHS
from standardwebhooks import Webhook

from signup_emulator.server import Emulator
from tests.support.bridge.clocks import SetClock
from tests.support.bridge.instances import bridge, calls
from tests.support.bridge.signed_requests import SECRET, body, signed

OTHER = "whsec_" + base64.b64encode(b"another secret, 32 bytes in all.").decode()
DATA = b'{"test": 2432232314}'
VECTOR = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def verifier(*secrets: str, at: float | None = None, tolerance: float = 300) -> Verifier:
    clock = SetClock()
    clock.wall = 0 if at is None else at - time.time()
    keys = tuple(standard_webhooks_key(secret) for secret in secrets or (SECRET,))
    return signatures.standard_webhooks(keys, tolerance=tolerance, clock=clock)


def refused(verify: Verifier, headers: Any, data: bytes = DATA) -> str:
    with pytest.raises(SignatureInvalid) as raised:
        verify(headers, data)
    return raised.value.reason


@pytest.mark.parametrize("webhook_auth", WEBHOOK_AUTHS)
def test_verifier_of_each_webhook_auth_is_its_own(webhook_auth: str) -> None:
    verify = signatures.verifier(webhook_auth, (b"k" * 32,), tolerance=300, clock=SetClock())
    if webhook_auth == "none":
        assert verify({}, DATA) is None
    else:
        expected = "no bearer token" if webhook_auth == "bearer" else "no signature headers"
        assert refused(verify, {}) == expected
    assert webhook_auth.replace("-", "_") in verify.__qualname__ or verify is signatures.accept_any


def test_verifier_of_an_unknown_webhook_auth_is_an_error() -> None:
    with pytest.raises(ValueError, match="WEBHOOK_AUTH: hmac is not supported"):
        signatures.verifier("hmac", (), tolerance=300, clock=SetClock())


def test_official_vector_is_accepted() -> None:
    assert verifier(at=1614265330)(VECTOR, DATA) == "msg_p5jXN8AQM9LWM0D4loKWxJek"


@pytest.mark.parametrize("secret", [SECRET, f"v1,{SECRET}"])
def test_secret_in_both_formats_is_accepted(secret: str) -> None:
    assert verifier(secret)(signed(DATA), DATA)


def test_svix_headers_are_accepted() -> None:
    headers = {name.replace("webhook-", "svix-"): value for name, value in signed(DATA, delivery_id="msg_1").items()}
    assert verifier()(headers, DATA) == "msg_1"


def test_one_valid_header_set_of_two_is_enough() -> None:
    good, bad = signed(DATA, delivery_id="msg_good"), signed(b"{}", delivery_id="msg_bad")
    svix = {name.replace("webhook-", "svix-"): value for name, value in good.items()}
    assert verifier()(bad | svix, DATA) == "msg_good"


def test_any_of_several_secrets_is_accepted() -> None:
    for secret in (SECRET, OTHER):
        assert verifier(OTHER, SECRET)(signed(DATA, secret=secret), DATA)
    assert refused(verifier(OTHER), signed(DATA)) == "no signature matches"


@pytest.mark.parametrize("joint", [" ", ", ", ",", " , ", "  "])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_any_of_several_signatures_is_accepted(joint: str, position: int) -> None:
    headers = signed(DATA)
    several = ["v1,bm90IHRoaXMgb25l", "v1a,bm90IHRoaXMga2luZA=="]
    several.insert(position, headers["webhook-signature"])
    assert verifier()(headers | {"webhook-signature": joint.join(several)}, DATA)
    several.remove(headers["webhook-signature"])
    assert refused(verifier(), headers | {"webhook-signature": joint.join(several)}) == "no signature matches"


@pytest.mark.parametrize("joint", [" ", ", ", ","])
def test_parts_of_several_signatures_are_rejected(joint: str) -> None:
    """No entry of the list is composed of two entries or read under another scheme."""
    headers = signed(DATA)
    text = headers["webhook-signature"].removeprefix("v1,")
    for several in (["v1", text], ["v1a", text], [f"v1,{text[:9]}", text[9:]], [f"v1,{text[:9]}", f"v1,{text[9:]}"],
                    [f"v2,{text}", "v1,"], [f"v1a,{text}", "v1,bm90IHRoaXMgb25l"]):  # fmt: skip
        if joint.join(several) != headers["webhook-signature"]:
            assert refused(verifier(), headers | {"webhook-signature": joint.join(several)}) == "no signature matches"


@pytest.mark.parametrize(("age", "accepted"), [(299, True), (-299, True), (302, False), (-302, False)])
def test_timestamp_outside_the_tolerance_is_rejected_both_ways(age: float, accepted: bool) -> None:
    now = 1_700_000_000
    headers = signed(DATA, at=now - age)
    if accepted:
        assert verifier(at=now)(headers, DATA)
    else:
        assert refused(verifier(at=now), headers) == "timestamp outside the tolerance"


class Stopped(SetClock):
    def time(self) -> float:
        return 1_700_000_000.0


@pytest.mark.parametrize("age", [-300, 300])
def test_timestamp_at_the_tolerance_is_accepted(age: int) -> None:
    verify = signatures.standard_webhooks((standard_webhooks_key(SECRET),), tolerance=300, clock=Stopped())
    assert verify(signed(DATA, at=1_700_000_000 - age), DATA)
    beyond = signed(DATA, at=1_700_000_000 - age - age // 300)
    assert refused(verify, beyond) == "timestamp outside the tolerance"


def sign(delivery_id: str, timestamp: str) -> dict[str, str]:
    """Return headers of a sender that signs any id."""
    key = standard_webhooks_key(SECRET)
    digest = hmac.digest(key, f"{delivery_id}.{timestamp}.".encode("latin-1") + DATA, "sha256")
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": "v1," + base64.b64encode(digest).decode(),
    }


@pytest.mark.parametrize("delivery_id", ["msg.1", "msg 1", "msg\x7f", "ümsg", "m" * 257])
def test_malformed_id_is_rejected(delivery_id: str) -> None:
    headers = sign(delivery_id, str(int(time.time())))
    assert refused(verifier(), headers) == "malformed id"


@pytest.mark.parametrize("form", ["{}.5", "+{}", "{}e0", " {}", "-{}", "0x{}", "{}_0", "٣", "1" * 13])
def test_malformed_timestamp_is_rejected(form: str) -> None:
    timestamp = form.format(int(time.time()))
    headers = {**signed(DATA), "webhook-timestamp": timestamp}
    if timestamp.isascii():
        headers |= sign("msg_1", timestamp)
    assert refused(verifier(), headers) in ("malformed timestamp", "no signature headers")


@pytest.mark.parametrize("missing", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_missing_signature_header_is_rejected(missing: str) -> None:
    headers = signed(DATA)
    del headers[missing]
    assert refused(verifier(), headers) == "no signature headers"
    assert refused(verifier(), headers | {missing: ""}) == "no signature headers"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_header_that_http_cannot_carry_counts_as_missing(name: str) -> None:
    assert refused(verifier(), signed(DATA) | {name: "٣"}) == "no signature headers"


@pytest.mark.parametrize(
    "signature",
    ["", "v1", "v1,", "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v2,{}", "v1,{}=", "v1, {}", "v1,,{}", "V1,{}"],
)
def test_malformed_signature_is_rejected(signature: str) -> None:
    headers = signed(DATA)
    text = headers["webhook-signature"].removeprefix("v1,")
    assert refused(verifier(), headers | {"webhook-signature": signature.format(text)})


def test_changed_body_id_or_time_is_rejected() -> None:
    headers = signed(DATA)
    assert refused(verifier(), headers, DATA + b" ") == "no signature matches"
    assert refused(verifier(), headers | {"webhook-id": "msg_other"}) == "no signature matches"
    later = str(int(headers["webhook-timestamp"]) + 1)
    assert refused(verifier(), headers | {"webhook-timestamp": later}) == "no signature matches"


def test_github_signature_is_verified() -> None:
    verify = signatures.github((b"old secret", b"It's a Secret to Everybody"))
    # The example in GitHub's documentation.
    known = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert verify({"x-hub-signature-256": known}, b"Hello, World!") is None
    first = "sha256=" + hmac.digest(b"old secret", b"Hello, World!", "sha256").hex()
    assert verify({"x-hub-signature-256": first}, b"Hello, World!") is None
    for joint in (",", ", ", " "):
        for several in ([known, "sha256=" + "0" * 64], ["sha256=00", "sha1=00", known]):
            assert verify({"x-hub-signature-256": joint.join(several)}, b"Hello, World!") is None
            assert refused(verify, {"x-hub-signature-256": joint.join(several)}, b"Hello, World?")
        halves = joint.join((known[:20], known[20:]))
        assert refused(verify, {"x-hub-signature-256": halves}, b"Hello, World!") == "no signature matches"
    shouted = "sha256=" + known.removeprefix("sha256=").upper()
    assert verify({"x-hub-signature-256": shouted}, b"Hello, World!") is None
    for unlike in (known.upper(), known.replace("=", ""), f"x{known}", f"{known}0", f"sha256={known}"):
        assert refused(verify, {"x-hub-signature-256": unlike}, b"Hello, World!") == "no signature matches"
    assert refused(verify, {"x-hub-signature-256": known}, b"Hello, World?") == "no signature matches"
    assert refused(verify, {"x-hub-signature-256": known.removeprefix("sha256=")}, b"Hello, World!")
    sha1 = "sha1=" + hmac.new(b"old secret", b"Hello, World!", hashlib.sha1).hexdigest()
    assert refused(verify, {"x-hub-signature-256": sha1}, b"Hello, World!")
    assert refused(verify, {}) == "no signature headers"


def test_bearer_token_is_verified() -> None:
    verify = signatures.bearer((b"old-token", b"new-token"))
    assert verify({"authorization": "Bearer new-token"}, DATA) is None
    assert verify({"authorization": "bearer  old-token"}, DATA) is None
    assert refused(verify, {"authorization": "Bearer new-toke"}) == "no token matches"
    for wrong in ("Bearer", "Bearer ", "Bearer new-token,old-token"):
        assert refused(verify, {"authorization": wrong}) == "no token matches"
    for other in ("Basic new-token", "Token new-token", "Bearers new-token", "new-token", "Bearer٣ new-token"):
        assert refused(verify, {"authorization": other}) == "no bearer token"
    assert refused(verify, {}) == "no bearer token"


@pytest.mark.parametrize(
    ("settings", "headers"),
    [
        ({}, None),
        ({"WEBHOOK_AUTH": "bearer", "WEBHOOK_SECRETS": "a-token"}, {"Authorization": "Bearer a-token"}),
        ({"WEBHOOK_AUTH": "none", "WEBHOOK_SECRETS": ""}, {}),
        (
            {"WEBHOOK_AUTH": "github", "WEBHOOK_SECRETS": "a-secret"},
            {"X-Hub-Signature-256": "sha256=" + hmac.digest(b"a-secret", body(), "sha256").hex()},
        ),
    ],
    ids=["standard-webhooks", "bearer", "none", "github"],
)
def test_each_scheme_over_http_is_verified(
    emulator: Emulator, settings: dict[str, Any], headers: dict[str, str] | None
) -> None:
    bridged = bridge(emulator.url, **settings)
    if headers != {}:
        assert bridged.post(body(), {}).json["code"] == "signature-invalid"
    assert bridged.post(body(), headers).json["code"] == "verified"
    assert len(calls(emulator)) == 1


texts = st.text(st.characters(max_codepoint=255)) | st.binary().map(lambda data: data.decode("latin-1"))
names = st.sampled_from(
    [f"{prefix}-{name}" for prefix in ("webhook", "svix") for name in ("id", "timestamp", "signature")]
    + ["x-hub-signature-256", "authorization"]
)
nearly = st.sampled_from([f"v1,{VECTOR['webhook-signature']}", "v1,é", "Bearer é", "sha256=é", "1614265330", "msg_1"])


@given(headers=st.dictionaries(names, texts | nearly | st.text()), data=st.binary())
def test_any_header_bytes_are_rejected_without_another_error(headers: dict[str, str], data: bytes) -> None:
    for verify in (verifier(), signatures.github((b"secret",)), signatures.bearer((b"secret",))):
        refused(verify, headers, data)


@given(data=st.text().map(str.encode), delivery_id=st.from_regex(r"[!-\-/-~]{1,256}", fullmatch=True))
def test_any_signature_of_the_package_is_accepted(data: bytes, delivery_id: str) -> None:
    now = datetime.now(timezone.utc)
    signature = Webhook(OTHER).sign(delivery_id, now, data.decode())
    headers = {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }
    assert verifier(OTHER)(headers, data) == delivery_id
