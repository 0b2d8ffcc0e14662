"""Parse the command line, and run one command."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

from signup_bridge import __version__

from .installation import COMMAND, command_words

DESCRIPTION = "Run, try and deploy signup-bridge, which verifies the contacts of a signup flow."
EXAMPLES = """\
Try the bridge on this machine, without an account:
  {command} run
  {command} send --contact 18766554433 --code 123456     (from another terminal)

Check your account and the settings in the environment, then run the bridge with them:
  {command} check
  {command} serve

Deploy the bridge to Tencent Cloud SCF:
  {command} deploy --init
  {command} deploy --dry-run
  {command} deploy

Each command has its own help, such as `{command} send --help`."""

NOT_INSTALLED = (
    "requires the package {package}, which is not installed; the zip for SCF contains only the function. "
    "Run the command in a checkout, or in an environment in which signup-bridge is installed"
)


class Command(NamedTuple):
    """A command: its line in ``--help``, and the module with its function ``configure_<name>``.

    That function adds the arguments to an `argparse.ArgumentParser`, and sets the default ``execute`` to a function
    from the parsed arguments to an exit status. Only the module of the chosen command is imported.
    """

    summary: str
    module: str


COMMANDS = {
    "run": Command("run the bridge together with an emulator of the API", "signup_emulator.cli"),
    "serve": Command("run the bridge alone, against the real API", "signup_bridge.cli.serve"),
    "check": Command("connect with the current settings and report problems", "signup_bridge.cli.check"),
    "emulate": Command("run the emulator of the API alone, for any SDK", "signup_emulator.cli"),
    "send": Command("sign and send a delivery, and print the response", "signup_emulator.cli"),
    "codes": Command("list the verification codes that the emulator sent", "signup_emulator.cli"),
    "deliveries": Command("list the deliveries that the emulator recorded", "signup_emulator.cli"),
    "package": Command("build the zip for SCF", "signup_deploy.cli"),
    "deploy": Command("create or update the function on SCF", "signup_deploy.cli"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 success, 1 failure, 130 Ctrl-C; argparse exits with 2."""
    arguments = sys.argv[1:] if arguments is None else arguments
    name = next((argument for argument in arguments if not argument.startswith("-")), None)
    try:
        options = _parser(name).parse_args(arguments)
        status: int = options.execute(options)
        sys.stdout.flush()
    except BrokenPipeError:  # from a reader of the output, such as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        print(f"{COMMAND} {name}: {error}", file=sys.stderr)  # noqa: T201  a command prints to a terminal
        return 1
    return status


def _parser(chosen: str | None) -> argparse.ArgumentParser:
    """Return the parser, with the arguments of the chosen command only. Raises OSError if its package is missing."""
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description=DESCRIPTION,
        epilog=EXAMPLES.format(command=shlex.join(command_words())),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"signup-bridge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands", dest="name")
    for name, (summary, module) in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary)
        if name == chosen:
            getattr(_import(module), f"configure_{name}")(subparser)
    return parser


def _import(name: str) -> object:
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise OSError(NOT_INSTALLED.format(package=package)) from None
