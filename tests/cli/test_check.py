"""Test `signup-bridge check` against the emulator and a real ledger, and against broken ones."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

from local_services.certificates import self_signed
from local_services.redis_server import RedisServer
from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.instances import environment
from tests.support.emulator.command import COMMAND, IMPORTS, call
from tests.support.network.upstream import Upstream

LEDGER_KEY = "a key of thirty-two bytes, or more"


def run_check(url: str, *arguments: str, **settings: str) -> tuple[int, dict[str, str]]:
    """Return the exit status, and status and text of each check by name. The last finding of a check wins."""
    done = call("check", *arguments, **environment(url, **settings))
    lines = [line for line in done.stdout.splitlines() if line[:1].strip() and line[9:10] == " "]
    return done.returncode, {line[:9].strip(): line[10:] for line in lines}


def reply_with(*headers: str, body: bytes = b"{}") -> Callable[[socket.socket], None]:
    lines = ("HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers, "", "")
    return lambda connection: connection.sendall("\r\n".join(lines).encode() + body)


def test_check_of_a_working_bridge_finds_nothing(emulator: Emulator) -> None:
    status, found = run_check(emulator.url)
    assert status == 0
    assert {name: text.split()[0] for name, text in found.items()} == dict.fromkeys(
        ("settings", "endpoint", "clock", "API key", "ledger"), "ok"
    )
    assert [one.action for one in emulator.calls] == ["DescribeIntlPhoneEmailList"]


def test_check_without_settings_names_each(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment(""):
        monkeypatch.delenv(name, raising=False)
    done = call("check")
    assert done.returncode == 1
    assert "settings  FAILED   WEBHOOK_SECRETS: is not set" in done.stdout
    assert "settings  FAILED   TENCENT_SECRET_ID: is not set" in done.stdout


def test_check_with_weak_secret_warns(emulator: Emulator) -> None:
    done = call("check", **environment(emulator.url, WEBHOOK_AUTH="bearer", WEBHOOK_SECRETS="hunter2"))
    assert done.returncode == 0
    assert "settings  warning  WEBHOOK_SECRETS: " in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


def test_check_of_unreachable_endpoint_skips_what_needs_it() -> None:
    url = f"http://127.0.0.1:{ports.free()}"
    status, found = run_check(url)
    assert status == 1
    assert found["endpoint"].startswith(f"FAILED   {url}: is not reachable (")
    assert "Connection refused" in found["endpoint"]
    assert "check DOMAIN_API_URL" in found["endpoint"]
    assert found["clock"] == found["API key"] == "skipped  requires the endpoint"
    assert found["ledger"].startswith("ok")


def test_check_of_untrusted_certificate_names_the_setting(tmp_path: Path) -> None:
    tls = self_signed(tmp_path)
    with Upstream(reply_with(), tls.context) as upstream:
        status, found = run_check(upstream.url)
    assert status == 1
    assert "certificate is not trusted" in found["endpoint"]
    assert "DOMAIN_API_CA_BUNDLE" in found["endpoint"]


@pytest.mark.parametrize(("seconds", "expected"), [(3600, "behind"), (-3600, "ahead of")])
def test_check_with_clock_off_fails(seconds: int, expected: str) -> None:
    with Upstream(reply_with(f"Date: {formatdate(time.time() + seconds, usegmt=True)}")) as upstream:
        status, found = run_check(upstream.url)
    assert status == 1
    assert found["clock"].startswith("FAILED")
    assert f"s {expected} the API's clock; synchronize" in found["clock"]
    assert "the response is not from the API" in found["API key"]


@pytest.mark.parametrize("headers", [(), ("Date: Mon, 01 Jan 99999999999999999999 00:00:00 GMT",)])
def test_check_without_usable_date_skips_clock(headers: tuple[str, ...]) -> None:
    with Upstream(reply_with(*headers)) as upstream:
        _, found = run_check(upstream.url)
    assert found["clock"] == "skipped  the API's response has no Date header"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"TENCENT_SECRET_ID": "AKIDnobody"}, ("TENCENT_SECRET_ID", "AuthFailure.SecretIdNotFound")),
        ({"TENCENT_SECRET_KEY": "a-key-of-another-account"}, ("TENCENT_SECRET_KEY", "AuthFailure.SignatureFailure")),
    ],
)
def test_check_of_refused_key_names_code_and_setting(
    emulator: Emulator, settings: dict[str, str], expected: tuple[str, str]
) -> None:
    status, found = run_check(emulator.url, **settings)
    assert status == 1
    setting, code = expected
    assert found["API key"].startswith(f"FAILED   {setting}: ")
    assert found["API key"].endswith(f"(API error {code})")


@pytest.mark.parametrize(("resolve", "status"), [("never", 0), ("describe", 1)])
def test_check_of_key_that_may_not_read_the_list_depends_on_its_use(
    emulator: Emulator, resolve: str, status: int
) -> None:
    emulator.faults.arm(Fault("UnauthorizedOperation", action="DescribeIntlPhoneEmailList"))
    assert run_check(emulator.url, RESOLVE_UNKNOWN=resolve)[0] == status


def test_check_without_credentials_names_the_settings(emulator: Emulator) -> None:
    environ = {"TENCENT_SECRET_ID": "", "TENCENT_SECRET_KEY": "", "SCF_FUNCTIONNAME": "signup"}
    status, found = run_check(emulator.url, **environ)
    assert status == 1
    assert "TENCENT_SECRET_ID and TENCENT_SECRET_KEY: are not set" in found["API key"]


def test_check_of_unusable_ledger_names_the_setting(emulator: Emulator) -> None:
    status, found = run_check(emulator.url, LEDGER_URL="sqlite:////no/such/folder/x.db")
    assert status == 1
    assert found["ledger"].startswith("FAILED   LEDGER_URL: the key file /no/such/folder/x.db")


def test_check_of_redis_that_may_lose_records_warns(emulator: Emulator, tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--appendonly", "no") as server:
        done = call("check", **environment(emulator.url, LEDGER_URL=server.url, LEDGER_KEY=LEDGER_KEY))
    assert done.returncode == 0
    assert "ledger    ok       the Redis server accepts writes" in done.stdout
    assert (
        "ledger    warning  LEDGER_URL: the Redis server may lose records; set its option appendonly to yes"
        in done.stdout
    )


def start_trial(emulator: Emulator, contact: str, **settings: str) -> subprocess.Popen[str]:
    environ = environment(emulator.url, **settings) | IMPORTS
    return subprocess.Popen(
        [*COMMAND, "check", "--send-code", contact],
        cwd=ROOT, env=environ, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def code_for(emulator: Emulator, process: subprocess.Popen[str]) -> str:
    """Wait until the command prompts for the code, and return the code that was sent."""
    assert process.stdout is not None
    for line in process.stdout:
        sys.stdout.write(line)
        if line.startswith("Type the code"):
            break
    (sent,) = emulator.domain.sent_codes()
    return sent.code


@pytest.mark.parametrize("contact", ["18766554433", "jo@example.com"])
def test_check_with_send_code_verifies_what_is_typed(emulator: Emulator, contact: str) -> None:
    with start_trial(emulator, contact) as process:
        code = code_for(emulator, process)
        output, _ = process.communicate(f"1\n000000\n{code}\n", timeout=120)
    assert process.returncode == 0
    assert "verify_code: must be" in output
    assert "CreateIntlPhoneEmail: code-incorrect" in output
    assert "CreateIntlPhoneEmail: verified" in output
    assert code not in output


class Person(io.TextIOBase):
    """Types a line for each question: an impossible code, a wrong one, and the one that was sent."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._lines = ["1", "000000"]

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        line = self._lines.pop(0) if self._lines else self._emulator.domain.sent_codes()[0].code
        return f"{line}\n"


