"""Test that responses match the OpenAPI description, with requests that schemathesis generates from it."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from signup_bridge import settings
from signup_bridge.app import describe
from signup_bridge.inbound.payload_mapping import PRESETS
from signup_bridge.settings import WEBHOOK_AUTHS
from signup_bridge.web.profiles import PROFILES, Profile

from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.instances import bridge, environment, gunicorn
from tests.support.scenarios.scenarios import SCENES, Way

TESTS = ROOT / "tests"


def run_schemathesis(tmp_path: Path, *options: str, **changed: str) -> list[str]:
    """Run schemathesis against a bridge; return the actions that the bridge called."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(TESTS / "schemathesis.toml"), "run"]
    environ = {
        "PATH": os.environ["PATH"],
        "SCHEMATHESIS_HOOKS": "tests.support.tools.schemathesis_hooks",
        "PYTHONPATH": f"{ROOT}:{ROOT / 'function'}",
    }
    if changed.get("SENDER_PROFILE", "status") != "status":  # a rejection has status 200 in these profiles
        options += ("--exclude-checks", "negative_data_rejection", "--phases", "examples,fuzzing")
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, tmp_path / "log", **changed) as url:
        done = subprocess.run(
            [*command, f"{url}/openapi.json", "--no-color", "--checks", "all", *options],
            cwd=tmp_path,
            env=environ,
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return [call.action for call in emulator.calls]


@pytest.mark.timeout(900)
def test_schemathesis_short_run_finds_no_deviation(tmp_path: Path) -> None:
    """The run has every check of schemathesis, with few examples."""
    options = ("--max-examples", "3", "--phases", "examples,fuzzing")
    calls = run_schemathesis(tmp_path, *options, WEBHOOK_AUTH="none", SEND_CODES="true", METRICS="true")
    assert set(calls) == {"CreateIntlPhoneEmail", "SendIntlPhoneEmailCode"}


@pytest.mark.toolchain
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "changed",
    [
        {"WEBHOOK_AUTH": "none", "SEND_CODES": "true", "METRICS": "true"},
        {"WEBHOOK_AUTH": "standard-webhooks", "METRICS": "true"},  # without a signature, like anyone's first run
        {"WEBHOOK_AUTH": "none", "SENDER_PROFILE": "ack"},
        {"WEBHOOK_AUTH": "none", "SENDER_PROFILE": "supabase", "PAYLOAD_PRESET": "supabase"},
        *({"WEBHOOK_AUTH": "none", "PAYLOAD_PRESET": preset, "SEND_CODES": "true"} for preset in PRESETS),
    ],
    ids=lambda changed: "-".join(changed.values()),
)
def test_schemathesis_long_run_finds_no_deviation(tmp_path: Path, changed: dict[str, str]) -> None:
    """The run has every phase and every check of schemathesis."""
    calls = run_schemathesis(tmp_path, "--max-examples", "25", **changed)
    assert bool(calls) is (changed["WEBHOOK_AUTH"] == "none")


OWN_POINTERS: list[dict[str, str]] = [
    {},
    *({"PAYLOAD_PRESET": preset} for preset in PRESETS),
    {"PAYLOAD_CONTACT": "/0/contact", "PAYLOAD_CODE": "/1", "PAYLOAD_TYPE": "=phone"},
    {"PAYLOAD_CONTACT": "/~1 ~0/9999999", "PAYLOAD_CODE": "/Event/code", "PAYLOAD_TYPE": "/Event/type"},
    {"PAYLOAD_CONTACT": "/a", "PAYLOAD_CODE": "/a/b", "PAYLOAD_TYPE": "/a"},
    {"PAYLOAD_CONTACT": "/ü b/c", "PAYLOAD_CODE": "/b/c", "PAYLOAD_TYPE": "/B/c"},
    {"PAYLOAD_PRESET": "cloudevents", "PAYLOAD_CONTACT": "/data", "PAYLOAD_CODE": "/id"},
]


