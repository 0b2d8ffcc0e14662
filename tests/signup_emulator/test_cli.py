"""Test the commands of the emulator, such as `run`, `serve` and `send`, each in a separate process."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from signup_emulator.server import Emulator
from signup_toolkit import ports, sample_payloads, senders
from tests.support import ROOT, log_audit
from tests.support.bridge.instances import bridge
from tests.support.bridge.signed_requests import CODE, PHONE
from tests.support.emulator.command import COMMAND, IMPORTS, call, run_command


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Start `make run` on free ports, without creating .venv; yield its output and the emulator's URL."""
    log = tmp_path_factory.mktemp("run") / "log"
    port_settings = {"PORT": str(ports.free()), "EMULATOR_PORT": str(ports.free())}
    mine = {
        "TENCENT_SECRET_ID": "mine",
        "DOMAIN_API_URL": "https://domain.tencentcloudapi.com",
        "TENCENT_SESSION_TOKEN": "x",
        "LOG_LEVEL": "DEBUG",
    }
    log_audit.watch_log(log, DEMO_SECRET_ID, DEMO_SECRET_KEY)
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "run", "--state", str(log.with_name("state"))],
            cwd=ROOT,
            env=os.environ | IMPORTS | port_settings | mine,
            stdout=output,
            stderr=output,
        )
    try:
        end = time.monotonic() + 120
        while "Ctrl-C stops both" not in log.read_text():
            assert time.monotonic() < end
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        yield log.read_text(), f"http://127.0.0.1:{port_settings['EMULATOR_PORT']}"
    finally:
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)  # a second Ctrl-C, from an impatient person
        try:
            assert process.wait(timeout=60) == 0
        finally:
            process.kill()
    assert "Shutting down: Master" in log.read_text()


def test_send_without_options_sends_signed_delivery(run: tuple[str, str]) -> None:
    printed, emulator_url = run
    requests.post(f"{emulator_url}/emulator/reset", data=b"", timeout=60)
    (line,) = [line.strip() for line in printed.splitlines() if " -m signup_bridge send" in line]
    assert shlex.split(line)[1:] == [*COMMAND[1:], "send", "--signup", "--emulator", emulator_url]

    def send(*more: str) -> tuple[int, str, Any]:
        done = call("send", "--emulator", emulator_url, *more)
        first, _, data = done.stdout.partition("\n")
        return done.returncode, first, json.loads(data)

    status, first, document = send()
    assert (status, first, document["code"]) == (0, "200 verified", "verified")
    status, first, document = send()
    assert (status, first, document["code"]) == (1, "409 already-verified", "already-verified")
    status, first, _ = send("--contact", "jo@example.com", "--code", "000000")
    assert (status, first) == (1, "422 code-incorrect")
    status, first, _ = send("--sender", "none")
    assert (status, first) == (1, "401 signature-invalid")


@pytest.mark.parametrize("auth", ["github", "bearer", "none"])
def test_send_signs_for_webhook_auth(emulator: Emulator, auth: str) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH=auth, WEBHOOK_SECRETS="a-secret")
    data = sample_payloads.build_body(PHONE, CODE)
    assert (
        bridged.post(data, senders.sign_headers(data, sender=senders.default_sender(auth), secret="a-secret")).status
        == 200
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_run_stops_bridge_on_signal(tmp_path: Path, number: signal.Signals) -> None:
    """This includes a start in the background by a shell, which ignores SIGINT."""
    log, port = tmp_path / "log", ports.free()
    environ = os.environ | IMPORTS | {"PORT": str(port), "EMULATOR_PORT": str(ports.free())}
    with log.open("wb") as output:
        command = [*COMMAND, "run", "--state", str(tmp_path / "state")]
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=output, stderr=output)
    try:
        end = time.monotonic() + 120
        while "Ctrl-C stops both" not in log.read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        with pytest.raises(requests.ConnectionError):
            requests.get(f"http://127.0.0.1:{port}/health", timeout=60)
    finally:
        process.kill()


