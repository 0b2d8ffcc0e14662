"""The description and the answers: schemathesis asks everything that the one allows, the other must agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from bridge import openapi
from bridge.settings import WEBHOOK_AUTHS
from builders import ABORT, ROOT, Bridge, bridge, gunicorn

from emulator.api.faults import Fault
from emulator.server import Emulator

TESTS = ROOT / "tests"


@pytest.mark.parametrize("auth", ["none", "standard-webhooks"])
def test_the_running_bridge_keeps_to_its_description(tmp_path: Path, auth: str) -> None:
    """Every phase and every check of schemathesis, as anybody would run it: without a signature."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(TESTS / "schemathesis.toml"), "run"]
    options = ["--max-examples", "60", "--no-color", "--checks", "all"]
    environ = {"PATH": os.environ["PATH"], "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(TESTS)}
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, tmp_path / "log", WEBHOOK_AUTH=auth) as url:
        done = subprocess.run(
            [*command, f"{url}/openapi.json", *options],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=55,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert bool(emulator.calls) is (auth == "none")


def schema_of(document: Any, path: str, method: str, status: int, media_type: str) -> Any:
    response = document["paths"][path][method]["responses"][str(status)]
    return response, {**response["content"][media_type]["schema"], "components": document["components"]}


@pytest.mark.parametrize(
    "fault", [None, "InternalError.VerifyCodeErr", "RequestLimitExceeded", "http-502", "NoSuchVersion", "close"]
)
def test_each_kind_of_answer_is_described(emulator: Emulator, wired: Bridge, fault: str | None) -> None:
    if fault:
        emulator.faults.arm(Fault(fault))
    document = wired.client.get("/openapi.json").json
    given = wired.deliver()
    described, schema = schema_of(document, "/webhooks/signup", "post", given.status, given.headers["content-type"])
    jsonschema_rs.validate(schema, given.json)
    named = {name.lower() for name in described["headers"]} | {"content-type"}
    assert set(given.headers) <= named
    if given.headers == ABORT:
        assert described["headers"]["webhook-delivery"]["schema"] == {"const": "abort-message"}


@pytest.mark.parametrize("auth", WEBHOOK_AUTHS)
def test_each_way_of_signing_is_described(emulator: Emulator, auth: str) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH=auth)
    document = bridged.client.get("/openapi.json").json
    assert document == openapi.document(auth)
    schemes = document["components"]["securitySchemes"]
    asked = {name for one in document["paths"]["/"]["post"]["security"] for name in one}
    assert asked == set(schemes)
    assert (asked == set()) is (auth == "none")
