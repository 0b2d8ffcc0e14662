"""Test `make audit` with the real pip-audit, which queries a server of the test instead of OSV."""

from __future__ import annotations

import json
import runpy
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signup_toolkit import ports
from tests.support import ROOT
from tests.support.network.upstream import Upstream, reply

AUDIT = ROOT / "tools" / "audit.py"
ADVISORY = {
    "id": "PYSEC-0000-1",
    "modified": "2026-01-15T09:30:00Z",
    "published": "2026-01-15T09:30:00Z",
    "details": "made up",
    "affected": [{"package": {"name": "flask", "ecosystem": "PyPI"}, "ranges": [], "versions": ["3.1.0"]}],
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Create a checkout with the tool and lock files that pin one package."""
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "audit.py").write_text(AUDIT.read_text())
    for lock in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / lock).write_text(f"flask==3.1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    return tmp_path


def audit(folder: Path, url: str) -> tuple[int, str]:
    command = [sys.executable, str(folder / "tools" / "audit.py"), "--vulnerability-service", "osv", "--osv-url", url]
    environ = {"HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=150, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def advisories(request: pytest.FixtureRequest) -> Iterator[Upstream]:
    def respond(connection: socket.socket) -> None:
        connection.sendall(reply(request.param, headers="Content-Type: application/json\r\nConnection: close\r\n"))

    with Upstream(respond) as upstream:
        yield upstream


@pytest.mark.parametrize("advisories", [{"vulns": [ADVISORY]}], indirect=True)
def test_known_vulnerability_fails_audit(checkout: Path, advisories: Upstream) -> None:
    status, printed = audit(checkout, advisories.url)
    assert status == 1
    assert "PYSEC-0000-1" in printed
    assert printed.endswith("1 packages audited, 1 with a known vulnerability\n")
    assert len(advisories.requests) == 1
    asked = json.loads(advisories.requests[0].partition(b"\r\n\r\n")[2])
    assert asked == {"package": {"name": "flask", "ecosystem": "PyPI"}, "version": "3.1.0"}


@pytest.mark.toolchain
@pytest.mark.parametrize("advisories", [{}], indirect=True)
def test_no_vulnerability_passes_audit(checkout: Path, advisories: Upstream) -> None:
    assert audit(checkout, advisories.url) == (0, "1 packages audited, 0 with a known vulnerability\n")


@pytest.mark.toolchain
@pytest.mark.parametrize("advisories", [b"<html>a proxy's own page</html>"], indirect=True)
def test_foreign_response_is_reported_as_not_audited(checkout: Path, advisories: Upstream) -> None:
    status, printed = audit(checkout, advisories.url)
    assert (status, "NOT AUDITED: advisories not reachable" in printed) == (0, True)


@pytest.mark.toolchain
def test_unreachable_advisories_are_reported_as_not_audited(checkout: Path) -> None:
    status, printed = audit(checkout, f"http://127.0.0.1:{ports.free()}")
    assert (status, "NOT AUDITED: advisories not reachable" in printed) == (0, True)


@pytest.mark.toolchain
def test_lock_without_hashes_fails_audit(checkout: Path) -> None:
    (checkout / "requirements.txt").write_text("flask==3.1.0\n")
    status, printed = audit(checkout, "http://127.0.0.1:9")
    assert status == 1
    assert "hash" in printed


def test_unknown_package_is_reported_as_not_audited(capsys: pytest.CaptureFixture[str]) -> None:
    status_of = runpy.run_path(str(AUDIT))["status_of"]
    audited = {"name": "redis", "version": "8.0.0", "vulns": []}
    skipped = {"name": "flask", "skip_reason": "Dependency not found on PyPI and could not be audited: flask (3.1.0)"}
    assert status_of([audited, skipped]) == 0
    assert "NOT AUDITED: no data for 1 of 2 packages: flask\n" in capsys.readouterr().out
    assert status_of([audited | {"vulns": [{"id": "PYSEC-0000-1"}]}, skipped]) == 1
