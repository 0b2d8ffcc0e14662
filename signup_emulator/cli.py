"""The commands ``run``, ``emulate``, ``send``, ``codes`` and ``deliveries`` of ``signup-bridge``."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from signup_bridge.cli.listening import listen_problem

from signup_toolkit import senders

from . import banner, client, launcher
from .api.account.behaviour import RATE
from .api.faults.wire_faults import WIRE_FAULTS
from .api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from .http_client import CommandError
from .send import CODE, CONTACT
from .send import send as send_delivery
from .server import Emulator


def configure_run(run: argparse.ArgumentParser) -> None:
    run.description = (
        "Run an emulator of the API and a bridge that calls it, until Ctrl-C. No account is needed, and nothing "
        "leaves this machine. The emulator's page has a form to sign up with, the codes, and every delivery. Settings "
        "of the bridge in the environment apply, with these exceptions: DOMAIN_API_URL and the API key are the "
        "emulator's, --host replaces HOST, SEND_CODES is true by default, a missing WEBHOOK_SECRETS is replaced by a "
        "generated secret, and a missing LEDGER_URL by a file in the state folder. LOG_FORMAT applies to what this "
        "command prints: text at a terminal by default."
    )
    run.add_argument(
        "--port",
        type=_port,
        default=os.environ.get("PORT") or "9000",
        help="port of the bridge (default: 9000, or $PORT)",
    )
    run.add_argument(
        "--keep",
        action="store_true",
        default=os.environ.get("KEEP") == "1",
        help="start with the codes, verified contacts, deliveries and ledger of the last run (default: only if $KEEP "
        "is 1)",
    )
    run.add_argument(
        "--state",
        type=Path,
        default=launcher.STATE,
        metavar="FOLDER",
        help="folder that stores this state (default: %(default)s in the current folder)",
    )
    run.add_argument(
        "--scf",
        choices=("web", "event"),
        help="run build/function.zip, which `package` builds, as SCF runs a function of this type, instead of the "
        "installed bridge",
    )
    _add_listen_options(run)
    run.set_defaults(execute=_run)


def configure_emulate(emulate: argparse.ArgumentParser) -> None:
    emulate.description = (
        "Run the emulator of the API without a bridge, for the SDK of any language. It has the same page. GET "
        "/emulator/codes lists the codes that were sent, GET /emulator/calls the calls."
    )
    emulate.epilog = (
        'Make the next call fail: curl -d \'{"fault": "hang"}\' http://127.0.0.1:9010/emulator/faults. A fault is an '
        f"error code of the API, or one of {', '.join(WIRE_FAULTS)}. Reset everything: curl -X POST "
        "http://127.0.0.1:9010/emulator/reset"
    )
    emulate.add_argument(
        "--rate", type=int, default=RATE, help="requests per second for each action, 0 for no limit (default: 20)"
    )
    _add_listen_options(emulate)
    emulate.set_defaults(execute=_emulate)


def configure_send(send: argparse.ArgumentParser) -> None:
    send.description = (
        "Sign one delivery as a sender does, post it, and print status and body. Authentication, secret, port and body "
        "format are those of the bridge that `run` started. If that bridge has a WEBHOOK_SECRETS of your own, set it "
        "here, too: the first secret signs. With --url, $WEBHOOK_AUTH, $WEBHOOK_SECRETS and $PAYLOAD_PRESET describe "
        "the bridge. The exit status is 0 if the contact is verified, 1 if not, 2 for wrong usage."
    )
    send.epilog = (
        "From nothing to a verified contact: --signup. A wrong code: --code 000000. A lost reply of the API: --fault "
        "hang. A deployed function: --url https://…."
    )
    send.add_argument(
        "--contact",
        type=_contact,
        help=f"phone number or email address (default: {CONTACT}; with --signup, a new address at example.com)",
    )
    which = send.add_mutually_exclusive_group()
    which.add_argument("--code", help=f"the verification code (default: {CODE})")
    which.add_argument(
        "--signup",
        action="store_true",
        help="have a code sent to the contact, read it from the emulator, and verify it",
    )
    send.add_argument(
        "--sender",
        type=_sender,
        metavar="|".join(senders.AUTHS),
        default=None,
        help="the sender to sign as (default: according to the bridge's WEBHOOK_AUTH)",
    )
    send.add_argument(
        "--url",
        type=_http_url,
        help="URL to post to (default: the emulator, which relays it to the bridge and shows it on its page)",
    )
    send.add_argument("--fault", help="break the next API call for this contact with an API error code or a wire fault")
    send.add_argument("-v", "--verbose", action="store_true", help="print the headers of the response, too")
    _add_client_options(send)
    send.set_defaults(execute=_from_client(send_delivery))


def configure_codes(codes: argparse.ArgumentParser) -> None:
    codes.description = "List the codes that the emulator sent, newest first, or send one."
    which = codes.add_mutually_exclusive_group()
    which.add_argument("--contact", type=_contact, help="list only the codes for this contact")
    which.add_argument(
        "--send",
        type=_contact,
        metavar="CONTACT",
        help="send a code to this contact and print only the code (with --json: its entry in the list)",
    )
    _add_client_options(codes)
    codes.set_defaults(execute=_from_client(client.codes))


def configure_deliveries(deliveries: argparse.ArgumentParser) -> None:
    deliveries.description = (
        "List the deliveries that the emulator recorded, newest first. They include those that were posted directly to "
        "the bridge, which the emulator knows from the bridge's log only."
    )
    deliveries.add_argument("--contact", type=_contact, help="list only the deliveries for this contact")
    deliveries.add_argument("--follow", action="store_true", help="print each new delivery until Ctrl-C")
    _add_client_options(deliveries)
    deliveries.set_defaults(execute=_from_client(client.deliveries))


def _add_listen_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emulator-port",
        type=_port,
        default=os.environ.get("EMULATOR_PORT") or "9010",
        help="port of the emulator (default: 9010, or $EMULATOR_PORT)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s, this machine only)"
    )
    parser.add_argument(
        "--allow-host",
        type=_host_name,
        action="append",
        default=[],
        metavar="NAME",
        help="accept this name in the Host header, for example the name of a container; repeat for more names "
        "(default: loopback names, IP addresses, and the name in --host)",
    )


def _add_client_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emulator",
        type=_http_url,
        metavar="URL",
        default=f"http://127.0.0.1:{os.environ.get('EMULATOR_PORT') or '9010'}",
        help="URL of the emulator (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def _sender(value: str) -> str:
    if value not in senders.AUTHS:
        raise argparse.ArgumentTypeError(f"{value} is not supported; expected one of {', '.join(senders.AUTHS)}")
    return value


def _http_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port or an IPv6 address that is malformed
        usable = False
    if not usable:
        raise argparse.ArgumentTypeError(f"{value} is not a URL; expected one such as http://127.0.0.1:9010")
    return value


def _contact(value: str) -> str:
    if not value.strip():
        raise argparse.ArgumentTypeError("must not be empty; expected a phone number or an email address")
    return value


def _host_name(value: str) -> str:
    name = value.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(
        re.fullmatch("[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", one) for one in labels
    ):
        raise argparse.ArgumentTypeError(f"{value} is not a host name; expected one without scheme, port, path and *")
    return name


def _port(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65_536:
        raise argparse.ArgumentTypeError(f"{value} is not a port; expected a number from 1 to 65535")
    return int(value)


def _run(options: argparse.Namespace) -> int:
    values = {name: getattr(options, name) for name in launcher.Options._fields}
    return launcher.run(launcher.Options(**values))


def _from_client(command: Callable[[argparse.Namespace], int]) -> Callable[[argparse.Namespace], int]:
    """Wrap a command to print its CommandError and return the exit status."""

    def execute(options: argparse.Namespace) -> int:
        try:
            return command(options)
        except CommandError as error:
            print(f"signup-bridge {options.name}: {error}", file=sys.stderr)
            return error.status

    return execute


def _emulate(options: argparse.Namespace) -> int:
    problem = listen_problem(options.host, options.emulator_port, host_setting="--host", port_setting="EMULATOR_PORT")
    if problem:
        raise OSError(problem)
    emulator = Emulator(options.host, options.emulator_port, rate=options.rate, allowed=options.allow_host)
    with emulator:
        print(f"{emulator.url}  credentials {DEMO_SECRET_ID} / {DEMO_SECRET_KEY}", flush=True)
        if warning := banner.warning(options.host):
            print(warning, file=sys.stderr, flush=True)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        stopped.wait()
    return 0
