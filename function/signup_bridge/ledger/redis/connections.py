"""Connections to a Redis server that respect their user's deadline in the handshake and in every reply.

redis-py limits each read separately, so that a slow reply can take longer than the request that waits for it, and it
has no documented hook for another socket. hiredis, Redis's own parser, writes the commands and reads the replies.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any, cast

import hiredis

from signup_bridge.core import network
from signup_bridge.core.clock import Deadline, cpu_lock
from signup_bridge.ledger import url as ledger_url
from signup_bridge.ledger.url import RedisUrl


class ServerError(Exception):
    """The server rejected a command. The message comes from the server, and may repeat the command's arguments."""


class RedisConnection:
    """A connection to a Redis server, opened when it is first used. Its user sets the ``deadline``."""

    deadline: Deadline

    def __init__(self, server: RedisUrl) -> None:
        self._server = server
        self._socket: network.DeadlineSocket | None = None
        self._reader = _new_reader()

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    def open(self) -> None:
        """Connect, log in and select the database. Raises the same errors as `command`."""
        options = self._server.options
        context = _tls_context(options) if self._server.tls else None
        with cpu_lock.released():
            sock = network.connect(options["host"], options["port"], self._remaining)
            if context is not None:
                sock = _start_tls(context, sock, options["host"])
        self._socket = network.DeadlineSocket(sock, self._remaining)
        if "password" in options:
            self._log_in(options.get("username"), options["password"])
        if options["db"]:
            self.command("SELECT", str(options["db"]))

    def command(self, *words: str) -> Any:
        """Run a command and return its reply: a string, a number, None, or a list of these.

        Raises ServerError, OSError, EOFError if the server closes the connection, and ValueError if the reply does not
        follow the protocol. After any error except ServerError, the connection must be closed.
        """
        sock = cast(network.DeadlineSocket, self._socket)
        sock.sendall(hiredis.pack_command(cast(Any, words)))  # hiredis declares a single word
        while (reply := self._reader.gets()) is False:  # RESP2 has no booleans, so the reply is incomplete
            data = sock.recv(65_536)
            if not data:
                raise EOFError("the server closed the connection")
            self._reader.feed(data)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
            self._reader = _new_reader()

    def _remaining(self) -> float:
        if left := self.deadline.remaining():
            return left
        raise TimeoutError("the deadline has passed")

    def _log_in(self, username: str | None, password: str) -> None:
        try:
            self.command("AUTH", *([username] if username else []), password)
        except ServerError as error:
            if not (username and "wrong number of arguments" in str(error)):
                raise
            self.command("AUTH", password)  # Redis 5 does not support user names


def _new_reader() -> hiredis.Reader:
    return hiredis.Reader(protocolError=ValueError, replyError=ServerError, encoding="utf-8")


def parse_server(url: str) -> RedisUrl:
    """Return the Redis server at a URL, which the settings have checked."""
    return cast(RedisUrl, ledger_url.parse(url))


def _start_tls(context: ssl.SSLContext, sock: socket.socket, host: str) -> ssl.SSLSocket:
    try:
        return context.wrap_socket(sock, server_hostname=host)
    except OSError as error:
        sock.close()
        if isinstance(error, TimeoutError):
            raise TimeoutError("the TLS handshake timed out") from None
        raise


def _tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return a context that trusts the system's CAs and those of the URL, and verifies as the URL specifies."""
    context = ssl.create_default_context()
    if options.get("ssl_cert_reqs") == "none":
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        context.check_hostname = options.get("ssl_check_hostname", True)
    if "ssl_ca_certs" in options:
        context.load_verify_locations(options["ssl_ca_certs"])
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context
