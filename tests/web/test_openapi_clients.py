"""Test /openapi.json with linters, and with generated clients that call a running bridge."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import requests
from signup_bridge import settings
from signup_bridge.app import describe
from signup_bridge.inbound.payload_mapping import PRESETS

from signup_emulator.server import Emulator
from tests.support.bridge.instances import environment, gunicorn
from tests.support.bridge.signed_requests import SECRET
from tests.support.tools import node_packages, openapi_tools

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(node_packages.INSTALL_LIMIT + 120)]

MASKED = "187****4433"
SETTINGS: list[dict[str, str]] = [
    {"SEND_CODES": "true", "METRICS": "true"},
    {"WEBHOOK_AUTH": "github", "SENDER_PROFILE": "ack", "REVEAL_ALREADY_VERIFIED": "false"},
    {"WEBHOOK_AUTH": "none", "SENDER_PROFILE": "supabase", "SEND_CODES": "true"},
    {"WEBHOOK_AUTH": "bearer", "PAYLOAD_CONTACT": "/fields/1/value", "PAYLOAD_CODE": "/0", "PAYLOAD_TYPE": "/Event/-"},
    *({"WEBHOOK_AUTH": "bearer", "PAYLOAD_PRESET": preset, "SEND_CODES": "true"} for preset in PRESETS),
]


def name_of(changed: dict[str, str]) -> str:
    return "-".join(changed.values()).replace("/", ".")


def described(folder: Path, **changed: str) -> Path:
    """Return a file with the response of GET /openapi.json for these settings."""
    file = folder / "openapi.json"
    file.write_text(json.dumps(describe(settings.load(environment("", **changed)))))
    return file


def generate_python(file: Path) -> None:
    """Generate the package `bridge_client` beside the description. Fail if the generator omits anything."""
    packages = openapi_tools.python_packages()
    command = [str(packages / "openapi-python-client"), "generate", "--path", str(file), "--meta", "none"]
    environ = os.environ | {"PATH": f"{packages}:{os.environ['PATH']}"}  # the generator runs its own ruff
    options = ["--output-path", "bridge_client", "--fail-on-warning"]
    openapi_tools.run([*command, *options], cwd=file.parent, env=environ)


IMPORT = """
import importlib, json, pkgutil, bridge_client
modules = [one.name for one in pkgutil.walk_packages(bridge_client.__path__, "bridge_client.")]
print(json.dumps([name for name in modules if importlib.import_module(name) and ".api." in name]))
"""


@pytest.mark.parametrize("changed", SETTINGS, ids=name_of)
def test_python_client_generator_has_every_route(tmp_path: Path, changed: dict[str, str]) -> None:
    file = described(tmp_path, **changed)
    generate_python(file)
    python = str(openapi_tools.python_packages() / "python")
    modules = json.loads(openapi_tools.run([python, "-c", IMPORT], cwd=tmp_path))
    operations = [one for methods in json.loads(file.read_text())["paths"].values() for one in methods.values()]
    wanted = {f"bridge_client.api.{one['tags'][0]}.{one['operationId']}" for one in operations}
    assert wanted <= set(modules)


def test_linters_report_no_error(tmp_path: Path) -> None:
    programs = openapi_tools.node_modules() / ".bin"
    files: list[str] = []
    for changed in SETTINGS:
        folder = tmp_path / str(len(files))
        folder.mkdir()
        files.append(str(described(folder, **changed)))
    environ = os.environ | {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    openapi_tools.run([str(programs / "redocly"), "lint", *files], cwd=tmp_path, env=environ)
    (tmp_path / "rules.yaml").write_text('extends: ["spectral:oas"]\n')
    openapi_tools.run([str(programs / "spectral"), "lint", "-r", "rules.yaml", *files], cwd=tmp_path, env=environ)


# -- clients --


def fetched(url: str, folder: Path) -> Path:
    """Return a file with the description that a running bridge returns."""
    file = folder / "openapi.json"
    file.write_bytes(requests.get(f"{url}/openapi.json", timeout=10).content)
    return file


def drive(scenario: str, folder: Path, **changed: str) -> Any:
    """Return the responses that a client in Python received from a bridge with these settings."""
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, folder / "log", **changed) as url:
        generate_python(fetched(url, folder))
        python = str(openapi_tools.python_packages() / "python")
        script = str(openapi_tools.HERE / "drive.py")
        environ = os.environ | {"PYTHONPATH": str(folder)}
        return json.loads(openapi_tools.run([python, script, scenario, url], cwd=folder, env=environ))


def members(result: list[Any], *names: str) -> list[Any]:
    """Return status, class and some members of a parsed response."""
    status, kind, document = result
    return [status, kind, *(document.get(name) for name in names)]


def test_python_client_standard_webhooks_drives_bridge(tmp_path: Path) -> None:
    results = drive("standard_webhooks", tmp_path, SEND_CODES="true", METRICS="true")
    assert members(results["sent"], "code", "type", "contact") == [202, "Sent", "sent", "email", "j***@example.com"]
    assert members(results["wrong"], "code", "retryable") == [422, "SignupProblem422", "code-incorrect", False]
    assert members(results["verified"], "code", "contact") == [200, "Verified", "verified", MASKED]
    assert results["replayed"] == [True, "true"]
    assert members(results["listed"], "code") == [409, "SignupProblem409", "already-verified"]
    assert members(results["delivered"], "code", "type", "contact") == [200, "Verified", "verified", "phone", None]
    assert members(results["not found"], "code") == [404, "DeliveredProblem404", "delivery-not-found"]
    assert members(results["health"], "status") == [200, "Health", "ok"]
    assert members(results["ready"], "ledger") == [200, "Ready", {"engine": "sqlite", "reach": "instance"}]
    assert (results["openapi"], results["metrics"][:6]) == (200, "# HELP")


def test_python_client_bearer_and_ack_names_deliveries(tmp_path: Path) -> None:
    results = drive("bearer_and_ack", tmp_path, WEBHOOK_AUTH="bearer", SENDER_PROFILE="ack", WEBHOOK_SECRETS=SECRET)
    assert members(results["stranger"], "code") == [401, "SignupProblem401", "signature-invalid"]
    assert members(results["wrong"], "code", "verified") == [200, "SignupAcknowledged", "code-incorrect", False]
    assert members(results["verified"], "code") == [200, "Verified", "verified"]
    assert members(results["reused"], "code") == [200, "SignupAcknowledged", "idempotency-key-reused"]
    assert members(results["delivered"], "code") == [200, "DeliveredAcknowledged", "code-incorrect"]


def test_python_client_sends_mapped_supabase_body(tmp_path: Path) -> None:
    results = drive("supabase", tmp_path, PAYLOAD_PRESET="supabase", SENDER_PROFILE="supabase")
    status, kind, document = results["wrong"]
    assert (status, kind, document["error"]["http_code"]) == (200, "SignupHook200", 422)
    assert members(results["verified"], "code", "contact") == [200, "Verified", "verified", MASKED]


COMPILER = ["--strict", "--module", "nodenext", "--target", "es2022", "--lib", "es2022,dom,dom.iterable"]


def test_typescript_client_drives_bridge(tmp_path: Path) -> None:
    modules = openapi_tools.node_modules()
    (tmp_path / "node_modules").symlink_to(modules)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "drive.ts").write_text((openapi_tools.HERE / "drive.ts").read_text())
    with (
        Emulator(rate=0) as emulator,
        gunicorn(emulator.url, tmp_path / "log", SEND_CODES="true") as url,
    ):
        environ = node_packages.environ(modules)
        programs = modules / ".bin"
        fetched(url, tmp_path)
        openapi_tools.run(
            [str(programs / "openapi-typescript"), "openapi.json", "-o", "bridge.d.ts"], cwd=tmp_path, env=environ
        )
        openapi_tools.run([str(programs / "tsc"), *COMPILER, "drive.ts"], cwd=tmp_path, env=environ)
        results = json.loads(openapi_tools.run(["node", "drive.js", url], cwd=tmp_path, env=environ))
    assert results == {
        "sent": [202, 60],
        "wrong": [422, "code-incorrect", False],
        "verified": [200, "verified", MASKED],
        "listed": [409, "already-verified"],
        "delivered": [200, {**results["delivered"][1], "code": "verified", "id": "msg_1", "type": "phone"}],
        "ready": [200, "sqlite"],
    }


def test_client_packages_are_locked_without_registry() -> None:
    lock = json.loads((openapi_tools.HERE / "package-lock.json").read_text())
    wanted = json.loads((openapi_tools.HERE / "package.json").read_text())["dependencies"]
    assert lock["packages"].pop("")["dependencies"] == wanted
    for package in lock["packages"].values():
        assert package["integrity"].startswith("sha512-")
        assert "resolved" not in package
    requirements = openapi_tools.LOCK.read_text()
    assert "openapi-python-client==0.29.1 \\\n    --hash=sha256:" in requirements
    assert "://" not in requirements