def test_run_and_emulate_report_taken_or_equal_ports(emulator: Emulator) -> None:
    port = emulator.url.rpartition(":")[2]
    taken = call("run", EMULATOR_PORT=port, PORT=str(ports.free()))
    problem = f"EMULATOR_PORT: port {port} on 127.0.0.1 is in use; set another port"
    assert (taken.returncode, taken.stdout, taken.stderr) == (1, "", f"signup-bridge run: {problem}\n")
    assert call("emulate", "--emulator-port", port).stderr == f"signup-bridge emulate: {problem}\n"
    with socket.create_server(("127.0.0.1", 0)) as other:
        second = other.getsockname()[1]
        both = call("run", EMULATOR_PORT=port, PORT=str(second)).stderr
    assert both == f"signup-bridge run: {problem}\n  PORT: port {second} on 127.0.0.1 is in use; set another port\n"
    elsewhere = call("run", "--host", "192.0.2.1").stderr
    wanted = "--host: this machine does not have the address 192.0.2.1; set its address, or 0.0.0.0"
    assert elsewhere == f"signup-bridge run: {wanted}\n"
    same = call("run", EMULATOR_PORT=port, PORT=port)
    assert same.stderr.startswith(f"signup-bridge run: PORT and EMULATOR_PORT are both {port}")
    for value in ("http", "0", "99999"):
        none = call("emulate", EMULATOR_PORT=value)
        assert none.stderr.endswith(f"{value} is not a port; expected a number from 1 to 65535\n")


def test_run_with_a_wrong_setting_ends_and_keeps_the_state(tmp_path: Path) -> None:
    kept = {name: tmp_path / name for name in ("emulator.json", "ledger.db", "ledger.db.key")}
    for file in kept.values():
        file.write_text("{}")
    environ = {"EMULATOR_PORT": str(ports.free()), "PORT": str(ports.free()), "REQUEST_BUDGET": "soon"}
    done = run_command([*COMMAND, "run", "--state", str(tmp_path)], **environ)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("signup-bridge run: startup failed:\n  REQUEST_BUDGET: must be a number")
    assert {path.name for path in tmp_path.iterdir()} == set(kept)


@pytest.mark.parametrize(
    ("command", "taught"),
    [
        ([], ["run", "serve", "emulate", "send", "package", "deploy", "--init"]),
        (["run"], ["--host replaces HOST", "SEND_CODES is true", "WEBHOOK_SECRETS", "$PORT", "--allow-host NAME"]),
        (["emulate"], ["stall-body", "/emulator/codes", "curl", "--allow-host NAME"]),
        (["send"], ["--code 000000", "$WEBHOOK_SECRETS", "exit status", "--signup", "--verbose"]),
    ],
)
def test_help_describes_options(command: list[str], taught: list[str]) -> None:
    done = call(*command, "--help")
    assert done.returncode == 0
    printed = " ".join(done.stdout.split())
    assert [words for words in taught if words not in printed] == []


@pytest.mark.parametrize("value", ["http://emulator", "emulator:9010", "*", "a/b", "", "a..b", "-a"])
def test_allow_host_rejects_value_that_is_not_host_name(value: str) -> None:
    done = call("emulate", f"--allow-host={value}")
    assert (done.returncode, done.stdout) == (2, "")
    wanted = f"argument --allow-host: {value} is not a host name; expected one without scheme, port, path and *\n"
    assert done.stderr.endswith(wanted)


def test_serve_stops_on_sigterm(tmp_path: Path) -> None:
    port = ports.free()
    log, names = tmp_path / "log", ["--allow-host", "emulator", "--allow-host", "other.test."]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, "emulate", "--emulator-port", str(port), *names],
            cwd=ROOT,
            env=os.environ | IMPORTS,
            stdout=output,
        )
    end = time.monotonic() + 120
    while not log.read_text():
        assert time.monotonic() < end
        time.sleep(0.05)
    assert DEMO_SECRET_ID in log.read_text()
    for host, status in (("emulator", 200), ("other.test:1", 200), ("evil.example", 403)):
        url = f"http://127.0.0.1:{port}/emulator/codes"
        assert requests.get(url, headers={"Host": host}, timeout=5).status_code == status
    process.terminate()
    assert process.wait(timeout=60) == 0
