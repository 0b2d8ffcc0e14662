"""The contract of the ledger: messages are counted, and let out no more often than their limits permit."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from pathlib import Path

import pytest
from signup_bridge.core.contact import Contact, ContactType
from signup_bridge.core.delivery import CodeRequest, IdempotencyKey
from signup_bridge.ledger import (
    Acquired,
    Claim,
    InFlight,
    KeyMismatch,
    RateLimited,
    Record,
    Replay,
    SendLimit,
    SendLimited,
)
from signup_bridge.ledger.keys import Hasher, Keys
from signup_bridge.service.send_limits import SendLimits

from tests.support.bridge.signed_requests import PHONE
from tests.support.ledgers import FAST, KEY, Engine, Make, keys, sqlite_engine

SENT = Record("sent", "r-1", contact_type=1)
LIMITS = SendLimits(interval=60, per_contact=5, per_prefix=100, per_hour=0, allowed=())


def contact(value: str = PHONE) -> Contact:
    return Contact(ContactType.EMAIL if "@" in value else ContactType.PHONE, value)


def request(name: str, to: str = PHONE) -> Keys:
    return Hasher(KEY).keys(CodeRequest(contact(to), IdempotencyKey("signed", name)))


def limits_for(to: str = PHONE, limits: SendLimits = LIMITS) -> list[SendLimit]:
    return limits.limits_for(contact(to), Hasher(KEY))


def claim(
    engine: Engine,
    name: str,
    to: str = PHONE,
    *,
    limits: SendLimits = LIMITS,
    token: str | None = None,
    wait: float = 6.0,
) -> Claim:
    return engine.ledger.claim_send(
        request(name, to),
        token or secrets.token_hex(8),
        limits=limits_for(to, limits),
        lease=10,
        max_wait=wait,
        deadline=engine.deadline,
    )


def send(engine: Engine, name: str, to: str = PHONE, *, limits: SendLimits = LIMITS) -> None:
    token = secrets.token_hex(8)
    assert isinstance(claim(engine, name, to, limits=limits, token=token), Acquired)
    assert engine.settle(token, SENT, request(name, to))


def refusal(engine: Engine, name: str, to: str = PHONE, *, limits: SendLimits = LIMITS) -> tuple[str, float]:
    """Which guard lets no message out, and the seconds to wait, to the next ten."""
    limited = claim(engine, name, to, limits=limits)
    assert isinstance(limited, SendLimited)
    return limited.limit, round(limited.wait, -1)


def test_interval_allows_one_message_per_contact(make: Make) -> None:
    engine = make(interval=FAST.interval)
    send(engine, "a")
    engine.pass_by(20)
    assert refusal(engine, "b") == ("interval", 40)
    assert refusal(engine, "c", "+86 187-6655-4433") == ("interval", 40)
    send(engine, "d", "13912345678")
    engine.pass_by(40.1)
    send(engine, "e")


def test_per_contact_limit_rejects_with_longest_wait(make: Make) -> None:
    engine = make(interval=FAST.interval)
    for number in range(5):
        send(engine, f"a{number}")
        engine.pass_by(100)
    assert refusal(engine, "b") == ("per-contact", 3100)
    engine.pass_by(3100.1)
    send(engine, "c")
    assert refusal(engine, "d") == ("per-contact", 100), "the longest wait of all limits"


def test_per_prefix_limit_counts_phone_numbers_of_one_prefix(make: Make) -> None:
    engine, limits = make(interval=FAST.interval), LIMITS._replace(per_prefix=3)
    for number in range(3):
        send(engine, f"a{number}", f"+44 20 7946 00{number}1", limits=limits)
    for spelled in ("0044 2079 460099", "+0044 2079 460099", "(000) 0044 2079 460099"):
        assert refusal(engine, "b", spelled, limits=limits) == ("per-prefix", 3600)
    send(engine, "c", "+44 20 8946 0001", limits=limits)
    for number in range(4):
        send(engine, f"d{number}", f"jo{number}@example.com", limits=limits)


@pytest.mark.parametrize(
    ("plain", "spellings"),
    [
        ("+86 138 0013 800{}", ["+86 0138 0013 800{}", "0086 (0) 138 0013 800{}", "86 00138 0013 800{}"]),
        ("+1 202 555 010{}", ["+1 0202 555 010{}", "+1 000 202 555 010{}"]),
        ("+852 2345 678{}", ["+852 02345 678{}", "00852-0-2345-678{}"]),
        ("+39 6 1234 567{}", ["+39 06 1234 567{}"]),
    ],
)
def test_per_prefix_limit_ignores_zeros_after_country_code(make: Make, plain: str, spellings: list[str]) -> None:
    engine, limits = make(interval=FAST.interval), LIMITS._replace(per_prefix=len(spellings))
    for number, spelled in enumerate(spellings):
        send(engine, f"a{number}", spelled.format(number), limits=limits)
    assert refusal(engine, "b", plain.format(9), limits=limits) == ("per-prefix", 3600)


def test_per_prefix_limit_keeps_zeros_that_belong_to_number() -> None:
    def prefix(number: str) -> bytes:
        return next(one.counter_key for one in limits_for(number) if one.name == "per-prefix")

    assert prefix("+86 10 1234 5678") != prefix("+86 1 1234 5678"), "86 is a country code, 861 is none"
    assert prefix("+7 700 123 4567") != prefix("+7 7 123 4567")
    assert prefix("+971 50 123 4567") != prefix("+971 5 123 4567")
    assert prefix("00000") == prefix("0000000") != prefix("10000")


def test_interval_counts_email_spellings_as_one_contact(make: Make) -> None:
    engine = make(interval=FAST.interval)
    send(engine, "a", "jo@b\u00fccher.example")
    assert refusal(engine, "b", "Jo@xn--bcher-kva.example") == ("interval", 60)


def test_per_hour_limit_counts_all_messages(make: Make) -> None:
    engine, limits = make(interval=FAST.interval), LIMITS._replace(per_hour=2)
    send(engine, "a", limits=limits)
    send(engine, "b", "jo@example.com", limits=limits)
    assert refusal(engine, "c", "13912345678", limits=limits) == ("per-hour", 3600)
    send(engine, "c", "13912345678", limits=LIMITS)


def test_limits_of_zero_are_off(make: Make) -> None:
    engine = make(interval=FAST.interval)
    none = SendLimits(interval=0, per_contact=0, per_prefix=0, per_hour=0, allowed=())
    for number in range(8):
        send(engine, str(number), limits=none)


def test_rejection_is_not_counted_and_replay_is_counted_once(make: Make) -> None:
    engine, limits = make(interval=FAST.interval), LIMITS._replace(interval=0, per_contact=2)
    send(engine, "a", limits=limits)
    for _ in range(5):
        replay = claim(engine, "a", limits=limits)
        assert replay == Replay(SENT)
    send(engine, "b", limits=limits)
    engine.pass_by(3500)
    for number in range(5):
        assert refusal(engine, f"c{number}", limits=limits) == ("per-contact", 100)
    engine.pass_by(100.1)
    send(engine, "d", limits=limits)


def test_message_that_was_certainly_not_sent_is_not_counted(make: Make) -> None:
    engine = make(interval=FAST.interval)
    assert isinstance(claim(engine, "a", token="one"), Acquired)
    assert claim(engine, "a") == InFlight()
    assert refusal(engine, "b") == ("interval", 60)
    engine.release("one", request("a"))
    assert engine.look(request("a")) is None
    send(engine, "a")


def test_message_with_unknown_outcome_is_counted_and_repeatable_after_interval(make: Make) -> None:
    engine = make(interval=FAST.interval)
    assert isinstance(claim(engine, "a", token="one"), Acquired)
    assert engine.settle("one", None, request("a"))
    assert refusal(engine, "a") == ("interval", 60)
    engine.pass_by(60.1)
    assert isinstance(claim(engine, "a", token="two"), Acquired)
    assert not engine.settle("one", SENT, request("a")), "it is another owner's"
    assert engine.settle("two", SENT, request("a"))
    assert isinstance(claim(engine, "a"), Replay)
    engine.pass_by(60.1)
    for number in range(3):
        send(engine, f"b{number}")
        engine.pass_by(60.1)
    assert refusal(engine, "c")[0] == "per-contact"


def test_expired_claim_of_message_is_unknown_and_counted(make: Make) -> None:
    engine = make(interval=FAST.interval)
    assert isinstance(claim(engine, "a"), Acquired)
    engine.pass_by(10.1)
    assert (found := engine.look(request("a")))
    assert found.state == "unknown"
    assert refusal(engine, "a") == ("interval", 50)
    engine.pass_by(50)
    send(engine, "a")


def test_messages_have_their_own_rate(make: Make) -> None:
    engine = make(interval=4.0)
    engine.own(keys("v"))
    first, second = claim(engine, "a", "10086"), claim(engine, "b", "10010")
    assert first == Acquired()
    assert isinstance(second, Acquired)
    assert second.wait == pytest.approx(4, abs=1)
    late = claim(engine, "c", "10000")
    assert isinstance(late, RateLimited)
    assert late.wait == pytest.approx(8, abs=1)
    assert isinstance(claim(engine, "d", "10000", wait=9), Acquired), "nothing was counted that found no slot"


def test_message_and_verification_with_same_id_do_not_match(make: Make) -> None:
    """An id belongs to one content, and a message is another than a verification of the same contact."""
    engine = make(interval=FAST.interval)
    send(engine, "a")
    assert engine.claim(keys("a")) == KeyMismatch()
    engine.end(Record("code-incorrect", "r", contact_type=1), keys("b"))
    assert claim(engine, "b") == KeyMismatch()
    own = engine.own(keys("c"))
    engine.pass_by(60.1)
    send(engine, "d")
    assert engine.settle(own, None, keys("c"))
    unknown = engine.acquire_unknown(keys("e"))
    assert (len(unknown.calls), unknown.competing_calls) == (1, ())


@pytest.mark.parametrize("back", [-30.0, -86_400.0])
def test_clock_set_back_does_not_extend_interval(make: Make, back: float) -> None:
    engine = make(interval=FAST.interval)
    send(engine, "a")
    engine.pass_by(back)
    assert refusal(engine, "b") == ("interval", 60)
    engine.pass_by(60.1)
    send(engine, "b")


def test_clock_set_back_does_not_extend_replay_of_content_key(make: Make) -> None:
    engine = make(interval=FAST.interval)
    known_by_body = Hasher(KEY).keys(CodeRequest(contact(), IdempotencyKey("content", b"body")))

    def ask(token: str) -> Claim:
        return engine.ledger.claim_send(
            known_by_body, token, limits=limits_for(), lease=10, max_wait=6, deadline=engine.deadline
        )

    assert isinstance(ask("one"), Acquired)
    assert engine.settle("one", SENT, known_by_body, content_replay=60.0)
    assert isinstance(ask("two"), Replay)
    engine.pass_by(-86_400)
    limited = ask("two")
    assert isinstance(limited, SendLimited)
    assert (limited.limit, round(limited.wait, -1)) == ("interval", 60)
    engine.pass_by(60.1)
    assert isinstance(ask("two"), Acquired)
    assert engine.settle("two", SENT, known_by_body, content_replay=60.0)
    assert isinstance(ask("three"), Replay)


def test_clock_jump_ahead_opens_each_limit_once(make: Make) -> None:
    engine, limits = make(interval=FAST.interval), LIMITS._replace(interval=0, per_contact=2)
    for name in "ab":
        send(engine, name, limits=limits)
    engine.pass_by(7200)
    for name in "cd":
        send(engine, name, limits=limits)
    engine.pass_by(-7200)
    assert refusal(engine, "e", limits=limits) == ("per-contact", 3600)


def test_concurrent_requests_send_one_message(make: Make) -> None:
    engine = make(interval=FAST.interval)
    claims: list[Claim] = []
    threads = [
        threading.Thread(target=lambda name: claims.append(claim(engine, name)), args=(str(number),))
        for number in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(type(one).__name__ for one in claims) == ["Acquired"] + ["SendLimited"] * 19


def test_file_of_earlier_version_is_migrated(tmp_path: Path) -> None:
    """A ledger that was made before messages were counted keeps what it remembers."""
    before = sqlite_engine(tmp_path, FAST)
    before.end(Record("verified", "r", contact_type=1), keys("v"))
    before.ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        db.executescript("DROP TABLE sends; DROP INDEX by_call; DROP INDEX by_second_call; PRAGMA user_version = 1")
    db.close()
    engine = sqlite_engine(tmp_path, FAST)
    assert isinstance(engine.claim(keys("v")), Replay)
    send(engine, "a")
    engine.ledger.close()


@pytest.mark.parametrize("ahead", [0.0, 31_536_000.0])
def test_send_counts_are_deleted_after_an_hour(tmp_path: Path, ahead: float) -> None:
    """Also behind what was counted while the clock was ahead."""
    engine = sqlite_engine(tmp_path, FAST)
    engine.pass_by(ahead)
    for number in range(8):
        send(engine, f"a{number}", f"jo{number}@example.com")
    engine.pass_by(-ahead)
    for number in range(30):
        send(engine, str(number), f"+1 202 555 01{number:02}")
        engine.pass_by(400)
    engine.ledger.close()
    with sqlite3.connect(tmp_path / "ledger.db") as db:
        (count,) = db.execute("SELECT count(*) FROM sends").fetchone()
    db.close()
    assert count <= 8 + 2 * 10
