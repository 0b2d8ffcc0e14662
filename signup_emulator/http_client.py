"""Call a running emulator over HTTP, and explain why a server does not respond."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import requests
from signup_bridge.cli.installation import command_line

from .console.origin_check import is_loopback

TIMEOUT = 30.0
"""Seconds for a response of the emulator."""

NOT_HTTP = "the response is not HTTP"

_CAUSES: tuple[tuple[type[BaseException], str], ...] = (
    (socket.gaierror, "the host name cannot be resolved"),
    (TimeoutError, "timed out"),
    (requests.Timeout, "timed out"),
    (http.client.RemoteDisconnected, "the server closed the connection"),
    (http.client.HTTPException, NOT_HTTP),
)
"""Exceptions that lead to a failure, each with the text for it. A subclass precedes its base class."""

_NOT_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL")
"""OpenSSL's reasons if the first reply is not a TLS record."""


class CommandError(Exception):
    """The command failed. The text names the cause. ``status`` is the exit status, 2 for wrong usage."""

    def __init__(self, why: str, status: int = 1) -> None:
        super().__init__(why)
        self.status = status


class EmulatorClient:
    """A client of the emulator's REST. Its methods raise CommandError. ``advice`` is printed if nothing is running."""

    def __init__(self, url: str, *, advice: str = "") -> None:
        self._url = url.rstrip("/")
        self._advice = advice
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy for an emulator on this machine

    def __enter__(self) -> EmulatorClient:  # noqa: PYI034  Self came with Python 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._session.close()

    def status(self) -> dict[str, Any]:
        """Return the emulator's status. Raises CommandError if another server responds."""
        response = self._send("GET", "/emulator/status")
        document = _json(response)
        if response.status_code == 403 and "error" in document:
            raise CommandError(f"{self._url}: {document['error']}")
        if not response.ok or not {"bridge", "senders", "secret_generated"} <= document.keys():
            raise self._not_the_emulator()
        return document

    def request(self, method: str, path: str, body: Any = None, **query: str | None) -> Any:
        """Return the JSON of a response."""
        self.status()
        return self._checked(self._send(method, path, json=body, params=query)).json()

    def stream(self, path: str) -> requests.Response:
        """Return a response whose body is not read yet."""
        self.status()
        return self._checked(self._send("GET", path, stream=True, timeout=None))

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        options = {"timeout": TIMEOUT, "allow_redirects": False, **options}
        try:
            return self._session.request(method, self._url + path, **options)
        except requests.RequestException as error:
            if cause(error) == NOT_HTTP:
                raise self._not_the_emulator() from None
            raise CommandError(no_response(self._url, error, f", or set --emulator to its URL{self._advice}")) from None

    def _not_the_emulator(self) -> CommandError:
        return CommandError(
            f"{self._url} is not the emulator; set --emulator to the URL that `{command_line('run')}` prints"
        )

    def _checked(self, response: requests.Response) -> requests.Response:
        if not response.ok:
            raise CommandError(_json(response).get("error") or f"{self._url}: {response.status_code} {response.reason}")
        return response


def no_response(url: str, error: requests.RequestException, advice: str = "") -> str:
    """Return the error text for a request without a response: the cause and the remedy.

    ``advice`` follows the command that starts a server at a URL of this machine.
    """
    text = f"no response from {url}: {cause(error)}"
    if is_loopback(urlsplit(url).hostname or "") and any(isinstance(one, ConnectionError) for one in _chain(error)):
        return f"{text}; start the emulator and the bridge with `{command_line('run')}`{advice}"
    return text


def cause(error: requests.RequestException) -> str:
    """Return the cause in a few words."""
    chain = list(_chain(error))
    for one in chain:
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"the certificate is not trusted ({one.verify_message})"
        if isinstance(one, ssl.SSLError):
            return _tls_cause(one)
        for kind, text in _CAUSES:
            if isinstance(one, kind):
                return text
    system = next((one for one in reversed(chain) if isinstance(one, OSError) and one.errno), None)
    return os.strerror(system.errno or 0).lower() if system else str(error)


def _tls_cause(error: ssl.SSLError) -> str:
    if error.reason in _NOT_TLS:
        return "the server does not use TLS; use http://"
    return f"the TLS handshake failed ({(error.reason or 'unknown').lower().replace('_', ' ')})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _json(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of a response, an empty one if it has none."""
    try:
        document = response.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
