"""Write HTTP responses: each header once, 100 (Continue) in time, and errors in JSON.

Werkzeug's handler adds a second Server and Date to a relayed response, a second 100 (Continue), and errors in HTML.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import urlsplit

from werkzeug.serving import WSGIRequestHandler


class Handler(WSGIRequestHandler):
    """The handler of one connection. It closes the connection after a response of the application."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write for each reply
    _names: set[str] | None = None
    """The names of the headers of the response that is being built, in lower case."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing: GET /emulator/calls returns the calls."""

    def parse_request(self) -> bool:
        """Reject a target that `urlsplit` cannot parse, because Werkzeug would drop the connection."""
        if not super().parse_request():
            return False
        try:
            urlsplit(self.path)
        except ValueError:
            self.send_error(400, "The request target is not a valid URL.")
            return False
        return True

    def send_response(self, code: int, message: str | None = None) -> None:
        """Start a response without Server and Date: `end_headers` adds them unless a relayed response has its own."""
        self.log_request(code)
        self._names = set()
        self.send_response_only(code, message)

    def send_header(self, keyword: str, value: str) -> None:
        if self._names is not None:
            self._names.add(keyword.lower())
        super().send_header(keyword, value)

    def end_headers(self) -> None:
        names, self._names = self._names, None
        if names is not None and "server" not in names:
            self.send_header("Server", self.version_string())
        if names is not None and "date" not in names:
            self.send_header("Date", self.date_time_string())
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Report an error of http.server, such as a malformed request line, in JSON instead of HTML."""
        self.command = self.command or "GET"
        # Otherwise http.server may assume HTTP/0.9, and send no status line.
        self.request_version = self.protocol_version
        reason = HTTPStatus(code).phrase
        self.reject(code, message or explain or reason, reason)

    def handle_expect_100(self) -> bool:
        """Send 100 (Continue) immediately, although `wfile` is buffered."""
        super().handle_expect_100()
        self.wfile.flush()
        return True

    def run_wsgi(self) -> None:
        del self.headers["Expect"]  # Werkzeug would send a second 100 (Continue)
        super().run_wsgi()

    def reject(self, status: int, error: str, reason: str | None = None) -> None:
        """Send an error of the HTTP server, not of the API, and close the connection."""
        self.close_connection = True
        self.send(status, "application/json", json.dumps({"error": error}).encode(), reason=reason)

    def send(
        self,
        status: int,
        media_type: str | None,
        body: bytes,
        location: str | None = None,
        *,
        reason: str | None = None,
    ) -> None:
        self.send_response(status, reason)
        if media_type:
            self.send_header("Content-Type", media_type)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.write(b"" if self.command == "HEAD" else body)

    def write(self, data: bytes) -> None:
        self.wfile.write(data)
        self.wfile.flush()
