"""Test connections, timeouts, restarts and lost records of the Redis ledger."""

from __future__ import annotations

import logging
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import InFlight, LedgerUnavailable, Replay
from signup_bridge.ledger.redis.ledger import RedisLedger

from local_services.certificates import Tls
from local_services.redis_server import RedisServer
from tests.support.bridge.clocks import SetClock
from tests.support.ledgers import KEY, POLICY, VERIFIED, Engine, keys, redis_engine_at
from tests.support.network.wires import Wire, serving


def test_restarted_server_keeps_records_and_claims(tmp_path: Path) -> None:
    with RedisServer(tmp_path) as server:
        engine = redis_engine_at(server.port)
        engine.end(VERIFIED)
        engine.end(None, keys("unknown", contact="10086"))
        token = engine.own(keys("held", contact="10010"), lease=100)
        server.stop()
        with pytest.raises(LedgerUnavailable, match="the connection was refused"):
            engine.claim()
        server.start()
        assert isinstance(engine.claim(), Replay)
        assert engine.acquire(keys("unknown", contact="10086")).unknown_outcome
        assert engine.claim(keys("held", contact="10010")) == InFlight()
        assert engine.settle(token, VERIFIED, keys("held", contact="10010"))
        engine.ledger.close()


def test_flushed_script_is_loaded_again(redis_server: RedisServer) -> None:
    engine = redis_engine_at(redis_server.port)
    engine.end(VERIFIED)
    with redis_server.client as client:
        client.script_flush()
    assert isinstance(engine.claim(), Replay)
    engine.ledger.close()


def test_lost_reply_is_requested_again_with_same_result(redis_server: RedisServer) -> None:
    """The server had executed the command. Repeating it has the same result."""
    with Wire(redis_server.port) as wire:
        engine, lose = redis_engine_at(wire.port), wire.lose
        engine.ledger.ping(deadline=engine.deadline)
        lose.append(b"acquired")
        token = engine.own(lease=60)
        assert lose == []
        assert engine.claim() == InFlight()
        lose.append(b"\r\n1\r\n")
        assert engine.settle(token, VERIFIED)
        assert lose == []
        assert engine.claim() == Replay(VERIFIED)
        unknown = keys("unknown", contact="10086")
        engine.end(None, unknown)
        lose.append(b"acquired")
        token = engine.own(unknown, lease=60)
        assert lose == []
        lose.append(b"\r\n1\r\n")
        engine.release(token, unknown)
        assert len(engine.acquire_unknown(unknown).calls) == 1
        engine.ledger.close()


class Interrupted(Deadline):
    """Ctrl-C arrives between sending a command and reading its reply."""

    reads = 0

    def remaining(self) -> float:
        self.reads += 1
        if self.reads == 2:
            raise KeyboardInterrupt
        return super().remaining()


def test_interrupted_connection_is_not_reused(redis_server: RedisServer) -> None:
    engine = redis_engine_at(redis_server.port)
    engine.end(VERIFIED)
    with pytest.raises(KeyboardInterrupt):
        engine.ledger.get(keys("another").delivery, deadline=Interrupted(SetClock(), 60))
    assert engine.claim() == Replay(VERIFIED)
    engine.ledger.close()


def test_hanging_server_is_waited_for_until_deadline() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        engine = redis_engine_at(silent.getsockname()[1])
        began = time.monotonic()
        with pytest.raises(LedgerUnavailable, match="no response in time"):
            engine.ledger.ping(deadline=Deadline(SetClock(), 0.4))
        assert time.monotonic() - began > 0.3


def test_hanging_resolver_is_waited_for_until_deadline(
    monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    asked = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: asked.wait())
    engine = redis_engine_at(redis_server.port)
    with pytest.raises(LedgerUnavailable):
        engine.ledger.ping(deadline=Deadline(SetClock(), 0.3))
    asked.set()


def test_unresponsive_addresses_share_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The attempts for all addresses end at one deadline."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        knocking = [socket.socket() for _ in range(4)]
        for one in knocking:
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", full.getsockname())
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [info] * 3)
        tried: list[object] = []

        class Counted(socket.socket):
            def connect(self, address: object) -> None:
                tried.append(address)
                super().connect(address)  # type: ignore[arg-type]

        monkeypatch.setattr(socket, "socket", Counted)
        engine = redis_engine_at(full.getsockname()[1])
        with pytest.raises(LedgerUnavailable):
            engine.ledger.ping(deadline=Deadline(SetClock(), 0.5))
        assert len(tried) <= 1
        for one in knocking:
            one.close()


