"""Emulate SCF for one function: a Function URL, and `invoke` for events.

It unpacks the zip read-only and starts it as the platform does. Undocumented behaviour of SCF is not emulated. Source:
Tencent Cloud SCF's documents.
"""

from __future__ import annotations

import contextlib
import json
import stat
import string
import tempfile
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, quote, urlsplit

from .function import Function, FunctionError, Reply, Request
from .instances import EventInstance, WebInstance

BODY_LIMIT = 6 * 1024 * 1024
"""The limit of a request's body in bytes."""

_URL = "/?%&=+,;:@!$'()*~-._#[]"
_HOP_BY_HOP = ("connection", "keep-alive", "transfer-encoding", "content-length", "host")


@dataclass(frozen=True)
class Role:
    """An execution role's temporary credentials."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)


class Platform:
    """One function and its instance, which starts with the first request. ``role`` can change at any time.

    ``returned`` lists the values that an event function returned; SCF writes them to the function's log. ``code`` is
    the folder of the `unpacked` archive, to start a function repeatedly without unpacking.
    """

    def __init__(
        self, function: Function, log: Path, *, port: int = 0, role: Role | None = None, code: Path | None = None
    ) -> None:
        self.role = role
        self.log = log
        self.returned: list[Any] = []
        self._function = function
        self._starting = threading.Lock()
        self._one_event = threading.Lock()
        self._closing = contextlib.ExitStack()
        self._output = self._closing.enter_context(log.open("ab"))
        self._folder = code or self._closing.enter_context(unpacked(function.archive))
        self.instance: WebInstance | EventInstance | None = None
        self._server = _Server(port, self.respond)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.address[1]}"

    def __enter__(self) -> Platform:  # noqa: PYI034  Self came with Python 3.11
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self.instance is not None:
            self.instance.stop()
        self._closing.close()

    def invoke(self, event: object) -> Any:
        """Return what `main_handler` returns for an event. Raises FunctionError."""
        context = {
            "request_id": str(uuid.uuid4()),
            "time_limit_in_ms": int(self._function.timeout * 1000),
            "memory_limit_in_mb": self._function.memory,
            "function_name": "signup-bridge",
            "function_version": "$LATEST",
            "namespace": "default",
            "environment": json.dumps(dict(self._function.environment)),
            "tencentcloud_region": "ap-singapore",
            "tencentcloud_appid": "1250000000",
            "tencentcloud_uin": "100000000001",
        }
        names = ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN")
        if self._function.shape != "event":
            raise ValueError("a web function does not accept events")
        with self._one_event:  # an instance of an event function handles one event at a time
            value = cast(EventInstance, self._running()).call(
                event, context, dict(zip(names, self._credentials(), strict=False))
            )
        self.returned.append(value)
        return value

    def respond(self, request: Request) -> Reply:
        """Return the reply to a request to the Function URL."""
        if len(request.body) > BODY_LIMIT:
            return _failure(413, "the request is larger than 6 MB")
        try:
            instance = self._running()
            if isinstance(instance, WebInstance):
                return instance.request(self._with_platform_headers(request))
            return _reply(self.invoke(_event(request)))
        except FunctionError as error:
            return _failure(error.status, str(error))

    def _running(self) -> WebInstance | EventInstance:
        with self._starting:
            if self.instance is not None and not self.instance.runs:
                self.instance.kill()
                self.instance = None
            if self.instance is None:
                kind = WebInstance if self._function.shape == "web" else EventInstance
                self.instance = kind(self._function, self._folder, self._output)
                self.instance.start()
            return self.instance

    def _credentials(self) -> tuple[str, ...]:
        return (self.role.secret_id, self.role.secret_key, self.role.token) if self.role else ()

    def _with_platform_headers(self, request: Request) -> Request:
        """Add the platform's headers, and remove a caller's headers of the same names."""
        platform = {
            "X-Scf-Request-Id": str(uuid.uuid4()),
            "X-Scf-Memory": str(self._function.memory),
            "X-Scf-Timeout": str(int(self._function.timeout * 1000)),
            "X-Scf-Version": "$LATEST",
            "X-Scf-Name": "signup-bridge",
            "X-Scf-Namespace": "default",
            "X-Scf-Region": "ap-singapore",
            "X-Scf-Appid": "1250000000",
            "X-Scf-Uin": "100000000001",
            **dict(
                zip(("X-Scf-Secret-Id", "X-Scf-Secret-Key", "X-Scf-Session-Token"), self._credentials(), strict=False)
            ),
        }
        kept = [(name, value) for name, value in request.headers if not name.lower().startswith("x-scf-")]
        host, length = ("Host", "signup-bridge.example"), ("Content-Length", str(len(request.body)))
        return Request(request.method, request.path, [host, *kept, length, *platform.items()], request.body)


@contextlib.contextmanager
def unpacked(archive: Path) -> Iterator[Path]:
    """Unpack the zip with its modes into a read-only folder."""
    with tempfile.TemporaryDirectory(prefix="scf-") as parent:
        folder = Path(parent) / "user"
        with zipfile.ZipFile(archive) as source:
            for info in source.infolist():
                Path(source.extract(info, folder)).chmod(stat.S_IMODE(info.external_attr >> 16) & 0o555)
        folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
        for path in folders:
            path.chmod(0o555)
        yield folder
        for path in folders:
            path.chmod(0o755)


def _failure(status: int, message: str) -> Reply:
    """Return the platform's reply for a function that did not reply."""
    body = json.dumps({"errorCode": -1, "errorMessage": message, "statusCode": status}).encode()
    return Reply(status, [("Content-Type", "application/json")], body)


def _event(request: Request) -> dict[str, Any]:
    """Return the event of a Function URL for a request."""
    target = urlsplit(request.path)
    headers: dict[str, str] = {}
    for name, value in request.headers:
        headers[name.lower()] = f"{headers[name.lower()]},{value}" if name.lower() in headers else value
    return {
        "body": request.body.decode(errors="replace"),
        "headers": headers,
        "httpMethod": request.method,
        "path": target.path,
        "queryString": dict(parse_qsl(target.query)),
    }


def _reply(returned: Any) -> Reply:
    """Return the reply of a Function URL for the value that an event function returned."""
    headers = [(str(name), str(value)) for name, value in returned["headers"].items()]
    return Reply(returned["statusCode"], headers, returned["body"].encode())


def _size(text: str, base: int) -> int:
    """Parse a length. Raises ValueError."""
    if not text or text.strip(string.hexdigits if base == 16 else string.digits):
        raise ValueError("not a number")
    return int(text, base)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, respond: Callable[[Request], Reply]) -> None:
        super().__init__(("127.0.0.1", port), _UrlHandler)
        self.respond = respond


class _UrlHandler(BaseHTTPRequestHandler):
    """The Function URL."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def _handle(self) -> None:
        headers = [(name, value) for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP]
        try:
            reply = self.server.respond(Request(self.command, quote(self.path, safe=_URL), headers, self._body()))
        except ValueError:
            reply = _failure(400, "the request is malformed")
            self.close_connection = True
        self.send_response_only(reply.status)
        for name, value in reply.headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(reply.body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            return self.rfile.read(_size(self.headers.get("Content-Length") or "0", 10))
        body = b""
        while size := _size(self.rfile.readline().decode("latin-1").partition(";")[0].strip(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def log_message(self, *_: object) -> None:
        """Log nothing: only the function writes to the log."""
