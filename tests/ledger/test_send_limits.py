"""Test the ledger's contract: messages are counted, and sent no more often than the limits permit."""

from __future__ import annotations

import pytest
from signup_bridge.ledger import (
    Acquired,
    InFlight,
    Replay,
)
from signup_bridge.service.send_limits import SendLimits

from tests.support.ledgers import FAST, Make
from tests.support.send_limits import LIMITS, SENT, claim, limits_for, refusal, request, send


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
    assert refusal(engine, "d") == ("per-contact", 100), "the longest wait of all limits counts"


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

    assert prefix("+86 10 1234 5678") != prefix("+86 1 1234 5678"), "86 is a country code, and 861 is not"
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
    assert not engine.settle("one", SENT, request("a")), "the claim has another owner"
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
