"""Test that errors of Redis name the cause and the remedy, and nothing that `/ready` must not show."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import LedgerUnavailable
from signup_bridge.ledger.redis.ledger import RedisLedger

from local_services.certificates import Tls, self_signed
from local_services.redis_server import RedisServer
from signup_toolkit import ports
from tests.support.bridge.clocks import SetClock
from tests.support.ledgers import KEY, POLICY
from tests.support.network.wires import reset, serving

SECRETS = ("127.0.0.1", "localhost", "redis..example", "alice", "hush")
"""Parts of the URLs below that no error may repeat."""


def reason(url: str, *, budget: float = 5.0) -> str:
    """Return the error of the Redis at the URL, and check that it repeats no part of the URL."""
    ledger = RedisLedger(url, POLICY, SetClock(), key=KEY)
    with pytest.raises(LedgerUnavailable) as raised:
        ledger.ping(deadline=Deadline(SetClock(), budget))
    ledger.close()
    text = str(raised.value)
    assert text.startswith("LEDGER_URL: ")
    assert [one for one in SECRETS if one in text] == []
    return text.removeprefix("LEDGER_URL: ")


def replying(reply: bytes) -> Callable[[socket.socket], object]:
    """Return a function that sends this reply to every command."""

    def talk(connection: socket.socket) -> None:
        while connection.recv(65_536):
            connection.sendall(reply)

    return talk


# -- connecting --


def test_refused_connection_is_explained() -> None:
    assert reason(f"redis://alice:hush@127.0.0.1:{ports.free()}/0") == (
        "the connection was refused; check the host and the port, and that the server is running"
    )


def test_unknown_host_is_explained() -> None:
    assert reason("redis://alice:hush@redis..example:6379/0").startswith("the host name cannot be resolved; ")


def test_reset_connection_is_explained() -> None:
    with serving(reset) as port:
        assert reason(f"redis://127.0.0.1:{port}/0").startswith("the connection failed (Connection reset by peer); ")


def test_closed_connection_is_explained() -> None:
    def talk(connection: socket.socket) -> None:
        while b"CONFIG" not in connection.recv(65_536):
            connection.sendall(b"+OK\r\n")

    with serving(talk) as port:
        text = reason(f"redis://127.0.0.1:{port}/0")
    assert text == "the server closed the connection; a port that expects TLS needs rediss://"


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*x\r\n"])
def test_reply_of_another_protocol_is_explained(reply: bytes) -> None:
    with serving(replying(reply)) as port:
        assert reason(f"redis://127.0.0.1:{port}/0").startswith("the response is not from a Redis server; ")


# -- TLS --


@contextmanager
def tls_server(tls: Tls) -> Iterator[int]:
    def talk(plain: socket.socket) -> None:
        with suppress(OSError), tls.context.wrap_socket(plain, server_side=True) as connection:
            replying(b"+OK\r\n")(connection)

    with serving(talk) as port:
        yield port


def test_untrusted_certificate_is_explained(tls: Tls) -> None:
    with tls_server(tls) as port:
        text = reason(f"rediss://alice:hush@127.0.0.1:{port}/0")
    assert text.replace("self signed", "self-signed") == (  # as OpenSSL 1.1 writes it
        "the server's certificate is not trusted (self-signed certificate); "
        "add ?ssl_ca_certs= with the path of the CA's PEM file"
    )


def test_certificate_of_another_host_is_explained(tls: Tls) -> None:
    with tls_server(tls) as port:
        assert reason(f"rediss://alice:hush@localhost:{port}/0?ssl_ca_certs={tls.bundle}") == (
            "the server's certificate is for another host name; use a host name that the certificate contains"
        )


@pytest.mark.parametrize("days", [-3, 3])
def test_expired_or_future_certificate_is_explained(tmp_path: Path, days: int) -> None:
    tls = self_signed(tmp_path, days=days)
    with tls_server(tls) as port:
        text = reason(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tls.bundle}")
    assert text.startswith("the server's certificate is not valid at this time (certificate ")


def test_missing_ca_file_is_explained(tls: Tls, tmp_path: Path) -> None:
    with tls_server(tls) as port:
        assert reason(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/none.pem") == (
            "ssl_ca_certs, ssl_certfile or ssl_keyfile cannot be read (No such file or directory); "
            "check path and permissions"
        )


def test_ca_file_without_certificate_is_explained(tls: Tls, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("no certificate")
    with tls_server(tls) as port:
        text = reason(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tmp_path}/empty.pem")
    assert text.startswith("TLS failed (")
    assert "ssl_ca_certs" in text


def test_tls_to_plain_port_is_explained(redis_server: RedisServer) -> None:
    """A Redis waits for the rest of an invalid command. Other servers respond."""
    text = reason(redis_server.url.replace("redis://", "rediss://alice:hush@"), budget=0.3)
    assert text == "no response to the TLS handshake in time; check that the port expects TLS, and the network"
    with serving(replying(b"-ERR no command\r\n")) as port:
        text = reason(f"rediss://127.0.0.1:{port}/0")
    assert text.startswith("TLS failed (WRONG_VERSION_NUMBER); check that the port expects TLS")


def test_plain_connection_to_tls_port_is_explained(tls: Tls) -> None:
    with tls_server(tls) as port:
        text = reason(f"redis://127.0.0.1:{port}/0")
    assert text in (
        "the server closed the connection; a port that expects TLS needs rediss://",
        "the connection failed (Connection reset by peer); check the host, the port and the network",
        "the response is not from a Redis server; check the host and the port",
    )


# -- errors of the server --


def test_rejected_login_is_explained(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "right", "--appendonly", "no", password="right") as server:
        at = f"127.0.0.1:{server.port}"
        wrong = "the server rejects the user name or the password; percent-encode both in the URL"
        assert reason(f"redis://:hush@{at}/0") == wrong
        assert reason(f"redis://alice:hush@{at}/0") == wrong
        assert reason(f"redis://{at}/0") == "the server requires a password; add it to the URL, percent-encoded"


def test_password_for_server_without_password_is_explained(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "redis://:hush@")
    assert reason(url).startswith("the server has no password, but the URL does; ")


def test_missing_permission_is_explained(redis_server: RedisServer) -> None:
    with redis_server.client as client:
        client.acl_setuser("alice", enabled=True, passwords=["+hush"], commands=["+@all", "-evalsha"], keys=["*"])
        try:
            text = reason(redis_server.url.replace("redis://", "redis://alice:hush@"))
        finally:
            client.acl_deluser("alice")
    assert text.startswith("the user lacks permissions (NOPERM); ")


def test_unknown_database_number_is_explained(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("/0", "/99")
    assert reason(url) == "the server has no database with this number; correct the number after the last slash"


def test_key_of_another_type_is_explained(redis_server: RedisServer) -> None:
    with redis_server.client as client:
        client.lpush("{signup-bridge}:key", "list")
    text = reason(redis_server.url)
    assert text.startswith(
        ("the server rejects a command (WRONGTYPE at line ", "the server rejects a command (ERR at line ")
    )


def test_unknown_command_is_explained_without_its_arguments() -> None:
    """The server's error repeats the arguments."""
    with serving(replying(b"-ERR unknown command 'AUTH', with args beginning with: 'hush' \r\n")) as port:
        assert reason(f"redis://:hush@127.0.0.1:{port}/0").startswith("the server rejects a command (ERR); ")


@pytest.mark.parametrize(
    ("reply", "cause"),
    [
        (b"-CLUSTERDOWN The cluster is down\r\n", "the cluster does not serve all keys (CLUSTERDOWN); "),
        (b"-BUSY Redis is busy running a script.\r\n", "the server is blocked by another client's script "),
    ],
)
def test_unavailable_server_is_explained(reply: bytes, cause: str) -> None:
    """The same server can run scripts later."""

    def talk(connection: socket.socket) -> None:
        while command := connection.recv(65_536):
            connection.sendall(reply if b"EVAL" in command else b"*0\r\n" if b"CONFIG" in command else b"+OK\r\n")

    with serving(talk) as port:
        assert reason(f"redis://127.0.0.1:{port}/0").startswith(cause)


def test_too_many_connections_is_explained() -> None:
    with serving(replying(b"-ERR max number of clients reached\r\n")) as port:
        text = reason(f"redis://127.0.0.1:{port}/0")
    assert text == "the server accepts no more connections; raise its maxclients"