def test_tls_connection_works(redis_server: RedisServer, tls: Tls) -> None:
    """A proxy terminates TLS in front of the server, like that of a managed Redis."""

    def copy(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def talk(connection: socket.socket) -> None:
        with socket.create_connection(("127.0.0.1", redis_server.port)) as server:
            back = threading.Thread(target=copy, args=(server, connection))
            back.start()
            copy(connection, server)
            back.join()

    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            plain, _ = listening.accept()
            with suppress(OSError), tls.context.wrap_socket(plain, server_side=True) as connection:
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"rediss://127.0.0.1:{listening.getsockname()[1]}/0?ssl_ca_certs={tls.bundle}"
        ledger = RedisLedger(url, POLICY, SetClock(), key=KEY)
        engine = Engine(ledger, SetClock(), lambda _: None, lambda: ledger)
        engine.end(VERIFIED)
        assert isinstance(engine.claim(), Replay)
        ledger.close()
        thread.join()


def test_another_caller_is_in_the_first_handshake() -> None:
    """Other threads wait for the handshake and send nothing."""
    commands: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> None:
        while command := connection.recv(65_536):
            commands.append(command)
            begun.set()
            go_on.wait()
            connection.sendall(b"*0\r\n" if b"CONFIG" in command else b"+0\r\n")

    with serving(talk) as port:
        engine = redis_engine_at(port)
        first = threading.Thread(target=engine.ledger.ping, kwargs={"deadline": engine.deadline})
        first.start()
        begun.wait()
        with pytest.raises(LedgerUnavailable, match="no response in time"):
            engine.ledger.ping(deadline=Deadline(SetClock(), 0.2))
        assert len(commands) == 1
        go_on.set()
        first.join()
        engine.ledger.ping(deadline=engine.deadline)
        engine.ledger.close()


def test_exhausted_deadline_sends_nothing(redis_server: RedisServer) -> None:
    engine = redis_engine_at(redis_server.port)
    past = Deadline(SetClock(), 0.0)
    for _ in range(2):
        with pytest.raises(LedgerUnavailable, match="no response in time"):
            engine.ledger.ping(deadline=past)
        engine.ledger.ping(deadline=engine.deadline)
    engine.ledger.close()


@pytest.mark.parametrize("which", ["wall", "run"])
def test_idle_connection_is_replaced(redis_server: RedisServer, which: str) -> None:
    clock = SetClock()
    engine = redis_engine_at(redis_server.port, clock=clock)

    def connections() -> int:
        with redis_server.client as client:
            return int(client.info("stats")["total_connections_received"])

    engine.ledger.ping(deadline=engine.deadline)
    before = connections()
    engine.ledger.ping(deadline=engine.deadline)
    assert connections() == before + 1  # the test's own connection
    setattr(clock, which, 21.0)
    engine.ledger.ping(deadline=engine.deadline)
    assert connections() == before + 3
    engine.ledger.close()


def test_wrong_password_is_reported_without_secrets(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--requirepass", "right", "--appendonly", "no", password="right") as server:
        engine = redis_engine_at(server.port, password=":wrong-one@")
        with pytest.raises(LedgerUnavailable) as raised:
            engine.claim()
        assert "the server rejects the user name or the password" in str(raised.value)
        assert "wrong-one" not in str(raised.value)
        assert "127.0.0.1" not in str(raised.value)
        good = redis_engine_at(server.port, password=":right@")
        good.end(VERIFIED)
        good.ledger.close()


def test_full_server_is_reported_with_maxmemory(tmp_path: Path) -> None:
    with RedisServer(tmp_path, "--maxmemory", "100kb", "--maxmemory-policy", "noeviction") as server:
        engine = redis_engine_at(server.port)
        with pytest.raises(LedgerUnavailable, match="maxmemory"):
            engine.claim()
        engine.ledger.close()


def test_evicting_or_volatile_server_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    options = ("--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
    with RedisServer(tmp_path, *options) as server:
        for _ in range(2):
            engine = redis_engine_at(server.port)
            engine.release(engine.own())
            engine.ledger.close()
    told = [record.getMessage() for record in caplog.records]
    required = (
        "appendonly to yes instead of no",
        "appendfsync to always instead of everysec",
        "maxmemory-policy to noeviction instead of allkeys-lru",
    )
    expected = [f"LEDGER_URL: the Redis server may lose records; set its option {option}" for option in required]
    assert told == expected * 2


def test_durable_server_is_not_logged(redis_server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    engine = redis_engine_at(redis_server.port)
    engine.end(VERIFIED)
    assert caplog.records == []
    engine.ledger.close()


def test_server_without_config_command_is_logged_as_info(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "signup_bridge")
    with RedisServer(tmp_path, "--rename-command", "CONFIG", "") as server:
        engine = redis_engine_at(server.port)
        engine.end(VERIFIED)
        engine.ledger.close()
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "durability of the Redis server not checked" in caplog.text
