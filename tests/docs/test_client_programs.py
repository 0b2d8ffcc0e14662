"""Run each program of docs/guides/connect-your-system.md against a bridge and against a failing server."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from standardwebhooks import Webhook

from tests.docs import code_facts
from tests.support import log_audit
from tests.support.bridge.signed_requests import SECRET
from tests.support.documents import read, table
from tests.support.emulator.make_run import Pair, running_pair
from tests.support.network.upstream import Upstream, cut, reply

GUIDE = "docs/guides/connect-your-system.md"
PROGRAMS = dict(re.findall(r"saved as\s`([\w.]+)`:\n\n```\w+\n(.*?)^```", read(GUIDE), re.MULTILINE | re.DOTALL))
ROWS = [(re.findall("`([a-z-]+)`", codes), sentence) for codes, sentence, _ in table(GUIDE, "Tell the person")]
SENTENCES = {code: sentence for codes, sentence in ROWS for code in codes}
((_, ANY_OTHER),) = [row for row in ROWS if not row[0]]
CONTACT = "18766554433"


class Language(NamedTuple):
    """The command that runs a program, the executable that it needs on PATH, and Debian's package of the latter."""

    command: tuple[str, ...]
    needs: str
    package: str


LANGUAGES = {
    "py": Language((sys.executable,), sys.executable, "python3"),
    "mjs": Language(("node",), "node", "nodejs"),
    "go": Language(("go", "run"), "go", "golang-go"),
    "php": Language(("php",), "php", "php-cli"),
    "java": Language(("java",), "javac", "default-jdk-headless"),
}
"""The languages by the suffix of a program's file."""

pytestmark = pytest.mark.timeout(300)
each_program = pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.toolchain) for name in PROGRAMS])


def run(name: str, folder: Path, url: str, verify_code: str) -> subprocess.CompletedProcess[str]:
    """Run a program without proxies until it exits. Skip the test if the language is not installed."""
    command, needs, package = LANGUAGES[name.rpartition(".")[2]]
    if not shutil.which(needs):
        pytest.skip(f"no {needs} on PATH (Debian: apt-get install {package})")
    log_audit.carry(CONTACT, verify_code)
    (folder / name).write_text(PROGRAMS[name])
    environ = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    environ |= {"BRIDGE_URL": f"{url}/webhooks/signup", "WEBHOOK_SECRETS": SECRET}
    words = [*command, name, "phone", CONTACT, verify_code]
    return subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, timeout=240, check=False)


# -- the guide --


def test_guide_has_program_for_each_language() -> None:
    assert [name.rpartition(".")[2] for name in PROGRAMS] == list(LANGUAGES)


