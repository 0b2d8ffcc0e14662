"""Test attacks that no other test covers. docs/explanation/security.md names the test of each attack."""

from __future__ import annotations

import hmac
import json
import socket
import stat
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import Delivery, IdempotencyKey
from signup_bridge.inbound import signatures
from signup_bridge.inbound.payload_mapping import PRESETS
from signup_bridge.inbound.signatures import SignatureInvalid
from signup_bridge.ledger.keys import Hasher

from signup_emulator.server import Emulator
from tests.support.bridge.event_builders import CONTEXT
from tests.support.bridge.instances import bridge, calls, gunicorn, post
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.network.upstream import SUCCESS, Upstream, reply, send

# -- authentication --


def test_unsigned_flood_reaches_neither_api_nor_ledger(emulator: Emulator, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    with gunicorn(emulator.url, tmp_path / "log", LEDGER_URL=f"sqlite:///{ledger}") as url:
        before = ledger.stat().st_mtime_ns, (tmp_path / "ledger.db-wal").stat().st_size
        statuses: list[int] = []

        def flood() -> None:
            with requests.Session() as session:
                statuses.extend(session.post(url, data=body(), timeout=60).status_code for _ in range(20))

        threads = [threading.Thread(target=flood) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [401] * 320
        assert (ledger.stat().st_mtime_ns, (tmp_path / "ledger.db-wal").stat().st_size) == before
        assert calls(emulator) == []
        assert post(url, body()).json["code"] == "verified"


@pytest.mark.parametrize("right", [None, 0, 2])
def test_every_secret_is_compared_regardless_of_match(monkeypatch: pytest.MonkeyPatch, right: int | None) -> None:
    """The duration of the check reveals neither how much of a guess was right nor which secret matched."""
    compared: list[bytes] = []
    real = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(other)
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    secrets, data = (b"one secret", b"two secrets", b"3 secrets"), body()
    of = b"a stranger's" if right is None else secrets[right]
    signature = {"x-hub-signature-256": f"sha256={hmac.digest(of, data, 'sha256').hex()}"}
    token = {"authorization": f"Bearer {of.decode()}"}
    for verify, headers in ((signatures.github(secrets), signature), (signatures.bearer(secrets), token)):
        compared.clear()
        try:
            verify(headers, data)
        except SignatureInvalid:
            assert right is None
        assert len(compared) == len(secrets)


def test_signature_of_one_request_is_not_valid_for_another(emulator: Emulator) -> None:
    """A captured query is not a delivery, nor a delivery a query, and a delivery at another route is the same one."""
    bridged = bridge(emulator.url)
    data = body()
    asked, delivered = signed(b""), signed(data)
    assert bridged.post(data, asked).status == 401
    assert bridged.client.get("/deliveries/x", headers=delivered, data=data).status_code == 401
    assert bridged.post(data, delivered).status == 200
    again = bridged.post(data, delivered, path="/")
    assert again.headers["idempotent-replayed"] == "true"
    assert len(calls(emulator)) == 1


# -- request bodies --


def test_contact_spellings_share_wrong_code_limit(emulator: Emulator) -> None:
    bridged = bridge(emulator.url, MAX_WRONG_CODES=3)
    spellings = [PHONE, f"+86 {PHONE}", f"0086-{PHONE[:3]}-{PHONE[3:]}", f"({PHONE})"]
    codes = [bridged.deliver(contact=one, verify_code=f"00000{at}").json["code"] for at, one in enumerate(spellings)]
    assert codes == ["code-incorrect"] * 3 + ["attempts-exhausted"]


ODD = [
    b"[" * 8000, b'{"user":' * 1500 + b"1" + b"}" * 1500, b'{"user":' * 400 + b"1" + b"}" * 400,
    b"9" * 5000, b'{"type":' + b"9" * 5000 + b"}", b'{"type":1e99999,"data":-0.0}', b'{"data":NaN}', b"Infinity",
    b'{"user":{"email":"a@b.co","email":"c@d.co"}}', b"null", b"0", b'"data"', b"[]", b'{"data":[]}', b'{"data":{}}',
    b'{"user":[{"email":{}}]}', b'{"data":{"object":[[]],"phone_numbers":{"0":"1"}}}',
    b'{"id":"\\ud800","source":"\\udfff","data":{"contact":"\\ud800@b.co","verify_code":"\\ud800","type":"\\ud800"}}',
    b'{"user":{"email":"\\ud800@b.co","user_metadata":{"verify_code":"1234\\udc00"}}}',
    b"\xff\xfe{}", b"\xef\xbb\xbf{}",
]  # fmt: skip


@pytest.mark.parametrize("preset", [*PRESETS, None])
@pytest.mark.parametrize("media_type", ["application/json", "application/cloudevents+json"])
def test_unusual_body_is_rejected_without_internal_error(
    emulator: Emulator, preset: str | None, media_type: str
) -> None:
    mapped: dict[str, Any] = {"PAYLOAD_PRESET": preset} if preset else {}
    bridged = bridge(emulator.url, WEBHOOK_AUTH="bearer", WEBHOOK_SECRETS="a-token-of-the-test", **mapped)
    headers = {"Authorization": "Bearer a-token-of-the-test", "Content-Type": media_type}
    for data in ODD:
        for more in ({}, {"ce-id": "1", "ce-source": "\xe9"}, {"ce-id": ""}):
            assert bridged.post(data, headers | more).status in (400, 422), data[:80]
        record = {"topic": "t", "partition": 0, "offset": 1, "msgBody": data.decode("utf-8", "replace")}
        (ended,) = bridged.events.handle({"Records": [{"Ckafka": record}]}, CONTEXT)["ends"]
        assert ended in ("body-malformed", "body-invalid")
    assert calls(emulator) == []


def test_request_cannot_change_api_address(emulator: Emulator) -> None:
    with Upstream(send(reply(SUCCESS))) as trap:
        bridged = bridge(emulator.url)
        inner = json.loads(body(DOMAIN_API_URL=trap.url, callback=trap.url))
        event = {"id": "1", "source": trap.url, "dataschema": trap.url, "dataref": trap.url, "data": inner}
        data = json.dumps(event).encode()
        headers = signed(data) | {"Content-Type": "application/cloudevents+json"}
        names = (
            "Host",
            "Forwarded",
            "X-Forwarded-Host",
            "X-Forwarded-For",
            "X-Original-Url",
            "Referer",
            "X-Scf-Region",
        )
        where = trap.url.removeprefix("http://")
        response = bridged.post(data, headers | dict.fromkeys(names, where), path="/")
        assert response.json["code"] == "verified"
        assert trap.connections == 0


# -- logs and ledgers --


def test_request_cannot_forge_log_lines(emulator: Emulator, tmp_path: Path) -> None:
    """For any input, each log line is one JSON object without control characters."""
    forged = 'x"},\n{"level": "ERROR", "message": "forged"}\r\n\x1b[31m\u2028'
    with gunicorn(emulator.url, tmp_path / "log") as url:
        for data in (
            body(type="email", contact='forged"},{"@exa"mple.com'),
            body(type="email", contact=f"a@b.co{forged}"),
            body(contact=forged, verify_code=forged, type=forged),
            json.dumps({forged: forged}).encode(),
        ):
            post(url, data)
        parts = urlsplit(url)
        for name in ("X-Scf-Request-Id", "traceparent", "webhook-id", "Host", "User-Agent", "ce-id"):
            for value in ("a\x1b[31mforged", '"},{"message":"forged"}', "\xe2\x80\xa8forged", "forged\r\n forged"):
                with socket.create_connection((parts.hostname, parts.port or 80), timeout=60) as connection:
                    head = f"POST /forged HTTP/1.1\r\n{name}: {value}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    connection.sendall(head.encode("latin-1"))
                    assert b"HTTP/1.1 2" not in connection.recv(65_536)
    written = (tmp_path / "log").read_bytes()
    lines = [json.loads(line) for line in written.split(b"\n")[:-1]]
    assert not [byte for byte in written if (byte < 32 and byte != 10) or byte > 126]
    assert {line["level"] for line in lines} <= {"INFO", "WARNING"}
    assert not [line for line in lines if "forged" in line["message"] or "forged" in line.get("request_id", "")]


def test_stolen_ledger_reveals_nothing_without_key(emulator: Emulator, tmp_path: Path) -> None:
    """Pairs of contact and code can be guessed only with the key, which is in a separate file or in the settings."""
    ledger = tmp_path / "ledger.db"
    bridged = bridge(emulator.url, LEDGER_URL=f"sqlite:///{ledger}")
    assert bridged.deliver().status == 200
    key = (tmp_path / "ledger.db.key").read_bytes()
    stolen = b"".join(path.read_bytes() for path in tmp_path.glob("ledger.db*") if path.suffix != ".key")
    delivery = Delivery(Contact(ContactType.PHONE, PHONE), CODE, IdempotencyKey("signed", "x"))
    assert Hasher(key).keys(delivery).content in stolen
    assert key not in stolen
    for guess in (b"", b"0" * 64, b"signup-bridge"):
        assert Hasher(guess).keys(delivery).content not in stolen
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("ledger.db*")} == {0o600}
