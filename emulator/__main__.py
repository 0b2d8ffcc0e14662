"""The command line: ``python -m emulator run | serve | send``."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading

import requests

from . import launcher, sender
from .domain import RATE
from .server import DEMO_SECRET_ID, DEMO_SECRET_KEY, Emulator

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
    run.add_argument("--port", type=int, default=_port("PORT", 9000), help="the bridge's (default: $PORT or 9000)")
    run.set_defaults(command=_run)

    serve = commands.add_parser("serve", help="the API's emulator alone")
    serve.add_argument("--rate", type=int, default=RATE, help="requests a second and action, 0: any (default: 20)")
    serve.set_defaults(command=_serve)
    for one in (run, serve):
        one.add_argument(
            "--emulator-port",
            type=int,
            default=_port("EMULATOR_PORT", 9010),
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
        choices=("standard-webhooks", "github", "bearer", "none"),
        default=os.environ.get("WEBHOOK_AUTH") or "standard-webhooks",
        help="how to sign (default: $WEBHOOK_AUTH or standard-webhooks)",
    )
    send.set_defaults(command=_send)
    return parser


def _port(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or not 0 < int(value) < 65_536:
        sys.exit(f"{name}: must be a port, a whole number from 1 to 65535")
    return int(value)


def _run(options: argparse.Namespace) -> int:
    return launcher.run(options.emulator_port, options.port)


def _serve(options: argparse.Namespace) -> int:
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
    answer = sender.post(options.url, body, sender.signed_headers(body, auth=options.auth, secret=secret))
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
