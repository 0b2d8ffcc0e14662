"""Run `make fuzz` for a few seconds, and test that its targets detect broken invariants."""

from __future__ import annotations

import hmac
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from signup_bridge.inbound import signatures, spelling

from tests.fuzz import events
from tests.fuzz import payload as fuzz_payload
from tests.fuzz import signatures as fuzz_signatures
from tests.support import ROOT
from tests.support.bridge.signed_requests import body

SECONDS = 10
BRANCHES = {"signatures": 30, "payload": 120, "events": 500}
"""The approximate coverage of the seeds. With less, a target does not run or is not instrumented."""


@pytest.mark.toolchain
@pytest.mark.timeout(600)
def test_fuzzing_for_seconds_finds_nothing(tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("Atheris has no wheel for this Python or machine")
    command = [sys.executable, "-m", "tests.fuzz", "--seconds", str(SECONDS), "--folder", str(tmp_path)]
    environ = {"PYTHONPATH": "function:.", "HOME": str(tmp_path)}
    running = {
        target: subprocess.Popen(
            [*command, target], cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for target in BRANCHES
    }
    for target, process in running.items():
        output, _ = process.communicate()
        assert process.returncode == 0, output[-3000:]
        done = re.search(r"DONE +cov: ([0-9]+)", output)
        assert done, output[-3000:]
        assert int(done[1]) >= BRANCHES[target]


def test_fuzz_signatures_detects_accepted_unsigned_input(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in fuzz_signatures.seeds():
        fuzz_signatures.try_one(seed)
    monkeypatch.setattr(hmac, "compare_digest", lambda _given, _expected: True)
    with pytest.raises(AssertionError, match="an unsigned request is accepted"):
        fuzz_signatures.try_one(b"webhook-id: msg_1\nwebhook-timestamp: 1614265330\nwebhook-signature: v1,x\n\n{}")


def test_fuzz_signatures_detects_rejected_signed_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hmac, "compare_digest", lambda _given, _expected: False)
    with pytest.raises(AssertionError, match="a signed request is rejected"):
        fuzz_signatures.try_one(fuzz_signatures.seeds()[0])


def test_fuzz_payload_detects_value_in_error_text(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in fuzz_payload.seeds():
        fuzz_payload.try_one(seed)

    def telling(value: Any) -> str:
        raise ValueError(f"must not be {value}")

    monkeypatch.setattr(spelling, "verify_code", telling)
    with pytest.raises(AssertionError, match="the rejection repeats a value of the body"):
        fuzz_payload.try_one(b"\n\n" + body())


@pytest.fixture
def ended() -> Iterator[None]:
    yield
    events.end()


@pytest.mark.usefixtures("ended")
def test_fuzz_events_detects_call_without_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    url_event = events.seeds()[0]
    events.try_one(url_event)
    events.end()
    monkeypatch.setattr(signatures, "standard_webhooks", lambda *_arguments, **_options: signatures.accept_any)
    with pytest.raises(AssertionError, match="an unsigned request caused a call"):
        events.try_one(url_event.replace(b"{sign}", b""))


@pytest.mark.usefixtures("ended")
def test_fuzz_event_seeds_are_verified() -> None:
    """Otherwise the fuzzer would not reach the code after the signature check."""
    for seed in events.seeds():
        events.try_one(seed)
    assert len(events.accepted()) >= 6
