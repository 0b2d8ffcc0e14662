"""Define hooks and fixtures for several packages. A package's own fixtures are in its conftest.py.

A fixture imports its modules when a test requests it, so that a single test file starts quickly.
"""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from signup_bridge.telemetry.logs import log

from tests.support import log_audit, log_lines

if TYPE_CHECKING:
    from local_services.certificates import Tls
    from local_services.redis_server import RedisServer
    from signup_deploy.packaging.package import Package
    from signup_emulator.server import Emulator
    from tests.support.bridge.clocks import SetClock
    from tests.support.bridge.deliveries import Build
    from tests.support.bridge.instances import Bridge
    from tests.support.bridge.targets import Scf

pytest_runtest_setup = log_audit.pytest_runtest_setup
pytest_fixture_setup = log_audit.pytest_fixture_setup
pytest_runtest_makereport = log_audit.pytest_runtest_makereport

hypothesis.settings.register_profile(
    "bridge",
    hypothesis.settings.get_profile("ci" if os.environ.get("CI") else "default"),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("bridge")
pytest.register_assert_rewrite("tests.support.scenarios.invariants")


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start, even if a shell started pytest in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files that cannot contain the only selected marker, because importing all files takes seconds."""
    marker = config.option.markexpr
    if marker not in ("browser", "toolchain") or collection_path.suffix != ".py":
        return None
    return f"mark.{marker}" not in collection_path.read_text() or None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run under CI that skipped a test."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


# -- checks around every test --


@pytest.fixture(autouse=True)
def check_log_fields() -> Iterator[None]:
    """Check each log line of this process against `LOG_FIELDS`."""
    checker, level = log_lines.Checker(), log.level
    log.addHandler(checker)
    log.setLevel(logging.DEBUG)
    yield
    log.setLevel(level)
    log.removeHandler(checker)
    assert checker.found == []


@pytest.fixture(autouse=True)
def close_ledgers() -> Iterator[None]:
    """Close the ledger of each application. Its files would stay open until the next garbage collection."""
    yield
    builders = sys.modules.get("tests.support.bridge.instances")
    for ledger in list(builders.LEDGERS) if builders else []:
        ledger.close()


# -- the emulated API, and a bridge in this process --


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Start an emulated API without a rate limit."""
    from signup_emulator.server import Emulator

    with Emulator(rate=0) as running:
        yield running


@pytest.fixture
def default_bridge(emulator: Emulator) -> Bridge:
    """Return a bridge in this process that calls the emulator."""
    from tests.support.bridge.instances import bridge

    return bridge(emulator.url, REQUEST_BUDGET=5)


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Return the settings of one ledger, the same for every instance of a test."""
    from tests.support.ledgers import KEY

    if request.param == "sqlite":
        return {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    return {"LEDGER_URL": request.getfixturevalue("redis_server").url, "LEDGER_KEY": KEY.decode()}


@pytest.fixture
def build(emulator: Emulator, ledger: dict[str, str]) -> Iterator[Build]:
    """Return a function that creates instances with a shared ledger."""
    from tests.support.bridge.instances import bridge

    instances: list[Bridge] = []

    def create(clock: SetClock | None = None, **changed: Any) -> Bridge:
        instances.append(bridge(emulator.url, clock, **{**ledger, **changed}))
        return instances[-1]

    yield create
    for instance in instances:
        instance.app.extensions["ledger"].close()


# -- servers and packages on this machine --


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Create a self-signed certificate for 127.0.0.1."""
    from local_services import certificates

    return certificates.self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def redis_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    from local_services.redis_server import RedisServer

    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_of_the_session: RedisServer) -> RedisServer:
    """Return a Redis server without data."""
    with redis_of_the_session.client as client:
        client.flushall()
    return redis_of_the_session


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """Install the npm packages and return the folder `node_modules`."""
    from tests.support.tools import node_packages

    return node_packages.install()


# -- the zip --


@pytest.fixture(scope="session")
def python3_10() -> str:
    """Return the path of a CPython 3.10."""
    from signup_toolkit import python310

    found = python310.find()
    if found is None:
        pytest.skip("no Python 3.10 on this machine")
    return found


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder that all workers of this run share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def built(run_folder: Path) -> Package:
    """Build what `make package` builds, once for all workers of this run."""
    from signup_deploy.packaging import package

    with (run_folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = run_folder / "build.done"
        if not done.exists():
            done.write_bytes(pickle.dumps(package.build(run_folder / "build")))
        result: Package = pickle.loads(done.read_bytes())
    return result


@pytest.fixture(scope="session")
def scf(built: Package, python3_10: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scf]:
    """Return an object that starts the built zip as SCF does."""
    from tests.support.bridge.targets import Scf

    with ExitStack() as unpacking:
        yield Scf(built.archive, python3_10, tmp_path_factory.mktemp, unpacking)
