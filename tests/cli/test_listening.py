"""Test the check of the listen address before a server starts."""

from __future__ import annotations

import socket

import pytest
from signup_bridge.cli.listening import listen_problem


def test_free_port_is_no_problem() -> None:
    assert listen_problem("127.0.0.1", 0) is None


def test_busy_port_names_the_setting_of_the_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        problem = listen_problem("127.0.0.1", port, port_setting="EMULATOR_PORT")
    assert problem == f"EMULATOR_PORT: port {port} on 127.0.0.1 is in use; set another port"


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1"])
def test_address_of_another_machine_names_the_setting_of_the_host(host: str) -> None:
    problem = listen_problem(host, 0, host_setting="--host")
    assert problem
    assert problem.startswith("--host: ")  # without IPv6, the system's message differs
    assert host in problem


def test_unknown_host_is_named() -> None:
    wanted = "HOST: nobody.invalid, port 9 is not available (the host name cannot be resolved); "
    assert listen_problem("nobody.invalid", 9) == wanted + "set another address or port"


def test_other_failure_has_the_words_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> socket.socket:
        raise OSError(24, "EMFILE")

    monkeypatch.setattr(socket, "socket", fail)
    wanted = "HOST: 127.0.0.1, port 9 is not available (too many open files); set another address or port"
    assert listen_problem("127.0.0.1", 9) == wanted
