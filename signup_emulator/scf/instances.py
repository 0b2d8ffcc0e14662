"""Run the instances of a function: a process group for a web function, one process for an event function.

An instance has SCF's environment only, a CPython 3.10 without packages, write access to /tmp only, and no processor
time between requests. Connections to a web function stay open while it is frozen.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from signup_toolkit import ports

from .function import Function, FunctionError, Reply, Request

INTERPRETER = "/var/lang/python310/bin/python3.10"
"""The path of SCF's Python, which `scf_bootstrap` must use."""

START_TIMEOUT = 65.0
"""Seconds within which a web function must listen: SCF's default."""

_HERE = Path(__file__).resolve().parent


class _Instance:
    """The common part of both kinds: a confined process that is frozen between requests."""

    def __init__(self, function: Function, folder: Path, log: IO[bytes]) -> None:
        self._function = function
        self._folder = folder
        self._log = log
        self._lock = threading.Lock()
        self._busy = 0
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _start(self, command: list[str], environ: Mapping[str, str], inherited: tuple[int, ...] = ()) -> None:
        self.process = subprocess.Popen(  # noqa: S603  no external input
            [sys.executable, "-I", str(_HERE / "confine.py"), *command],
            cwd=self._folder,
            env=self._platform_environ() | dict(self._function.environment) | dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=inherited,
            start_new_session=True,
        )

    def _platform_environ(self) -> dict[str, str]:
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "HOME": "/tmp",  # noqa: S108  the only writable folder
            "PYTHONPATH": f"{self._folder}:/opt",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TENCENTCLOUD_RUNENV": "SCF",
            "TENCENTCLOUD_REGION": "ap-singapore",
            "TENCENTCLOUD_APPID": "1250000000",
            "TENCENTCLOUD_UIN": "100000000001",
            "SCF_FUNCTIONNAME": "signup-bridge",
            "SCF_FUNCTIONVERSION": "$LATEST",
            "SCF_NAMESPACE": "default",
        }

    @contextlib.contextmanager
    def awake(self) -> Iterator[None]:
        """Give the instance processor time during a request."""
        with self._lock:
            self._busy += 1
            self._signal(signal.SIGCONT)
        try:
            yield
        finally:
            with self._lock:
                self._busy -= 1
                if not self._busy:
                    self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)

    def stop(self) -> None:
        """Stop it with SIGTERM, and with SIGKILL after a grace period. SCF does not document how it stops instances."""
        if self.process is None:
            return
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=10)
        self.kill()

    def kill(self) -> None:
        """Kill it."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()


class WebInstance(_Instance):
    """`scf_bootstrap` and its processes. ``connections`` counts the opened connections."""

    def __init__(self, function: Function, folder: Path, log: IO[bytes]) -> None:
        super().__init__(function, folder, log)
        self.connections = 0
        self.idle_connections: list[http.client.HTTPConnection] = []

    def start(self) -> None:
        """Start it and wait until it listens. Raises FunctionError."""
        bootstrap = self._folder / "scf_bootstrap"
        script = bootstrap.read_bytes().decode()
        if not os.stat(bootstrap).st_mode & 0o111 or not script.startswith("#!/bin/bash\n") or "\r" in script:
            raise FunctionError(405, "scf_bootstrap is not executable; it needs mode 0755, #!/bin/bash and LF")
        self._port = ports.free()
        # On SCF it listens on 0.0.0.0:9000 of its own machine. `-S` hides the packages of this machine.
        script = script.replace(INTERPRETER, f"{self._function.python} -S")
        self._start(["/bin/bash", "-c", script], {"HOST": "127.0.0.1", "PORT": str(self._port)})
        end = time.monotonic() + START_TIMEOUT
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self._port)).close()
                return
            if not self.runs:
                raise FunctionError(405, "the function exited during startup; see its log")
            time.sleep(0.01)
        self.kill()
        raise FunctionError(446, f"the function did not listen within {START_TIMEOUT:g} seconds")

    def request(self, request: Request) -> Reply:
        """Return the function's reply to a request. Raises FunctionError."""
        connection = self._connection()
        kept = False
        try:
            connection.putrequest(request.method, request.path, skip_accept_encoding=True, skip_host=True)
            for name, value in request.headers:
                connection.putheader(name, value.encode("latin-1"))
            # The kernel accepts the head for a frozen instance. A body may be larger than the socket's buffer.
            connection.endheaders()
            with self.awake():
                with contextlib.suppress(ConnectionError):  # it may reply before it has read the body
                    connection.send(request.body)
                response = connection.getresponse()
                reply = Reply(response.status, response.getheaders(), response.read())
            kept = connection.sock is not None
            return reply
        except TimeoutError:
            raise FunctionError(433, f"timed out after {self._function.timeout:g} seconds") from None
        except (OSError, http.client.HTTPException):
            raise FunctionError(439, "the function closed the connection") from None
        finally:
            if kept:
                self.idle_connections.append(connection)
            else:
                connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        """Return the connection that has been idle longest and is still open, or a new one."""
        while self.idle_connections:
            with contextlib.suppress(IndexError):  # another thread took the last one
                connection = self.idle_connections.pop(0)
                if not _readable(connection.sock, 0):
                    return connection
                connection.close()
        self.connections += 1
        return http.client.HTTPConnection("127.0.0.1", self._port, timeout=self._function.timeout)

    def stop(self) -> None:
        self._close_idle()
        super().stop()

    def kill(self) -> None:
        super().kill()
        self._close_idle()

    def _close_idle(self) -> None:
        while self.idle_connections:
            self.idle_connections.pop().close()


