"""Test the first minutes of a user: start `run`, paste the printed command into another terminal, verify a contact."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import requests

from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.console.proxy import BridgeTarget
from signup_emulator.console.routes import create_app
from signup_emulator.launcher import BridgeLog
from signup_emulator.server import Emulator
from signup_toolkit import ports, senders
from tests.support import ROOT, log_audit
from tests.support.bridge.signed_requests import SECRET, body, signed
from tests.support.emulator.command import COMMAND, IMPORTS
from tests.support.emulator.make_run import Pair, running_pair
from tests.support.log_lines import lines_of
from tests.support.terminals import in_terminal

CONFIGURED = "a-token-that-nobody-guesses"
ANOTHER_TERMINAL = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TERM")} | IMPORTS


def printed(text: str, name: str) -> str:
    """Return the text that `run` printed after a name."""
    (found,) = re.findall(rf"^ +{name} +(\S.*)$", text, re.MULTILINE)
    return str(found)


def paste(text: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the command that `run` printed, in another shell and the same folder."""
    (line,) = re.findall(r"^ +(\S.* -m signup_bridge send .*)$", text, re.MULTILINE)
    shell = ["sh", "-c", str(line)]
    return subprocess.run(
        shell, cwd=ROOT, env=ANOTHER_TERMINAL | environ, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"WEBHOOK_SECRETS": f"{SECRET} whsec_b2xkIG9sZCBvbGQgb2xkIG9sZA=="},
        {"WEBHOOK_AUTH": "github", "SENDER_PROFILE": "ack"},
        {"WEBHOOK_AUTH": "bearer", "WEBHOOK_SECRETS": CONFIGURED, "PAYLOAD_PRESET": "cloudevents"},
        {"WEBHOOK_AUTH": "none", "PAYLOAD_PRESET": "clerk", "SEND_CODES": "false"},
        {"PAYLOAD_PRESET": "supabase", "SENDER_PROFILE": "supabase"},
        {"PAYLOAD_PRESET": "auth0", "REVEAL_ALREADY_VERIFIED": "false"},
    ],
    ids=lambda settings: " ".join(settings.values())[:40] or "defaults",
)
def test_printed_command_verifies_a_contact_in_another_terminal(tmp_path: Path, settings: dict[str, str]) -> None:
    configured = settings.get("WEBHOOK_SECRETS", "")
    log_audit.carry(*configured.split())
    with running_pair(tmp_path, **settings) as pair:
        text, status = pair.log.read_text(), pair.get("status")
        done = paste(text)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^200 verified$", done.stdout, re.MULTILINE)
    assert printed(text, "URL") == f"{pair.bridge}/webhooks/signup"
    assert printed(text, "auth") == settings.get("WEBHOOK_AUTH", "standard-webhooks")
    assert ("WEBHOOK_SECRETS is not set in this environment" in done.stderr) is bool(configured)
    if configured:
        assert (printed(text, "secret"), status["secret"]) == ("$WEBHOOK_SECRETS", None)
    elif settings.get("WEBHOOK_AUTH") == "none":
        assert printed(text, "secret").startswith("none")
    else:
        assert printed(text, "secret") == status["secret"]
        assert re.fullmatch(r"whsec_[0-9A-Za-z+/]{32}", status["secret"])


def test_printed_secret_signs_and_each_run_has_another(tmp_path: Path, pair: Pair) -> None:
    secret = printed(pair.log.read_text(), "secret")
    data = body()
    response = requests.post(
        printed(pair.log.read_text(), "URL"), data, headers=signed(data, secret=secret), timeout=60
    )
    assert (response.status_code, response.json()["code"]) == (200, "verified")
    with running_pair(tmp_path) as other:
        assert other.secret != secret


def test_secret_of_this_environment_signs_for_a_bridge_with_a_configured_one(tmp_path: Path) -> None:
    log_audit.carry(CONFIGURED)
    with running_pair(tmp_path, WEBHOOK_SECRETS=CONFIGURED, WEBHOOK_AUTH="bearer") as pair:
        text = pair.log.read_text()
        right, wrong = paste(text, WEBHOOK_SECRETS=f"{CONFIGURED} x"), paste(text, WEBHOOK_SECRETS="another-token-here")
    assert (right.returncode, right.stderr) == (0, "")
    assert wrong.returncode == 1
    assert "401 signature-invalid" in wrong.stdout
    assert "does not accept the first secret in WEBHOOK_SECRETS" in wrong.stderr


