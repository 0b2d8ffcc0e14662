"""Test the options of `run`, such as a stored state and a host, and the commands that query it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from signup_toolkit import ports
from tests.support import ROOT
from tests.support.emulator.command import COMMAND, IMPORTS, call, run_command
from tests.support.emulator.make_run import Pair, running_pair

CONTACT = "18700005678"


def ask(*arguments: str, emulator: str) -> subprocess.CompletedProcess[str]:
    return call(*arguments, "--emulator", emulator)


def test_keep_option_restores_state_after_restart(tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair:
        code = ask("codes", "--send", CONTACT, "--json", emulator=pair.url)
        order = ("send", "--contact", CONTACT, "--code", json.loads(code.stdout)[0]["code"])
        assert ask(*order, emulator=pair.url).returncode == 0
        before = [pair.get(path) for path in ("codes", "verified", "deliveries")]
        assert [len(one) for one in before] == [1, 1, 1]
    assert (tmp_path / "state" / "emulator.json").stat().st_mode & 0o777 == 0o600

    with running_pair(tmp_path, "--keep") as pair:
        assert [pair.get(path) for path in ("codes", "verified", "deliveries")] == before
        again = pair.post("deliveries/1/redeliver", {})
        assert (again["number"], again["outcome"], again["replayed"]) == (2, "verified", True)

    with running_pair(tmp_path, KEEP="1") as pair:
        assert [one["number"] for one in pair.get("deliveries")] == [2, 1]

    with running_pair(tmp_path) as pair:
        assert [pair.get(path) for path in ("codes", "verified", "deliveries")] == [[], [], []]
        assert ask(*order, emulator=pair.url).returncode == 1


def test_codes_send_and_deliveries_commands_query_emulator(pair: Pair) -> None:
    url = pair.url
    assert "codes --send" in ask("codes", emulator=url).stdout
    sent = ask("codes", "--send", "jo@example.com", emulator=url).stdout
    assert re.fullmatch("[0-9]{6}\n", sent)
    assert ask("codes", emulator=url).stdout.split()[1:] == [sent.strip(), "jo@example.com", "good"]
    refused = ask("codes", "--send", "jo", emulator=url)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("signup-bridge codes: ")

    wrong = ask("send", "--contact", "jo@example.com", "--code", "0000", "--json", emulator=url)
    document = json.loads(wrong.stdout)
    assert (wrong.returncode, document["status"], document["body"]["code"]) == (1, 422, "code-incorrect")
    assert document["headers"]["webhook-delivery"] == "abort-message"
    lost = ask("send", "--contact", "jo@example.com", "--code", sent.strip(), "--fault", "reset", emulator=url)
    assert lost.stdout.startswith("504 ")
    assert ask("send", "--fault", "nothing", emulator=url).stderr.startswith(
        "signup-bridge send: fault: must be an API error code"
    )

    lines = ask("deliveries", emulator=url).stdout.splitlines()
    assert [line.split()[2:4] for line in lines] == [["504", "outcome-unknown"], ["422", "code-incorrect"]]
    listed = json.loads(ask("deliveries", "--json", "--contact", "jo@example.com", emulator=url).stdout)
    assert [one["number"] for one in listed] == [2, 1]
    assert ask("deliveries", "--contact", "10086", emulator=url).stdout == ""


def test_deliveries_follow_prints_new_deliveries(pair: Pair) -> None:
    command = [*COMMAND, "deliveries", "--follow", "--json", "--emulator", pair.url]
    process = subprocess.Popen(
        [*command, "--contact", CONTACT], cwd=ROOT, env=os.environ | IMPORTS, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    output, end = b"", time.monotonic() + 120
    try:
        while not output.endswith(b"\n"):  # the other command may not be watching yet
            pair.post("deliveries", {"contact": "10086", "verify_code": "000000"})
            pair.post("deliveries", {"contact": CONTACT, "verify_code": "000000"})
            with suppress(BlockingIOError):
                output += os.read(process.stdout.fileno(), 65_536)
            assert time.monotonic() < end
            time.sleep(0.1)
        first = json.loads(output.splitlines()[0])
        assert (first["contact"], first["state"]) == ("187****5678", "done")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_host_option_listens_on_all_addresses_and_warns(tmp_path: Path, host: str, warned: bool) -> None:
    with running_pair(tmp_path, "--host", host) as pair:
        assert ask("send", emulator=pair.url).returncode == 0
        assert ("WARNING: listening on" in pair.log.read_text()) is warned
        listening = {"0.0.0.0": "00000000", "127.0.0.1": "0100007F"}[host]
        port = f"{int(pair.url.rpartition(':')[2]):04X}"
        rows = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line]
        assert f"{listening}:{port}" in rows


def test_malformed_state_file_is_explained(tmp_path: Path) -> None:
    (tmp_path / "emulator.json").write_text("[]")
    command = [*COMMAND, "run", "--keep", "--state", str(tmp_path)]
    done = run_command(command, PORT=str(ports.free()), EMULATOR_PORT=str(ports.free()))
    assert done.returncode == 1
    assert "is not a saved state of the emulator; delete it" in done.stderr


def test_second_run_in_a_folder_is_refused_and_deletes_nothing(tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair:
        sent = ask("codes", "--send", CONTACT, emulator=pair.url).stdout.strip()
        assert ask("send", "--contact", CONTACT, "--code", sent, emulator=pair.url).returncode == 0
        state = tmp_path / "state"
        before = {path.name: path.stat().st_ino for path in state.iterdir()}
        command = [*COMMAND, "run", "--state", str(state)]
        done = run_command(command, PORT=str(ports.free()), EMULATOR_PORT=str(ports.free()))
        assert (done.returncode, done.stdout) == (1, "")
        wanted = f"{state} is in use by another `run`; stop that one, or set --state to another folder"
        assert done.stderr == f"signup-bridge run: {wanted}\n"
        assert {path.name: path.stat().st_ino for path in state.iterdir()} == before
        again = pair.post("deliveries/1/redeliver", {})
        assert (again["outcome"], again["replayed"]) == ("verified", True)
