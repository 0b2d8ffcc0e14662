"""The command line: ``python -m emulator run | serve | send``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading

import requests

from . import launcher, ports, sender
from .api.behaviour import RATE
from .api.faults import WIRE_FAULTS
from .api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY, Emulator

AUTHS = ("standard-webhooks", "github", "bearer", "none")
DESCRIPTION = "Try signup-bridge on this machine: no account, no SMS, nothing leaves it."


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all went well (for ``send``: verified), 1 when not, 2 for wrong usage."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.command(options)
    except BrokenPipeError:  # whoever reads the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, requests.RequestException) as error:
        print(f"{options.name}: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m emulator", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="run|serve|send", dest="name")

    run = commands.add_parser("run", help="the API's emulator and the bridge, wired together (what `make run` does)")
    run.add_argument(
        "--port", type=_port, default=os.environ.get("PORT") or "9000", help="the bridge's (default: $PORT or 9000)"
    )
    run.add_argument(
        "--scf",
        choices=("web", "event"),
        help="not the tree's bridge but the built zip, as SCF runs a function of this type (what `make run-scf` does)",
    )
    run.set_defaults(command=_run)

    serve = commands.add_parser(
        "serve",
        help="the API's emulator alone",
        description="The API's emulator alone, for any SDK. What was sent is at GET /emulator/codes, what was called "
        "at GET /emulator/calls.",
        epilog='The next call fails: curl -d \'{"fault": "hang"}\' http://127.0.0.1:9010/emulator/faults. '
        f"Faults: any API error code, {', '.join(WIRE_FAULTS)}. All at the start again: curl -X POST "
        "http://127.0.0.1:9010/emulator/reset",
    )
    serve.add_argument("--rate", type=int, default=RATE, help="requests a second and action, 0: any (default: 20)")
    serve.set_defaults(command=_serve)
    for one in (run, serve):
        one.add_argument(
            "--emulator-port",
            type=_port,
            default=os.environ.get("EMULATOR_PORT") or "9010",
            help="the emulator's, on 127.0.0.1 (default: $EMULATOR_PORT or 9010)",
        )

    send = commands.add_parser(
        "send",
        help="sign one delivery, post it, print the answer",
        description="Sign one delivery, post it and print the answer. Exit status 0 when it is verified. The secret is "
        "the first of $WEBHOOK_SECRETS, or the one that `run` uses when that is not set.",
        epilog="A wrong code: --code 000000. A person's own code: ask for one with the API's SendIntlPhoneEmailCode at "
        "the emulator and read it at /emulator/codes.",
    )
    send.add_argument("--contact", default="18766554433", help="phone number or email address (default: %(default)s)")
    send.add_argument("--code", default="123456", help="the verification code (default: %(default)s)")
    send.add_argument(
        "--url", default="http://127.0.0.1:9000/webhooks/signup", help="the bridge (default: %(default)s)"
    )
    send.add_argument(
        "--auth",
        type=_auth,
        metavar="|".join(AUTHS),
        default=os.environ.get("WEBHOOK_AUTH") or "standard-webhooks",
        help="how to sign (default: $WEBHOOK_AUTH or standard-webhooks)",
    )
    send.set_defaults(command=_send)
    return parser


def _auth(value: str) -> str:
    if value not in AUTHS:  # argparse looks at choices only where a value is given, not at a default
        raise argparse.ArgumentTypeError(f"{value} is none of {', '.join(AUTHS)}")
    return value


def _port(value: str) -> int:
    if not value.isdecimal() or not 0 < int(value) < 65_536:
        raise argparse.ArgumentTypeError(f"{value} is no port: a whole number from 1 to 65535")
    return int(value)


def _run(options: argparse.Namespace) -> int:
    return launcher.run(options.emulator_port, options.port, scf=options.scf)


def _serve(options: argparse.Namespace) -> int:
    ports.check(options.emulator_port, "EMULATOR_PORT")
    with Emulator(port=options.emulator_port, rate=options.rate) as emulator:
        print(f"{emulator.url}  credentials {DEMO_SECRET_ID} / {DEMO_SECRET_KEY}", flush=True)
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        stopped.wait()
    return 0


def _send(options: argparse.Namespace) -> int:
    secret = next(iter(os.environ.get("WEBHOOK_SECRETS", "").split()), sender.DEMO_SECRET)
    body = sender.body_of(options.contact, options.code)
    try:
        headers = sender.signed_headers(body, auth=options.auth, secret=secret)
    except ValueError:
        print("send: WEBHOOK_SECRETS must be written whsec_<base64> to sign with it", file=sys.stderr)
        return 2
    try:
        answer = sender.post(options.url, body, headers)
    except requests.ConnectionError:
        print(f"send: nobody answers at {options.url}; is `make run` running?", file=sys.stderr)
        return 1
    print(f"{answer.status_code} {answer.reason}")
    for name, value in answer.headers.items():
        print(f"{name}: {value}")
    print()
    try:
        document = answer.json()
    except ValueError:
        print(answer.text)
        return 1
    print(json.dumps(document, indent=2))
    return 0 if isinstance(document, dict) and document.get("status") == "verified" else 1


if __name__ == "__main__":
    sys.exit(main())
