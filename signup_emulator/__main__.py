"""The command line: ``python -m signup_emulator run | serve | send | codes | deliveries``."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from pathlib import Path

import requests

from signup_toolkit import ports, senders

from . import client, launcher
from .api.account.behaviour import RATE
from .api.faults.wire_faults import WIRE_FAULTS
from .api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from .console.origin_check import is_loopback
from .server import Emulator

DESCRIPTION = "Try signup-bridge on this machine: no account, no SMS, nothing leaves it."


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all went well (for ``send``: verified), 1 when not, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except (OSError, requests.RequestException, client.Refused) as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return getattr(error, "status", 1)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m signup_emulator", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="run|serve|send|codes|deliveries", dest="name")
    _add_run(commands)
    _add_serve(commands)
    _add_send(commands)
    _add_codes(commands)
    _add_deliveries(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    run = commands.add_parser(
        "run",
        help="the emulator and the bridge, wired together (what `make run` does)",
        description="The API's emulator, its console page, and the bridge, wired together, until Ctrl-C.",
    )
    run.add_argument(
        "--port", type=_port, default=os.environ.get("PORT") or "9000", help="the bridge's (default: $PORT or 9000)"
    )
    run.add_argument(
        "--keep",
        action="store_true",
        default=os.environ.get("KEEP") == "1",
        help="start with the codes, verified contacts and deliveries of the last stop, and with the bridge's ledger "
        "(default: afresh, unless $KEEP is 1)",
    )
    run.add_argument(
        "--state",
        type=Path,
        default=launcher.STATE,
        metavar="FOLDER",
        help="where they are kept (default: .run in the checkout)",
    )
    run.add_argument(
        "--scf",
        choices=("web", "event"),
        help="not the tree's bridge but the built zip, as SCF runs a function of this type (what `make run-scf` does)",
    )
    _add_listening(run)
    run.set_defaults(command=_run)


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="the API's emulator alone, for any SDK",
        description="The API's emulator alone, for any language's SDK, with its console page: what was sent is at GET "
        "/emulator/codes, what was called at GET /emulator/calls.",
        epilog='The next call fails: curl -d \'{"fault": "hang"}\' http://127.0.0.1:9010/emulator/faults. '
        f"Faults: any API error code, {', '.join(WIRE_FAULTS)}. All at the start again: curl -X POST "
        "http://127.0.0.1:9010/emulator/reset",
    )
    serve.add_argument("--rate", type=int, default=RATE, help="requests a second and action, 0: any (default: 20)")
    _add_listening(serve)
    serve.set_defaults(command=_serve)


def _add_send(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    send = commands.add_parser(
        "send",
        help="sign one delivery, post it, print the answer",
        description="Sign one delivery as a sender does, post it and print the answer: status, headers, body. Exit "
        "status 0 when it is verified. The secret is the first of $WEBHOOK_SECRETS, or the one that `run` uses when "
        "that is not set. The body is the one that the bridge beside the emulator reads by its PAYLOAD_PRESET; with "
        "--url, the one of $PAYLOAD_PRESET.",
        epilog="A wrong code: --code 000000. A person's own code: `python -m signup_emulator codes --send …`. What the "
        "API does when its answer is lost: --fault hang. A deployed function: --url https://….",
    )
    send.add_argument("--contact", default="18766554433", help="phone number or email address (default: %(default)s)")
    send.add_argument("--code", default="123456", help="the verification code (default: %(default)s)")
    send.add_argument(
        "--sender",
        type=_sender,
        metavar="|".join(senders.AUTHS),
        default=None,
        help="who signs (default: the one that $WEBHOOK_AUTH means, else standard)",
    )
    send.add_argument(
        "--url",
        help="where to post it (default: through the emulator, which shows it on its page: …/webhooks/signup there)",
    )
    send.add_argument("--fault", help="break the API's next call for this contact: an API error code or a wire fault")
    _add_asking(send)
    send.set_defaults(command=client.send)


def _add_codes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    codes = commands.add_parser(
        "codes",
        help="the codes that were sent, newest first",
        description="The codes that the emulator sent, newest first; or have one sent.",
    )
    codes.add_argument("--contact", help="only this contact's")
    codes.add_argument("--send", metavar="CONTACT", help="have a code sent to this contact first, and print that one")
    _add_asking(codes)
    codes.set_defaults(command=client.codes)


def _add_deliveries(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    deliveries = commands.add_parser(
        "deliveries",
        help="what was delivered to the bridge, and how it ended",
        description="The deliveries that the emulator saw, newest first: those that it made or passed on, and, from "
        "the bridge's log, those that were posted straight to the bridge.",
    )
    deliveries.add_argument("--contact", help="only this contact's")
    deliveries.add_argument("--follow", action="store_true", help="go on with each new one, until Ctrl-C")
    _add_asking(deliveries)
    deliveries.set_defaults(command=client.deliveries)


def _add_listening(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emulator-port",
        type=_port,
        default=os.environ.get("EMULATOR_PORT") or "9010",
        help="the emulator's (default: $EMULATOR_PORT or 9010)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on (default: %(default)s, this machine alone)"
    )
    parser.add_argument(
        "--allow-host",
        type=_host_name,
        action="append",
        default=[],
        metavar="NAME",
        help="accept this name in the Host header of requests to the page, REST and the relay, such as the name of a "
        "container; repeat the option for more names (default: loopback names, IP addresses, and the name in --host)",
    )


def _add_asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emulator",
        metavar="URL",
        default=f"http://127.0.0.1:{os.environ.get('EMULATOR_PORT') or '9010'}",
        help="the emulator's (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for machines")


def _sender(value: str) -> str:
    if value not in senders.AUTHS:
        raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(senders.AUTHS)}")
    return value


def _host_name(value: str) -> str:
    name = value.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(
        re.fullmatch("[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?", one) for one in labels
    ):
        raise argparse.ArgumentTypeError(f"{value} is not a host name: write it without scheme, port, path and *")
    return name


def _port(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65_536:
        raise argparse.ArgumentTypeError(f"{value} is no port: a whole number from 1 to 65535")
    return int(value)


def _run(options: argparse.Namespace) -> int:
    wanted = {name: getattr(options, name) for name in launcher.Options._fields}
    return launcher.run(launcher.Options(**wanted))


def _serve(options: argparse.Namespace) -> int:
    ports.check(options.emulator_port, "EMULATOR_PORT", options.host)
    emulator = Emulator(options.host, options.emulator_port, rate=options.rate, allowed=options.allow_host)
    with emulator:
        print(f"{emulator.url}  credentials {DEMO_SECRET_ID} / {DEMO_SECRET_KEY}", flush=True)
        if not is_loopback(options.host):
            print(launcher.WARNING.format(host=options.host), file=sys.stderr, flush=True)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        stopped.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
