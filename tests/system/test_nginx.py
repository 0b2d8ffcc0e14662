"""Test the configuration in docs/explanation/security.md with a real nginx in front of a bridge under gunicorn."""

from __future__ import annotations

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from local_services.certificates import Tls
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.instances import gunicorn
from tests.support.bridge.signed_requests import PHONE, body, signed

pytestmark = pytest.mark.toolchain

GUIDE = (ROOT / "docs" / "explanation" / "security.md").read_text()
(DOCUMENTED,) = re.findall(r"^```nginx\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)

AROUND = """
daemon off;
master_process off;
pid pid;
events {}
http {
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
%s
}
"""


@dataclass
class Proxied:
    """A bridge behind a proxy: its port, the proxy's port, and the certificate that callers of the proxy trust."""

    bridge: int
    port: int
    tls: Tls
    emulator: Emulator

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def deliver(self, contact: str, delivery_id: str | None = None) -> Any:
        data = body(contact=contact)
        headers = signed(data, delivery_id=delivery_id)
        url = f"{self.url}/webhooks/signup"
        return requests.post(url, data, headers=headers, verify=str(self.tls.bundle), timeout=60).json()

    def connect(self) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=60)
        return ssl.create_default_context(cafile=self.tls.bundle).wrap_socket(plain, server_hostname="127.0.0.1")

    def connections(self) -> set[str]:
        """Return the addresses from which connections to the bridge are open."""
        rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        return {row[1] for row in rows if row[2].endswith(f":{self.bridge:04X}") and row[3] == "01"}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory, tls: Tls) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("nginx")
    arguments = "--threads 1"
    with (
        Emulator(rate=0) as emulator,
        gunicorn(emulator.url, folder / "log", METRICS="true", GUNICORN_CMD_ARGS=arguments) as url,
    ):
        running = Proxied(int(url.rpartition(":")[2]), ports.free(), tls, emulator)
        with nginx(folder, running):
            yield running


@contextmanager
def nginx(folder: Path, running: Proxied) -> Iterator[None]:
    """Run nginx with the documented configuration, and the ports and the certificate of the test."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if not found:
        pytest.skip("no nginx on this machine (Debian: apt-get install nginx-light)")
    changes = {
        "listen 443 ssl": f"listen 127.0.0.1:{running.port} ssl",
        "127.0.0.1:9000": f"127.0.0.1:{running.bridge}",
        "/etc/nginx/signup-bridge.pem": str(running.tls.pem),
    }
    configuration = DOCUMENTED
    for documented, own in changes.items():
        assert documented in configuration
        configuration = configuration.replace(documented, own)
    (folder / "nginx.conf").write_text(AROUND % configuration)
    command = [found, "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log"]
    with (folder / "stderr").open("wb") as output:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=output)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", running.port)).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "stderr").read_text()
                assert time.monotonic() < end
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)


def test_signed_delivery_passes_proxy(proxied: Proxied) -> None:
    assert proxied.deliver(PHONE, "signup-7")["code"] == "verified"
    found = requests.get(
        f"{proxied.url}/deliveries/signup-7", headers=signed(b""), verify=str(proxied.tls.bundle), timeout=60
    )
    assert found.json()["code"] == "verified"


@pytest.mark.parametrize(
    "path", ["/metrics", "/ready", "/health", "/openapi.json", "/", "/%6Detrics", "//metrics", "/webhooks/../metrics"]
)
def test_other_paths_return_404_at_proxy(proxied: Proxied, path: str) -> None:
    assert requests.get(f"http://127.0.0.1:{proxied.bridge}/metrics", timeout=60).ok
    with proxied.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(65_536).startswith(b"HTTP/1.1 404 ")


def test_dripping_requests_never_reach_bridge(proxied: Proxied) -> None:
    """The bridge has one thread, which a single such request would block."""
    before = proxied.connections()
    head = b"POST /webhooks/signup HTTP/1.1\r\nHost: x\r\n"
    with ExitStack() as opened:
        for number in range(20):
            connection = opened.enter_context(proxied.connect())
            connection.sendall(head + (b"Content-Length: 200\r\n\r\n{" if number % 2 else b"X: y"))
        assert [proxied.deliver(f"1009{number}")["code"] for number in range(3)] == ["code-incorrect"] * 3
        assert len(proxied.connections() - before) <= 1


def test_silent_connections_never_reach_the_bridge(proxied: Proxied) -> None:
    before = proxied.connections()
    with ExitStack() as opened:
        for _ in range(20):
            opened.enter_context(proxied.connect())
        assert proxied.deliver("10095")["code"] == "code-incorrect"
        assert len(proxied.connections() - before) <= 1


def test_concurrent_requests_of_one_address_are_limited(proxied: Proxied) -> None:
    head = b"POST /webhooks/signup HTTP/1.1\r\nHost: x\r\nContent-Length: 200\r\nExpect: 100-continue\r\n\r\n"
    with ExitStack() as opened:
        for expected in [b"HTTP/1.1 100 "] * 32 + [b"HTTP/1.1 503 "]:
            connection = opened.enter_context(proxied.connect())
            connection.sendall(head)
            assert connection.recv(65_536).startswith(expected)


def test_idle_connection_to_bridge_is_reused(proxied: Proxied) -> None:
    """gunicorn's default keep-alive of 2 s would have closed the connection."""
    assert proxied.deliver("10081")["code"] == "code-incorrect"
    before = proxied.connections()
    time.sleep(2.5)
    assert proxied.deliver("10082")["code"] == "code-incorrect"
    assert before
    assert proxied.connections() == before
