"""Test wrong URLs and servers that do not respond, for the commands that call an emulator or a bridge."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from local_services.certificates import Tls
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support.bridge.signed_requests import SECRET
from tests.support.emulator.command import COMMAND, call
from tests.support.emulator.make_run import Pair

COMMANDS = (
    ["codes"],
    ["codes", "--send", "10086"],
    ["deliveries"],
    ["deliveries", "--follow"],
    ["send"],
    ["send", "--fault", "hang"],
    ["send", "--fault", "hang", "--sender", "none", "--url", "http://127.0.0.1:1/"],
    ["send", "--signup"],
)
RUN = f"{' '.join(COMMAND)} run".replace(f"{Path.cwd()}/", "")
START = f"start the emulator and the bridge with `{RUN}`"


def refusal(*arguments: str, **environ: str) -> str:
    """Return the error line of a command that fails, without the command's name."""
    done = call(*arguments, **environ)
    assert (done.returncode, done.stdout) == (1, "")
    return done.stderr.removeprefix(f"signup-bridge {arguments[0]}: ").removesuffix("\n")


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler], tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Yield host and port of a server that is not the emulator."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def replying(reply: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def handle(self) -> None:
            self.rfile.readline()
            self.wfile.write(reply)

    return Handler


def http_reply(status: str, document: Any, *headers: str) -> bytes:
    body = json.dumps(document).encode()
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""))
    return head.encode() + body


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_at_bridge_names_it_as_no_emulator(pair: Pair, command: list[str]) -> None:
    error = refusal(*command, "--emulator", pair.bridge)
    assert error == f"{pair.bridge} is not the emulator; set --emulator to the URL that `{RUN}` prints"


@pytest.mark.parametrize(
    "reply",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        http_reply("200 OK", "a page"),
        http_reply("200 OK", {"preset": None}),
        http_reply("200 OK", []),
        http_reply("404 NOT FOUND", {"error": "no such page"}),
        http_reply("302 FOUND", {}, "Location: https://example.com"),
    ],
)
def test_command_at_another_server_names_it_as_no_emulator(reply: bytes) -> None:
    with serving(replying(reply)) as address:
        assert refusal("codes", "--emulator", f"http://{address}").startswith(f"http://{address} is not the emulator;")


def test_emulator_url_with_a_path_is_no_emulator_but_may_end_with_a_slash(emulator: Emulator) -> None:
    wrong = f"{emulator.url}/emulator"
    assert refusal("deliveries", "--emulator", wrong).startswith(f"{wrong} is not the emulator;")
    assert call("deliveries", "--emulator", f"{emulator.url}/").returncode == 0


def test_error_of_the_emulator_is_printed(emulator: Emulator) -> None:
    assert refusal("codes", "--send", "jo", "--emulator", emulator.url) != ""
    denied = http_reply("403 FORBIDDEN", {"error": "The Host header does not name this console."})
    with serving(replying(denied)) as address:
        error = refusal("codes", "--emulator", f"http://{address}")
        assert error == f"http://{address}: The Host header does not name this console."


@pytest.mark.parametrize(
    "value", ["foo", "foo:9010", "ftp://127.0.0.1", "http://", "http://[::1", "http://a:99999", ""]
)
@pytest.mark.parametrize("option", ["--emulator", "--url"])
def test_option_that_is_no_url_is_wrong_usage(option: str, value: str) -> None:
    done = call("send", option, value)
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"argument {option}: {value} is not a URL; expected one such as http://127.0.0.1:9010\n"
    assert done.stderr.endswith(expected)


@pytest.mark.parametrize(
    "arguments", [["codes", "--send", ""], ["codes", "--contact", " "], ["deliveries", "--contact", ""]]
)
def test_empty_contact_is_wrong_usage(arguments: list[str]) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        f"argument {arguments[1]}: must not be empty; expected a phone number or an email address\n"
    )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_without_emulator_asks_for_it(command: list[str]) -> None:
    nobody = f"http://127.0.0.1:{ports.free()}"
    port = ", or set --emulator to its URL"
    more = ", or set --url to post to another bridge" if command[0] == "send" else ""
    assert (
        refusal(*command, "--emulator", nobody) == f"no response from {nobody}: connection refused; {START}{port}{more}"
    )


def test_send_names_why_no_response_came(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBHOOK_SECRETS", SECRET)
    nobody = f"http://127.0.0.1:{ports.free()}/"
    assert refusal("send", "--url", nobody) == f"no response from {nobody}: connection refused; {START}"
    unknown = "https://nobody.invalid/webhooks/signup"
    assert refusal("send", "--url", unknown) == f"no response from {unknown}: the host name cannot be resolved"
    with serving(replying(http_reply("200 OK", {}))) as address:
        plain = f"https://{address}/"
        assert refusal("send", "--url", plain) == f"no response from {plain}: the server does not use TLS; use http://"


def test_send_names_a_certificate_that_is_not_trusted(tls: Tls) -> None:
    with serving(replying(b""), tls.context) as address:
        error = refusal("send", "--url", f"https://{address}/", WEBHOOK_SECRETS=SECRET)
        assert error.startswith(f"no response from https://{address}/: the certificate is not trusted (")


def test_send_with_unusable_settings_is_wrong_usage() -> None:
    url = f"http://127.0.0.1:{ports.free()}/"
    unusable = call("send", "--url", url, WEBHOOK_SECRETS="abc")
    assert (unusable.returncode, unusable.stdout) == (2, "")
    problem = "WEBHOOK_SECRETS: must be whsec_<base64> for Standard Webhooks signatures"
    assert unusable.stderr == f"signup-bridge send: {problem}\n"
    assert call("send", "--url", url, WEBHOOK_AUTH="x").returncode == 2
    absent = call("send", "--url", url)
    assert (absent.returncode, absent.stdout) == (2, "")
    problem = "WEBHOOK_SECRETS: is not set; set it to the secret of the bridge at --url"
    assert absent.stderr == f"signup-bridge send: {problem}\n"


def test_send_to_another_path_prints_its_response(emulator: Emulator) -> None:
    other = call("send", "--url", f"{emulator.url}/nothing", WEBHOOK_SECRETS=SECRET)
    assert other.returncode == 1
    assert other.stdout.startswith("404 NOT FOUND\n")