@pytest.mark.parametrize("mapped", OWN_POINTERS, ids=lambda mapped: "-".join(mapped.values()).replace("/", "."))
def test_describe_is_valid_for_any_settings(mapped: dict[str, str]) -> None:
    flags = ("SEND_CODES", "METRICS", "REVEAL_ALREADY_VERIFIED")
    for auth, profile, flag in itertools.product(WEBHOOK_AUTHS, PROFILES, ("true", "false")):
        changed = {"WEBHOOK_AUTH": auth, "SENDER_PROFILE": profile, **dict.fromkeys(flags, flag)}
        check_document(describe(settings.load(environment("", **changed, **mapped))))


def check_document(document: Any) -> None:
    """Check that all schemas exist and are used, and that no construct causes problems for generators."""
    text = json.dumps(document)
    assert json.loads(text) == document
    assert set(re.findall(r'"#/components/schemas/([^"]+)"', text)) == set(document["components"]["schemas"])
    for name, schema in document["components"]["schemas"].items():
        assert re.fullmatch("[A-Za-z0-9._-]+", name)
        jsonschema_rs.meta.validate(schema)
    operations = [one for methods in document["paths"].values() for one in methods.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert document["servers"] == [{"url": "/"}]
    for node in nodes(document):
        assert "const" not in node
        assert "additionalProperties" not in node
        assert len({type(value) for value in node.get("enum", ())}) < 2


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from nodes(one)


def schema_of(document: Any, path: str, method: str, status: int, media_type: str) -> Any:
    response = document["paths"][path][method]["responses"][str(status)]
    for one in document["components"]["schemas"].values():
        close(one)
    return response, {**response["content"][media_type]["schema"], "components": document["components"]}


def close(schema: Any) -> None:
    """Reject members that are not described. The description allows them, for compatibility with later versions."""
    for node in nodes(schema):
        if isinstance(node.get("required"), list) and "properties" in node:
            node["unevaluatedProperties"] = False


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("code", SCENES)
def test_describe_covers_response_of_every_outcome_and_profile(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, code: str, profile: str
) -> None:
    bridged, response = SCENES[code].play(Way("http"), emulator, monkeypatch, SENDER_PROFILE=profile)
    if code in ("not-found", "delivery-not-found", "method-not-allowed"):  # another path or method
        return
    document = bridged.client.get("/openapi.json").json
    described, schema = schema_of(
        document, SCENES[code].request.path, "post", response.status, response.headers["content-type"]
    )
    jsonschema_rs.validate(schema, json.loads(response.sent))
    assert set(response.headers) <= {name.lower() for name in described["headers"]} | {"content-type"}
    for name, value in response.headers.items():
        allowed = {n.lower(): header["schema"].get("enum") for n, header in described["headers"].items()}.get(name)
        assert allowed in (None, [value])


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_describe_lists_headers_only_for_their_statuses(profile: Profile) -> None:
    bridge_settings = settings.load(environment("", SENDER_PROFILE=profile.name))
    responses = describe(bridge_settings)["paths"]["/"]["post"]["responses"]
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
def test_describe_lists_security_scheme_of_each_auth(emulator: Emulator, auth: str) -> None:
    bridged = bridge(emulator.url, WEBHOOK_AUTH=auth)
    document = bridged.client.get("/openapi.json").json
    assert document == describe(settings.load(environment(emulator.url, WEBHOOK_AUTH=auth)))
    schemes = document["components"]["securitySchemes"]
    asked = {name for one in document["paths"]["/"]["post"]["security"] for name in one}
    assert asked == set(schemes)
    assert (asked == set()) is (auth == "none")


def test_describe_responses_allow_new_members(emulator: Emulator) -> None:
    document = describe(settings.load(environment(emulator.url, SENDER_PROFILE="ack", SEND_CODES="true")))
    for name in ("Verified", "Sent", "Problem", "Acknowledged"):
        schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        described = document["components"]["schemas"][name]
        samples = {"string": "sent", "integer": 1, "boolean": False, "array": []}
        members = {
            member: one["enum"][0] if "enum" in one else samples[one["type"]]
            for member, one in described["properties"].items()
        }
        members |= {"type": "urn:signup-bridge:problem:x"} if name == "Problem" else {}
        jsonschema_rs.validate(schema, members | {"a_later_one": {"x": 1}})
