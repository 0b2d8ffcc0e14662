"""Test the ledger's Redis protocol: replies of each kind, malformed replies, and authentication."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.ledger.redis.connections import RedisConnection, ServerError, parse_server

from local_services.certificates import Tls
from tests.support.network.wires import serving


@contextmanager
def connected(
    *replies: bytes, url: str = "redis://127.0.0.1:{port}/0"
) -> Iterator[tuple[RedisConnection, list[bytes]]]:
    """Open a connection to a server that sends one reply per command; yield it and the received commands."""
    commands: list[bytes] = []

    def talk(connection: socket.socket) -> None:
        for reply in replies:
            commands.append(connection.recv(65_536))
            connection.sendall(reply)
        connection.recv(65_536)

    with serving(talk) as port:
        connection = RedisConnection(parse_server(url.format(port=port)))
        connection.deadline = Deadline(SystemClock(), 60)
        connection.open()
        yield connection, commands
        connection.close()


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        (b"+OK\r\n", "OK"),
        (b":-5\r\n", -5),
        (b"$6\r\na\r\n\xc3\xa9b\r\n", "a\r\n\u00e9b"),
        (b"$0\r\n\r\n", ""),
        (b"$200000\r\n" + b"x" * 200_000 + b"\r\n", "x" * 200_000),
        (b"$-1\r\n", None),
        (b"*0\r\n", []),
        (b"*2\r\n*2\r\n:1\r\n$1\r\nx\r\n+y\r\n", [[1, "x"], "y"]),
    ],
)
def test_command_returns_a_reply_of_each_kind(reply: bytes, value: object) -> None:
    with connected(reply, b"+next\r\n") as (connection, commands):
        assert connection.command("ECHO", "\u00e9") == value
        assert connection.command("PING") == "next"
    assert commands == [b"*2\r\n$4\r\nECHO\r\n$2\r\n\xc3\xa9\r\n", b"*1\r\n$4\r\nPING\r\n"]


def test_command_raises_an_error_of_the_server_and_goes_on() -> None:
    with connected(b"-ERR no such \xff\r\n", b"+next\r\n") as (connection, _):
        with pytest.raises(ServerError, match=r"^ERR no such \ufffd$"):
            connection.command("X")
        assert connection.command("PING") == "next"


@pytest.mark.parametrize("reply", [b"HTTP/1.1 200 OK\r\n", b"\r\n", b":x\r\n", b"$1\r\n\xff\r\n", b"x" * 100_000])
def test_command_rejects_what_is_no_reply(reply: bytes) -> None:
    with connected(reply) as (connection, _), pytest.raises(ValueError):  # noqa: PT011  the messages differ
        connection.command("PING")


def test_a_user_name_is_left_out_for_a_server_that_has_none() -> None:
    """Redis 5 and earlier have no user names."""
    old = b"-ERR wrong number of arguments for 'auth' command\r\n"
    with connected(old, b"+OK\r\n", url="redis://alice:hush@127.0.0.1:{port}/0") as (_, commands):
        pass
    assert commands == [b"*3\r\n$4\r\nAUTH\r\n$5\r\nalice\r\n$4\r\nhush\r\n", b"*2\r\n$4\r\nAUTH\r\n$4\r\nhush\r\n"]


@pytest.mark.parametrize(
    ("host", "options"),
    [("127.0.0.1", "ssl_cert_reqs=none"), ("localhost", "ssl_check_hostname=false&ssl_ca_certs={bundle}")],
)
def test_the_client_has_a_certificate_and_checks_the_servers_as_far_as_the_url_says(
    tls: Tls, host: str, options: str
) -> None:
    context = tls.context
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(tls.bundle)

    def talk(plain: socket.socket) -> None:
        with context.wrap_socket(plain, server_side=True) as connection:
            connection.recv(65_536)
            connection.sendall(b"+PONG\r\n")

    with serving(talk) as port:
        url = f"rediss://{host}:{port}/0?ssl_certfile={tls.pem}&{options.format(bundle=tls.bundle)}"
        connection = RedisConnection(parse_server(url))
        connection.deadline = Deadline(SystemClock(), 60)
        connection.open()
        assert connection.command("PING") == "PONG"
        connection.close()
