"""The description and the answers: schemathesis asks everything that the one allows, the other must agree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from bridge import openapi, settings
from bridge.profiles import PROFILES, Profile
from bridge.settings import WEBHOOK_AUTHS
from builders import ROOT, bridge, environment, gunicorn
from scenes import SCENES, Way

from emulator.server import Emulator

TESTS = ROOT / "tests"


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("auth", "profile", "sends", "phases"),
    [
        ("none", "status", "true", "examples,coverage"),
        pytest.param("none", "status", "true", "examples,coverage,fuzzing", marks=pytest.mark.toolchain),
        pytest.param("standard-webhooks", "status", "false", "examples,coverage,fuzzing", marks=pytest.mark.toolchain),
        pytest.param("none", "ack", "false", "examples,fuzzing", marks=pytest.mark.toolchain),
        pytest.param("none", "supabase", "false", "examples,fuzzing", marks=pytest.mark.toolchain),
    ],
)
def test_the_running_bridge_keeps_to_its_description(
    tmp_path: Path, auth: str, profile: str, sends: str, phases: str
) -> None:
    """Every check of schemathesis, as anybody would run it: without a signature."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(TESTS / "schemathesis.toml"), "run"]
    options = ["--max-examples", "25", "--no-color", "--checks", "all", "--phases", phases]
    if profile != "status":  # what is refused is answered by 200: that is what they are for
        options += ["--exclude-checks", "negative_data_rejection"]
    environ = {"PATH": os.environ["PATH"], "SCHEMATHESIS_HOOKS": "schemathesis_hooks", "PYTHONPATH": str(TESTS)}
    changed = {"WEBHOOK_AUTH": auth, "SENDER_PROFILE": profile, "SEND_CODES": sends}
    changed["METRICS"] = str(profile == "status").lower()
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, tmp_path / "log", **changed) as url:
        done = subprocess.run(
            [*command, f"{url}/openapi.json", *options],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert bool(emulator.calls) is (auth == "none")


def schema_of(document: Any, path: str, method: str, status: int, media_type: str) -> Any:
    response = document["paths"][path][method]["responses"][str(status)]
    return response, {**response["content"][media_type]["schema"], "components": document["components"]}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("code", SCENES)
def test_each_answer_is_described(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, code: str, profile: str) -> None:
    bridged, given = SCENES[code].play(Way("http"), emulator, monkeypatch, SENDER_PROFILE=profile)
    if code in ("not-found", "method-not-allowed"):  # no path and no method that is described
        return
    document = bridged.client.get("/openapi.json").json
    described, schema = schema_of(
        document, SCENES[code].request.path, "post", given.status, given.headers["content-type"]
    )
    jsonschema_rs.validate(schema, given.json)
    assert set(given.headers) <= {name.lower() for name in described["headers"]} | {"content-type"}
    for name, value in given.headers.items():
        constant = {n.lower(): header["schema"].get("const") for n, header in described["headers"].items()}.get(name)
        assert constant in (None, value)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_header_is_described_only_where_it_may_stand(profile: Profile) -> None:
    configured = settings.load(environment("", SENDER_PROFILE=profile.name))
    responses = openapi.document(configured)["paths"]["/"]["post"]["responses"]
    may = {
        name: {status for status, response in responses.items() if name in response["headers"]}
        for name in ("Retry-After", "webhook-delivery")
    }
    assert (
        may
        == {
            "status": {"Retry-After": {"409", "503"}, "webhook-delivery": {"400", "409", "422"}},
            "ack": {"Retry-After": {"409", "503"}, "webhook-delivery": set()},
            "supabase": {"Retry-After": {"503"}, "webhook-delivery": set()},
        }[profile.name]
    )


@pytest.mark.parametrize("auth", WEBHOOK_AUTHS)
def test_each_way_of_signing_is_described(emulator: Emulator, auth: str) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH=auth)
    document = bridged.client.get("/openapi.json").json
    assert document == openapi.document(settings.load(environment(emulator.url, WEBHOOK_AUTH=auth)))
    schemes = document["components"]["securitySchemes"]
    asked = {name for one in document["paths"]["/"]["post"]["security"] for name in one}
    assert asked == set(schemes)
    assert (asked == set()) is (auth == "none")
