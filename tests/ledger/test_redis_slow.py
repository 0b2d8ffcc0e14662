"""Test a Redis that sends its replies byte by byte: the deadline limits the whole reply, not each read."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.core.network import DeadlineSocket
from signup_bridge.ledger import LedgerUnavailable
from signup_bridge.ledger.redis.ledger import RedisLedger

from local_services.certificates import Tls
from tests.support.bridge.clocks import SetClock
from tests.support.ledgers import KEY, POLICY
from tests.support.network.wires import serving

BUDGET = 3.0
BYTES = 300
"""Length of a slow reply: far more bytes than can arrive within the budget."""


class Dripping:
    """A server that replies OK to each command, but byte by byte to the one that contains ``word``.

    Each of these bytes advances the clock by a second.
    """

    def __init__(self, word: bytes, clock: SetClock) -> None:
        self.sent = 0
        self._word = word
        self._clock = clock

    def __call__(self, connection: socket.socket) -> None:
        while command := connection.recv(65_536):
            if self._word not in command:
                connection.sendall(b"+OK\r\n")
                continue
            for byte in itertools.repeat(b"x", BYTES):
                connection.sendall(b"+" if not self.sent else byte)
                self.sent += 1
                self._clock.run += 1.0
                time.sleep(0.002)  # lets the reader receive the byte
            connection.sendall(b"\r\n")


def gives_up(url: str, clock: SetClock) -> None:
    ledger = RedisLedger(url, POLICY, clock, key=KEY)
    with pytest.raises(LedgerUnavailable, match="no response in time"):
        ledger.ping(deadline=Deadline(clock, BUDGET))
    ledger.close()


@pytest.mark.parametrize("word", [b"AUTH", b"SELECT", b"EVALSHA", b"CONFIG"])
def test_dripping_reply_ends_at_deadline(word: bytes) -> None:
    """This includes the replies of the handshake."""
    clock = SetClock()
    dripping = Dripping(word, clock)
    with serving(dripping) as port:
        gives_up(f"redis://:password@127.0.0.1:{port}/1", clock)
    assert 0 < dripping.sent < BYTES


def test_dripping_reply_over_tls_ends_at_deadline(tls: Tls) -> None:
    clock = SetClock()
    dripping = Dripping(b"SELECT", clock)

    def talk(plain: socket.socket) -> None:
        with suppress(OSError), tls.context.wrap_socket(plain, server_side=True) as connection:
            dripping(connection)

    with serving(talk) as port:
        gives_up(f"rediss://127.0.0.1:{port}/1?ssl_ca_certs={tls.bundle}", clock)
    assert 0 < dripping.sent < BYTES


def test_dripping_tls_handshake_ends_at_deadline(tls: Tls) -> None:
    """OpenSSL uses the machine's clock."""
    over = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.recv(65_536)
        with suppress(OSError):
            for byte in b"\x16\x03\x03\x40\x00" + bytes(16_000):
                connection.sendall(bytes([byte]))
                if over.wait(0.02):
                    return

    with serving(talk) as port:
        ledger = RedisLedger(f"rediss://127.0.0.1:{port}/0?ssl_ca_certs={tls.bundle}", POLICY, SystemClock(), key=KEY)
        with pytest.raises(LedgerUnavailable, match="no response to the TLS handshake in time"):
            ledger.ping(deadline=Deadline(SystemClock(), 0.3))
        over.set()


@contextmanager
def pair(remaining: Callable[[], float]) -> Iterator[tuple[DeadlineSocket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield DeadlineSocket(one, remaining), other


def test_slowly_read_write_ends_at_deadline() -> None:
    left = iter([20.0] * 3)

    def remaining() -> float:
        with suppress(StopIteration):
            return next(left)
        raise TimeoutError

    with pair(remaining) as (bounded, reader):
        bounded.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

        def read() -> None:
            while reader.recv(1024):
                pass

        thread = threading.Thread(target=read)
        thread.start()
        with pytest.raises(TimeoutError):
            bounded.sendall(bytes(1_000_000))
        bounded.shutdown(socket.SHUT_WR)
        thread.join()


def test_write_is_sent_completely() -> None:
    data = bytes(range(256)) * 4096
    with pair(lambda: 20.0) as (bounded, reader):
        received: list[bytes] = []

        def read() -> None:
            while got := reader.recv(65_536):
                received.append(got)

        thread = threading.Thread(target=read)
        thread.start()
        bounded.sendall(data)
        bounded.shutdown(socket.SHUT_WR)
        thread.join()
    assert b"".join(received) == data