def test_generated_secret_is_neither_shown_nor_served_beyond_loopback(tmp_path: Path) -> None:
    with running_pair(tmp_path, "--host", "0.0.0.0") as pair:
        done = paste(pair.log.read_text())
        elsewhere = requests.get(f"{pair.url}/emulator/status", headers={"Host": "192.0.2.1"}, timeout=60).json()
        served = pair.secret
    assert (done.returncode, elsewhere["secret"], elsewhere["secret_generated"]) == (0, None, True)
    assert served not in pair.log.read_text()
    assert printed(pair.log.read_text(), "secret").startswith("generated, and shown on loopback addresses only")


@pytest.mark.parametrize(
    ("peer", "generated", "is_served"),
    [("127.0.0.1", True, True), ("192.0.2.1", True, False), ("127.0.0.1", False, False)],
)
def test_status_serves_only_a_generated_secret_to_this_machine(
    emulator: Emulator, peer: str, generated: bool, is_served: bool
) -> None:
    secret = senders.generate_secret()
    emulator.console.bridge = BridgeTarget("http://127.0.0.1:9", "bearer", secret, generated=generated)
    client = create_app(emulator.console, host="0.0.0.0").test_client()
    status = client.get("/emulator/status", environ_base={"REMOTE_ADDR": peer}).json
    assert status is not None
    assert (status["secret"], status["secret_generated"]) == (secret if is_served else None, generated)


@pytest.mark.parametrize("log_format", ["auto", "json"])
def test_run_at_terminal_prints_one_line_for_each_delivery(tmp_path: Path, log_format: str) -> None:
    port, own = ports.free(), ports.free()
    environ = ANOTHER_TERMINAL | {"PORT": str(port), "EMULATOR_PORT": str(own), "LOG_FORMAT": log_format}
    command = [*COMMAND, "run", "--state", str(tmp_path / "state")]
    with in_terminal(command, environ) as terminal:
        terminal.wait_for("Ctrl-C stops both")
        pair = Pair(f"http://127.0.0.1:{own}", f"http://127.0.0.1:{port}", tmp_path)
        data = body()
        assert requests.post(pair.bridge, data, headers=signed(data, secret=pair.secret), timeout=60).ok
        while not (deliveries := pair.get("deliveries")):  # its log line has not arrived yet
            time.sleep(0.05)
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.wait() == 0
    (delivery,) = deliveries
    assert (delivery["via"], delivery["outcome"], delivery["contact"]) == ("bridge", "verified", "187****4433")
    shown = terminal.text.replace(DEMO_SECRET_ID, "").replace(DEMO_SECRET_KEY, "")
    assert log_audit.leaks(shown) == []
    text = re.findall(r"^[0-9:]{8}  200 verified  187\*{4}4433  [0-9.]+ ms$", terminal.text, re.MULTILINE)
    lines = [line["outcome"] for line in lines_of(terminal.text) if line["message"] == "delivery"]
    assert (len(text), lines) == ((1, []) if log_format == "auto" else (0, ["verified"]))
    assert ("INFO  Listening at: " in terminal.text) is (log_format == "auto")


def test_run_prints_text_to_a_file_if_log_format_asks_for_it(tmp_path: Path) -> None:
    with running_pair(tmp_path, LOG_FORMAT="text") as pair:
        assert paste(pair.log.read_text()).returncode == 0
    assert re.search(
        r"^[0-9:]{8}  202 sent  s\*{3}@example\.com  [0-9.]+ ms  action=send$", pair.log.read_text(), re.MULTILINE
    )
    assert lines_of(pair.log.read_text()) == []


def test_lines_of_other_programs_are_printed_unchanged(
    emulator: Emulator, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    others = (
        b'{"time": "soon", "level": "INFO", "message": "a line of another program"}\n'
        b'["no log line"]\n'
        b"Fatal Python error\n"
    )
    with BridgeLog(emulator.console.deliveries, as_text=True) as log:
        os.write(log.write_fd, others + b'{"time": "2026-11-23T12:59:49.360Z", "level": "INFO", "message": "last"}\n')
    printed = capsysbinary.readouterr().out
    assert printed.startswith(others)
    assert re.fullmatch(rb"[0-9:]{8}  INFO  last\n", printed.removeprefix(others))
