"""Test limits of SCF with the built zip: sizes, times, open files, environment names and the file system."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.scf import confine
from signup_emulator.scf.function import Function, Shape
from signup_emulator.scf.platform import unpacked
from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.event_builders import DIRECT
from tests.support.bridge.instances import post
from tests.support.bridge.signed_requests import body, signed
from tests.support.bridge.targets import Scf, both_shapes, changed_archive


@both_shapes
def test_body_above_platform_limit_is_rejected_by_platform(scf: Scf, emulator: Emulator, shape: Shape) -> None:
    with scf.start(shape, emulator.url) as platform:
        response = requests.post(platform.url, data=b"x" * (6 * 2**20 + 1), timeout=60)
        assert (response.status_code, platform.log.read_text()) == (413, "")


@both_shapes
def test_body_above_bridge_limit_is_rejected_by_bridge(scf: Scf, emulator: Emulator, shape: Shape) -> None:
    with scf.start(shape, emulator.url) as platform:
        response = requests.post(platform.url, data=b"x" * 4 * 2**20, timeout=60)
        assert (response.status_code, response.json()["code"]) == (413, "body-too-large")


@pytest.fixture
def many_files() -> Iterator[None]:
    """Open more files than `select` supports."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as opened:
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        for _ in range(1100):
            opened.callback(os.close, os.open("/dev/null", os.O_RDONLY))
        yield


@pytest.mark.usefixtures("many_files")
@both_shapes
def test_open_file_limit_does_not_affect_function(scf: Scf, emulator: Emulator, shape: Shape) -> None:
    """The same holds for the emulated API, which waits until its caller gives up."""
    emulator.faults.arm(Fault("hang"))
    with scf.start(shape, emulator.url, REQUEST_BUDGET="1") as platform:
        requests.get(f"{platform.url}/health", timeout=60)  # the budget includes the wait for a cold start
        assert post(platform.url, body()).json["code"] == "outcome-unknown"
    end = time.monotonic() + 10
    while emulator.calls[0].duration_ms < 100:
        assert time.monotonic() < end
        time.sleep(0.02)


def test_event_is_answered_before_platform_timeout(scf: Scf, emulator: Emulator) -> None:
    """The budget is 8 s, but the function's timeout is 3 s, SCF's default."""
    emulator.faults.arm(Fault("hang"))
    with scf.start("event", emulator.url, timeout=3.0) as platform:
        assert post(platform.url, body()).json["code"] == "outcome-unknown"


@both_shapes
def test_exceeded_platform_timeout_returns_433(scf: Scf, tmp_path: Path, emulator: Emulator, shape: Shape) -> None:
    slow = changed_archive(scf.archive, tmp_path / "slow.zip", "signup_bridge/inbound/body.py", "def parse(", SLOW)
    with scf.start(shape, emulator.url, archive=slow, timeout=3.0) as platform:
        requests.get(f"{platform.url}/health", timeout=60)
        data = body()
        assert requests.post(platform.url, data=data, headers=signed(data), timeout=60).status_code == 433
        assert requests.get(f"{platform.url}/health", timeout=60).status_code == 200


SLOW = """def parse(*of, **named):
    import time
    time.sleep(60)
    return _parse(*of, **named)


def _parse("""


@pytest.mark.parametrize("name", ["TENCENTCLOUD_REGION", "SCF_NAMESPACE", "QCLOUD_X"])
def test_reserved_environment_names_are_rejected(scf: Scf, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: reserved by SCF"):
        Function(scf.archive, "web", {name: "x"}, scf.python)


def test_too_large_environment_is_rejected(scf: Scf) -> None:
    with pytest.raises(ValueError, match="4 KB"):
        Function(scf.archive, "web", {"X": "x" * 4096}, scf.python)


def test_only_tmp_is_writable(scf: Scf, tmp_path: Path) -> None:
    """This includes root. If the kernel lacks Landlock, at least the code's folder is read-only."""
    program = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from signup_emulator.scf import confine
from signup_emulator.api.faults.armed_faults import Fault
print(confine.confine())
"""
    confined = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    with unpacked(scf.archive) as folder:
        outside = Path(os.path.expanduser("~"))
        script = "; ".join(f"touch {path}/canary && echo {path}" for path in (folder, outside, "/dev/shm", "/tmp"))
        command = [sys.executable, "-I", confine.__file__, "/bin/sh", "-c", script]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        written = done.stdout.split()
        assert str(folder) not in written
        if confined == "True\n":
            assert written == ["/tmp"]
    Path("/tmp/canary").unlink()
    (outside / "canary").unlink(missing_ok=True)


def test_function_does_not_see_host_packages_or_environment(scf: Scf, tmp_path: Path, emulator: Emulator) -> None:
    program = 'import sys; print("PATHS", sys.path, sorted(os.environ))\ngc.disable()'
    printing = changed_archive(scf.archive, tmp_path / "printing.zip", "index.py", "gc.disable()", program)
    with scf.start("event", emulator.url, archive=printing) as platform:
        platform.invoke(DIRECT)
        (line,) = [line for line in platform.log.read_text().splitlines() if line.startswith("PATHS")]
    assert "site-packages" not in line
    assert str(ROOT) not in line
    assert ".venv" not in line
    assert "TENCENTCLOUD_RUNENV" in line
