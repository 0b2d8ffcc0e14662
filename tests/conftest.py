"""Fixtures. Each imports what it needs when a test asks for it, so that one file of the suite starts quickly."""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from signup_bridge.telemetry.logs import log

from tests.support import log_audit, log_lines

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from signup_deploy.config import Config
    from signup_deploy.package import Package
    from signup_emulator.server import Emulator
    from tests.support.browser import Console
    from tests.support.builders import Bridge, SetClock
    from tests.support.certificates import Tls
    from tests.support.deliveries import Build
    from tests.support.ledgers import Engine, Make
    from tests.support.lost_replies import World
    from tests.support.make_run import Pair
    from tests.support.redis_server import RedisServer
    from tests.support.scf_api import ScfCloud
    from tests.support.targets import Scf

pytest.register_assert_rewrite("promises")

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


def pytest_configure() -> None:
    """Let Ctrl-C reach the processes that tests start, even if a shell started pytest in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        with suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip files that cannot contain the only marker selected: importing all of them takes longer than some tests."""
    marker = config.option.markexpr
    if marker not in ("browser", "toolchain") or collection_path.suffix != ".py":
        return None
    return f"mark.{marker}" not in collection_path.read_text() or None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the browser tests of a file on one worker (`--dist loadgroup`), which starts one Chromium for them."""
    for item in items:
        if item.get_closest_marker("browser"):
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under CI nothing may be skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def every_line_is_declared() -> Iterator[None]:
    """Whatever this process logs in a test."""
    checker, level = log_lines.Checker(), log.level
    log.addHandler(checker)
    log.setLevel(logging.DEBUG)
    yield
    log.setLevel(level)
    log.removeHandler(checker)
    assert checker.found == []


@pytest.fixture(autouse=True)
def ledgers_are_closed() -> Iterator[None]:
    """An application refers to itself: until a garbage collection, its ledger's files would stay open."""
    yield
    if "builders" in sys.modules:
        from tests.support.builders import LEDGERS

        for one in list(LEDGERS):
            one.close()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    from signup_emulator.server import Emulator

    with Emulator(rate=0) as running:
        yield running


@pytest.fixture
def wired(emulator: Emulator) -> Bridge:
    """A bridge in this process, wired to the emulator."""
    from tests.support.builders import bridge

    return bridge(emulator.url, REQUEST_BUDGET=5)


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    from tests.support import certificates

    return certificates.self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def redis_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    from tests.support.redis_server import RedisServer

    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_of_the_session: RedisServer) -> RedisServer:
    """A Redis that knows nothing yet."""
    with redis_of_the_session.client as client:
        client.flushall()
    return redis_of_the_session


@pytest.fixture(params=["sqlite", "redis"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    from tests.support.ledgers import POLICY, redis_engine, sqlite_engine

    made: list[Engine] = []

    def engine(**changed: Any) -> Engine:
        policy = POLICY._replace(**changed)
        if request.param == "sqlite":
            made.append(sqlite_engine(tmp_path, policy))
        else:
            made.append(redis_engine(request.getfixturevalue("redis_server"), policy))
        return made[-1]

    yield engine
    for one in made:
        one.ledger.close()


@pytest.fixture
def engine(make: Make) -> Engine:
    return make()


@pytest.fixture(params=["sqlite", "redis"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Where an instance remembers; the same for every instance of a test."""
    from tests.support.ledgers import KEY

    if request.param == "sqlite":
        return {"LEDGER_URL": f"sqlite:///{tmp_path}/ledger.db"}
    return {"LEDGER_URL": request.getfixturevalue("redis_server").url, "LEDGER_KEY": KEY.decode()}


@pytest.fixture
def build(emulator: Emulator, ledger: dict[str, str]) -> Iterator[Build]:
    """Make instances, which share a ledger."""
    from tests.support.builders import bridge

    built: list[Bridge] = []

    def one(clock: SetClock | None = None, **changed: Any) -> Bridge:
        built.append(bridge(emulator.url, clock, **{**ledger, **changed}))
        return built[-1]

    yield one
    for instance in built:
        instance.app.extensions["ledger"].close()


@pytest.fixture
def new_world(emulator: Emulator, tmp_path: Path) -> Callable[..., World]:
    """Make worlds over one account, one ledger and one clock."""
    from tests.support.lost_replies import worlds

    return worlds(emulator, tmp_path)


@pytest.fixture
def world(new_world: Callable[..., World]) -> World:
    return new_world()


@pytest.fixture(scope="session")
def python3_10() -> str:
    """A Python 3.10 without what is installed beside it."""
    from signup_deploy import python310

    found = python310.find()
    if found is None:
        pytest.skip("no Python 3.10 on this machine")
    return found


@pytest.fixture(scope="session")
def scf(built: Package, python3_10: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scf]:
    from tests.support.targets import Scf

    with ExitStack() as unpacking:
        yield Scf(built.archive, python3_10, tmp_path_factory.mktemp, unpacking)


@pytest.fixture(scope="session")
def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for all workers."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def built(folder_of_the_run: Path) -> Package:
    """What `make package` builds, once for all workers of this run."""
    from signup_deploy import package

    folder = folder_of_the_run
    with (folder / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / "build.done"
        if not done.exists():
            done.write_bytes(pickle.dumps(package.build(folder / "build")))
        built: Package = pickle.loads(done.read_bytes())
    return built


@pytest.fixture(scope="session")
def npm_packages() -> Path:
    """The folder `node_modules`."""
    from tests.support import node_packages

    return node_packages.install()


@pytest.fixture
def cloud() -> Iterator[ScfCloud]:
    """An account of SCF without a function."""
    from tests.support.scf_api import ScfCloud

    with ScfCloud() as running:
        yield running


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """What serverless.yml describes."""
    from tests.support import deployments

    return deployments.load(tmp_path)


@pytest.fixture
def deployed(cloud: ScfCloud, config: Config) -> ScfCloud:
    """An account with the function in it, whose calls are forgotten."""
    from tests.support import deployments

    deployments.deploy(cloud, config)
    cloud.forget()
    return cloud


@pytest.fixture(scope="session")
def pair_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    from tests.support.make_run import running_pair

    with running_pair(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(pair_of_the_session: Pair) -> Iterator[Pair]:
    """The emulator and the bridge of `make run`, as at the start."""
    pair_of_the_session.reset()
    yield pair_of_the_session
    log_audit.carry_document(pair_of_the_session.get("codes"))


@pytest.fixture(scope="module")  # while a browser is driven, no test of its thread can run an event loop of its own
def chromium() -> Iterator[Browser]:
    from tests.support import browser

    found = browser.chromium()
    if found is None:
        missing = f"no Chromium on this machine: none of {', '.join(browser.NAMES)} is on PATH"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(missing)
    with browser.running_browser(found) as running:
        yield running


@pytest.fixture
def another(chromium: Browser, pair: Pair) -> Iterator[Callable[..., Console]]:
    """Open the console in a browser that knows nothing, with options of Playwright's. None may complain in the end."""
    from tests.support.browser import Console

    opened: list[Console] = []

    def one(**options: Any) -> Console:
        opened.append(Console(chromium, pair, **options))
        return opened[-1]

    yield one
    for console in opened:
        console.context.close()
    assert [problem for console in opened for problem in console.problems] == []


@pytest.fixture
def console(another: Callable[..., Console]) -> Console:
    """A page in a browser that knows nothing."""
    return another()
