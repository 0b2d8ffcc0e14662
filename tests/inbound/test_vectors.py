"""Test that the bridge decides each vector as expected, and that other libraries differ exactly as the README says."""

from __future__ import annotations

import base64
import http.client
import importlib
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import standardwebhooks.webhooks
from flask import Flask
from signup_bridge import settings
from signup_bridge.core.clock import SystemClock
from signup_bridge.inbound import signatures
from signup_bridge.inbound.signatures import SignatureInvalid, Verifier
from werkzeug.datastructures import EnvironHeaders
from werkzeug.serving import BaseWSGIServer

from tests.support import ROOT
from tests.support.bridge.instances import application, environment
from tests.support.bridge.serving import serving
from tests.support.tools import node_packages

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HERE = ROOT / "tests" / "vectors"
VECTORS: list[dict[str, Any]] = json.loads((HERE / "signatures.json").read_text())
README = (HERE / "README.md").read_text()
SIGNED = [vector for vector in VECTORS if vector["scheme"] == "standard-webhooks"]


def body_of(vector: dict[str, Any]) -> bytes:
    return base64.b64decode(vector["body_base64"]) if "body_base64" in vector else vector["body"].encode()


class Stopped(SystemClock):
    """The machine's clocks with a fixed time of day."""

    now = 0.0

    def time(self) -> float:
        return self.now


@dataclass
class Served:
    """The application behind a socket, with the settings of each vector."""

    server: BaseWSGIServer
    clock: Stopped = field(default_factory=Stopped)
    verifiers: dict[tuple[str, str, int], tuple[Flask, Verifier]] = field(default_factory=dict)

    def with_settings_of(self, vector: dict[str, Any]) -> tuple[Flask, Verifier]:
        named = vector["scheme"], " ".join(vector["secrets"]), vector["tolerance"]
        if named not in self.verifiers:
            values = (*named[:2], str(named[2]))
            vector_settings = dict(zip(("WEBHOOK_AUTH", "WEBHOOK_SECRETS", "WEBHOOK_TOLERANCE"), values, strict=True))
            bridge_settings = settings.load(environment("http://127.0.0.1:9", **vector_settings))
            verify = signatures.verifier(
                bridge_settings.webhook_auth,
                bridge_settings.webhook_keys,
                tolerance=bridge_settings.webhook_tolerance,
                clock=self.clock,
            )
            self.verifiers[named] = application(bridge_settings, self.clock), verify
        return self.verifiers[named]

    def decide(self, vector: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Return the verifier's decision about the request, and the status of the application's response."""
        self.clock.now = vector["now"]
        app, verify = self.with_settings_of(vector)
        result: list[dict[str, Any]] = []

        def judged(environ: WSGIEnvironment, start: StartResponse) -> Any:
            try:
                result.append({"accept": True, "id": verify(EnvironHeaders(environ), body_of(vector))})
            except SignatureInvalid as error:
                result.append({"accept": False, "reason": error.reason})
            return app(environ, start)

        self.server.app = judged
        status = self._ask(vector)
        return result[0], status

    def _ask(self, vector: dict[str, Any]) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            data = body_of(vector)
            connection.putrequest("POST", "/webhooks/signup", skip_accept_encoding=True)
            for name, value in [*vector["headers"], ("Content-Length", str(len(data)))]:
                connection.putheader(name, value.encode())
            connection.endheaders(data)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(Flask(__name__)) as server:
        yield Served(server)


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["name"] for vector in VECTORS])
def test_bridge_decides_as_each_vector(served: Served, vector: dict[str, Any]) -> None:
    result, status = served.decide(vector)
    assert result == vector["expected"]
    assert (status == 401) == (not vector["expected"]["accept"])
    if vector["expected"]["accept"]:
        assert status in (400, 422)  # none of the bodies is a delivery, so that no call is made


def test_vectors_match_their_schema() -> None:
    (described,) = re.findall(r"\n((?:\| `\w+` \|.*\n)+)", README.partition("## Shape")[2].partition("\n## ")[0])
    members = set(re.findall(r"^\| `(\w+)` \|", described, re.MULTILINE))
    assert members == {name for vector in VECTORS for name in vector}
    assert {vector["scheme"] for vector in VECTORS} == {"standard-webhooks", "github", "bearer"}
    assert len({vector["name"] for vector in VECTORS}) == len(VECTORS)
    for vector in VECTORS:
        assert ("body" in vector) != ("body_base64" in vector)
        assert set(vector["expected"]) == {"accept", "id" if vector["expected"]["accept"] else "reason"}
    _, _, reasons = README.partition("\nThe reason is ")
    described_reasons = re.findall(r"`([^`]+)`", reasons.partition("\n\n")[0].replace("\n", " "))
    assert set(described_reasons) == {vector["expected"].get("reason") for vector in VECTORS} - {None}


def python_says(vector: dict[str, Any], set_clock: Callable[[int], None]) -> str:
    """Return the decision of the library from PyPI about a vector, with each of its secrets."""
    headers: dict[str, str] = {}
    for name, value in vector["headers"]:
        before = [headers[name.lower()]] if name.lower() in headers else []
        headers[name.lower()] = ",".join([*before, value.strip()])
    is_svix = any(name.startswith("svix-") for name in headers)
    library = importlib.import_module("svix.webhooks") if is_svix else standardwebhooks.webhooks
    set_clock(vector["now"])
    result = ""
    for secret in vector["secrets"]:
        try:
            library.Webhook(secret).verify(body_of(vector), headers)
            return "accepts"
        except standardwebhooks.webhooks.WebhookVerificationError:
            result = "refuses"
        except json.JSONDecodeError:  # the library also parses an accepted body
            return "accepts"
        except Exception:  # noqa: BLE001  any exception counts
            result = "fails"
    return result


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Return a function that sets the clock of the libraries from PyPI."""

    def set_it(now: int) -> None:
        class Set(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Set:
                return cls.fromtimestamp(now, tz)

        monkeypatch.setattr(standardwebhooks.webhooks, "datetime", Set)

    return set_it


def differing(says: dict[str, str]) -> dict[str, str]:
    """Return the decisions of a library that differ from the vector's."""
    expected = {vector["name"]: "accepts" if vector["expected"]["accept"] else "refuses" for vector in SIGNED}
    return {name: result for name, result in says.items() if result != expected[name]}


def documented(column: int) -> dict[str, str]:
    end = "(accepts|refuses|fails)"
    rows = re.findall(rf"^\| (.+?) \| {end} \| {end} \| {end} \|$", README, re.MULTILINE)
    return {row[0]: row[column] for row in rows if row[column] != row[1]}


def test_pypi_libraries_differ_only_where_noted(set_clock: Callable[[int], None]) -> None:
    assert differing({vector["name"]: python_says(vector, set_clock) for vector in SIGNED}) == documented(2)


@pytest.mark.toolchain
@pytest.mark.timeout(node_packages.INSTALL_LIMIT + 60)
def test_npm_libraries_differ_only_where_noted(npm_packages: Path) -> None:
    command = ["node", str(node_packages.HERE / "vectors.js"), str(HERE / "signatures.json")]
    environ = node_packages.environ(npm_packages)
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=True)
    assert differing(json.loads(done.stdout)) == documented(3)