def test_table_names_codes_of_the_bridge_once() -> None:
    named = [code for codes, _ in ROWS for code in codes]
    assert len(named) == len(set(named)) > 5
    assert set(named) < set(code_facts.CODES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_has_sentences_of_table(name: str) -> None:
    missing = [code for code, text in SENTENCES.items() if not re.search(rf"{code}\W+{text}", PROGRAMS[name])]
    assert missing == []
    assert PROGRAMS[name].count(ANY_OTHER) == 1


# -- against a bridge --


class Attempt(NamedTuple):
    """A request that the emulator relayed to the bridge."""

    outcome: str
    delivery_id: str
    timestamp: str
    signature: str


def attempts(pair: Pair) -> list[Attempt]:
    """Return the attempts since the last reset, oldest first."""
    found = []
    for delivery in reversed(pair.get("deliveries")):
        headers = {name.lower(): value for name, value in delivery["request"]["headers"]}
        signed = [headers[f"webhook-{part}"] for part in ("id", "timestamp", "signature")]
        found.append(Attempt(delivery["outcome"], *signed))
    return found


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    with running_pair(tmp_path_factory.mktemp("pair"), WEBHOOK_SECRETS=SECRET) as running:
        yield running


@pytest.fixture
def sent_code(pair: Pair) -> str:
    """Return the code that the emulator sent to the contact after a reset."""
    pair.reset()
    return str(pair.post("codes", {"contact": CONTACT})["code"])


@each_program
def test_right_code_is_verified(pair: Pair, sent_code: str, tmp_path: Path, name: str) -> None:
    done = run(name, tmp_path, pair.url, sent_code)
    assert (done.returncode, done.stdout) == (0, SENTENCES["verified"] + "\n"), done.stderr
    assert [attempt.outcome for attempt in attempts(pair)] == ["verified"]


@each_program
def test_wrong_code_is_told_to_the_person(pair: Pair, sent_code: str, tmp_path: Path, name: str) -> None:
    done = run(name, tmp_path, pair.url, "000000" if sent_code != "000000" else "111111")
    assert (done.returncode, done.stdout) == (1, SENTENCES["code-incorrect"] + "\n"), done.stderr
    assert [attempt.outcome for attempt in attempts(pair)] == ["code-incorrect"]


@each_program
def test_lost_reply_of_the_api_is_retried_under_the_same_id(
    pair: Pair, sent_code: str, tmp_path: Path, name: str
) -> None:
    pair.post("faults", {"fault": "reset", "contact": CONTACT})
    done = run(name, tmp_path, pair.url, sent_code)
    assert (done.returncode, done.stdout) == (0, SENTENCES["verified"] + "\n"), done.stderr
    first, second = attempts(pair)
    assert (first.outcome, second.outcome) == ("outcome-unknown", "verified")
    assert first.delivery_id == second.delivery_id
    assert int(first.timestamp) < int(second.timestamp)
    assert first.signature != second.signature


# -- against a failing server --

PROBLEM = "Connection: close\r\nContent-Type: application/problem+json\r\n"
HTML = "Connection: close\r\nContent-Type: text/html\r\n"
OVERLOADED = reply(
    {"code": "overloaded", "retryable": True}, status="503 Service Unavailable", headers=f"{PROBLEM}Retry-After: 3\r\n"
)
BAD_GATEWAY = reply(b"<h1>Bad gateway</h1>", status="502 Bad Gateway", headers=f"{HTML}retry-after: 2\r\n")
UNKNOWN = reply({"code": "outcome-unknown", "retryable": True}, status="504 Gateway Timeout", headers=PROBLEM)
FAILURES = (OVERLOADED, BAD_GATEWAY, None, UNKNOWN, UNKNOWN, UNKNOWN)
"""The replies in order; None resets the connection. There is one reply more than the attempts of a program."""
WAITS = (3, 2, 1, 1)
"""The minimum number of seconds between the attempts: ``Retry-After``, or 1."""


def headers_of(request: bytes) -> tuple[dict[str, str], bytes]:
    """Return the headers of a request, with names in lower case, and its body."""
    head, _, body = request.partition(b"\r\n\r\n")
    lines = (line.partition(": ") for line in head.decode().split("\r\n")[1:])
    return {name.lower(): value for name, _, value in lines}, body


@each_program
def test_failures_are_retried_as_retry_after_says_and_five_times_at_most(tmp_path: Path, name: str) -> None:
    failures = iter(FAILURES)

    def fail(connection: socket.socket) -> None:
        failure = next(failures)
        if failure is None:
            cut(connection)
        else:
            connection.sendall(failure)
            connection.shutdown(socket.SHUT_WR)

    with Upstream(fail) as server:
        done = run(name, tmp_path, server.url, "123456")
    assert (done.returncode, done.stdout) == (1, ANY_OTHER + "\n"), done.stderr
    received = [headers_of(request) for request in server.requests]
    for headers, body in received:
        Webhook(SECRET).verify(body, headers)
    timestamps = [int(headers["webhook-timestamp"]) for headers, _ in received]
    waits = [later - earlier for earlier, later in itertools.pairwise(timestamps)]
    assert len(waits) == len(WAITS)
    assert all(wait >= least for wait, least in zip(waits, WAITS, strict=True))
    assert len({headers["webhook-id"] for headers, _ in received}) == 1