class EventInstance(_Instance):
    """A process that calls `index.main_handler` for one event at a time."""

    def start(self) -> None:
        """Start it and wait until the code is loaded. Raises FunctionError."""
        child_in, to_child = os.pipe()
        from_child, child_out = os.pipe()
        self._to, self._from = os.fdopen(to_child, "wb", buffering=0), os.fdopen(from_child, "rb", buffering=0)
        runtime = (_HERE / "runtime.py").read_text()
        command = [self._function.python, "-S", "-u", "-c", runtime, str(child_in), str(child_out)]
        self._start(command, {}, (child_in, child_out))
        os.close(child_in)
        os.close(child_out)
        with self.awake():
            self._read_message(START_TIMEOUT)

    def call(self, event: object, context: Mapping[str, object], environ: Mapping[str, str]) -> Any:
        """Return what `main_handler` returns. Raises FunctionError if it raises, exits or times out."""
        message = {"event": event, "context": dict(context), "environ": dict(environ)}
        with self.awake():
            with contextlib.suppress(BrokenPipeError):
                _write(self._to, json.dumps(message).encode() + b"\n")
            return self._read_message(self._function.timeout)["returned"]

    def _read_message(self, seconds: float) -> Any:
        """Read the next line that the runtime writes. Raises FunctionError."""
        end = time.monotonic() + seconds
        line = b""
        while not line.endswith(b"\n"):
            if not _readable(self._from, end - time.monotonic()):
                self.kill()
                raise FunctionError(433, f"timed out after {seconds:g} seconds")
            chunk = self._from.read(65_536)
            if not chunk:
                raise FunctionError(439, "the function's process exited")
            line += chunk
        message = json.loads(line)
        if "raised" in message:
            raise FunctionError(430, f"{message['raised']}: {message['message']}")
        return message

    def kill(self) -> None:
        super().kill()
        self._to.close()
        self._from.close()


def _readable(file: IO[bytes] | socket.socket, seconds: float) -> bool:
    """Return whether a read would return within the time. `select` would fail for more than 1024 open files."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(max(0.0, seconds) * 1000))


def _write(pipe: IO[bytes], data: bytes) -> None:
    while data:
        data = data[pipe.write(data) :]
