"""Test the command `send`: its output, its hints, and a whole signup in one command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from signup_emulator.server import Emulator
from tests.support.bridge.signed_requests import CODE, PHONE, SECRET
from tests.support.emulator.command import call
from tests.support.emulator.make_run import Pair, running_pair

CONTACT = "18700005678"
HINT = "signup-bridge send: no code was sent to this contact: add --signup\n"


def test_send_prints_status_and_body_and_with_verbose_the_headers(pair: Pair) -> None:
    done = call("send", "--emulator", pair.url)
    first, _, data = done.stdout.partition("\n")
    assert (done.returncode, done.stderr, first) == (0, "", "200 verified")
    assert list(json.loads(data)) == ["code", "id", "type", "contact", "api_request_id"]
    assert data.startswith('{\n  "code": "verified",\n')
    verbose = call("send", "--emulator", pair.url, "-v")
    first, *headers = verbose.stdout.partition("\n\n")[0].splitlines()
    assert (verbose.returncode, first) == (1, "409 already-verified")
    assert "webhook-delivery: abort-message" in headers
    assert json.loads(verbose.stdout.partition("\n\n")[2])["code"] == "already-verified"


def test_send_says_that_no_code_was_sent(pair: Pair) -> None:
    without = call("send", "--emulator", pair.url, "--contact", CONTACT)
    assert (without.returncode, without.stdout.splitlines()[0], without.stderr) == (1, "422 code-incorrect", HINT)
    call("codes", "--emulator", pair.url, "--send", CONTACT)
    wrong = call("send", "--emulator", pair.url, "--contact", f" {CONTACT}", "--code", "0000")
    assert (wrong.returncode, wrong.stdout.splitlines()[0], wrong.stderr) == (1, "422 code-incorrect", "")
    chosen = call("send", "--emulator", pair.url, "--contact", "wrong-code@outcome.example")
    assert (chosen.returncode, chosen.stderr) == (1, "")


def test_send_signup_verifies_a_contact_from_nothing(pair: Pair) -> None:
    done = call("send", "--emulator", pair.url, "--signup", "--contact", f"{CONTACT} ")
    assert (done.returncode, done.stderr) == (0, "")
    (code,) = pair.get("codes")
    assert (code["contact"], code["state"]) == (CONTACT, "used")
    headings = [line for line in done.stdout.splitlines() if re.match("[0-9A-Z]", line)]
    assert headings == [
        "POST /webhooks/code", "202 sent", f"The emulator sent the code {code['code']} to {CONTACT}.",
        "POST /webhooks/signup", "200 verified",
    ]  # fmt: skip
    assert [one["outcome"] for one in pair.get("deliveries")] == ["verified", "sent"]


def test_send_signup_takes_a_new_contact_each_time_and_prints_one_json_document(pair: Pair) -> None:
    for _ in range(2):
        done = call("send", "--emulator", pair.url, "--signup", "--json")
        assert (done.returncode, json.loads(done.stdout)["body"]["code"]) == (0, "verified")
    contacts = {one["contact"] for one in pair.get("codes")}
    assert len(contacts) == 2
    assert all(contact.endswith("@example.com") for contact in contacts)


def test_send_signup_with_fault_breaks_the_verification(pair: Pair) -> None:
    done = call("send", "--emulator", pair.url, "--signup", "--contact", CONTACT, "--fault", "reset")
    assert (done.returncode, "\n202 sent\n" in done.stdout, "\n504 outcome-unknown\n" in done.stdout) == (1, True, True)


def test_send_signup_ends_if_no_code_is_sent(pair: Pair) -> None:
    order = ("send", "--emulator", pair.url, "--signup", "--contact", CONTACT)
    assert call(*order).returncode == 0
    again = call(*order)
    assert (again.returncode, again.stdout.splitlines()[1]) == (1, "429 send-limited")
    assert len(pair.get("codes")) == 1


def test_send_without_bridge_beside_the_emulator_says_how_to_start_one(emulator: Emulator) -> None:
    done = call("send", "--emulator", emulator.url)
    assert (done.returncode, done.stdout) == (1, "")
    expected = f"signup-bridge send: no bridge runs beside the emulator at {emulator.url}; start both with `"
    assert done.stderr.startswith(expected)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--signup", "--code", CODE], "argument --code: not allowed with argument --signup"),
        (["--signup", "--url", "https://bridge.example/"], "--signup: is not supported with --url"),
        (["--contact", ""], "argument --contact: must not be empty"),
        (["--sender", "nobody"], "argument --sender: nobody is not supported"),
    ],
)
def test_options_that_contradict_each_other_are_wrong_usage(arguments: list[str], problem: str) -> None:
    done = call("send", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert problem in done.stderr


def test_url_of_the_bridge_beside_the_emulator_uses_its_settings(tmp_path: Path) -> None:
    with running_pair(tmp_path, WEBHOOK_AUTH="github") as pair:
        order = ("send", "--emulator", pair.url, "--url", f"{pair.bridge}/webhooks/signup")
        assert call(*order, WEBHOOK_AUTH="bearer", WEBHOOK_SECRETS="another-secret").returncode == 0
        assert call(*order, "--sender", "none").stdout.startswith("401 signature-invalid\n")
    with running_pair(tmp_path, WEBHOOK_SECRETS=SECRET) as pair:
        order = ("send", "--emulator", pair.url, "--url", f"{pair.bridge}/webhooks/signup")
        absent = call(*order)
        assert (absent.returncode, absent.stdout) == (2, "")
        assert absent.stderr.startswith("signup-bridge send: WEBHOOK_SECRETS: is not set;")
        assert call(*order, "--contact", PHONE, WEBHOOK_SECRETS=SECRET).returncode == 0