def test_check_asks_until_the_code_is_right(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Person(emulator))
    done = call("check", "--send-code", "18766554433", **environment(emulator.url))
    assert done.returncode == 0
    assert done.stdout.count("\nCode: ") == 3
    assert "CreateIntlPhoneEmail: verified" in done.stdout


@pytest.mark.parametrize(("typed", "said"), [("", "no code was typed"), ("\n", "\nCode: ")])
def test_check_without_a_typed_code_fails(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, typed: str, said: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    done = call("check", "--send-code", "18766554433", **environment(emulator.url))
    assert done.returncode == 1
    assert said in done.stdout
    assert [one.action for one in emulator.calls] == ["DescribeIntlPhoneEmailList", "SendIntlPhoneEmailCode"]


def test_check_with_send_code_and_missing_permission_names_the_policy(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("UnauthorizedOperation", action="SendIntlPhoneEmailCode"))
    done = call("check", "--send-code", "18766554433", **environment(emulator.url))
    assert done.returncode == 1
    assert "CAM policy of the key: must allow domain:SendIntlPhoneEmailCode" in done.stdout


def test_check_with_send_code_to_invalid_contact_names_it(emulator: Emulator) -> None:
    done = call("check", "--send-code", "nobody", **environment(emulator.url))
    assert done.returncode == 1
    assert "contact: must be" in done.stdout
    assert not emulator.domain.sent_codes()


def test_check_with_problems_sends_no_code(emulator: Emulator) -> None:
    environ = environment(emulator.url, TENCENT_SECRET_ID="AKIDnobody")
    done = call("check", "--send-code", "18766554433", **environ)
    assert done.returncode == 1
    assert "No code was sent" in done.stdout
    assert not emulator.domain.sent_codes()


def test_check_with_oversized_contact_says_why(emulator: Emulator) -> None:
    done = call("check", "--send-code", "1" * 70_000, **environment(emulator.url))
    assert done.returncode == 1
    assert "request: " in done.stdout
    assert not emulator.domain.sent_codes()


def test_check_of_throttled_call_names_no_setting(emulator: Emulator) -> None:
    emulator.faults.arm(Fault("RequestLimitExceeded", action="DescribeIntlPhoneEmailList"))
    _, found = run_check(emulator.url)
    assert found["API key"] == "FAILED   API error RequestLimitExceeded; run the command again later"
