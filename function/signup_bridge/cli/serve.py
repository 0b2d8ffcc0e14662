"""``signup-bridge serve``: the bridge alone, under gunicorn."""

from __future__ import annotations

import argparse
import os
import sys

from .installation import data_file

DESCRIPTION = """\
Run the bridge with gunicorn until Ctrl-C or SIGTERM, against the real API.

Environment variables configure it. Required are:
  TENCENT_SECRET_ID, TENCENT_SECRET_KEY   the API key of the account
  WEBHOOK_SECRETS                         the secret that you share with the sender
HOST and PORT set the address (0.0.0.0:9000). If a setting is missing or invalid, the bridge names
all of them and exits with status 1. The README describes every setting.

The ledger is a SQLite file in your state folder, unless LEDGER_URL names another one."""


def configure_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(execute=serve)


def gunicorn_command() -> list[str]:
    """Return the command that starts the bridge with this interpreter, from any folder."""
    return [sys.executable, "-m", "gunicorn", "-c", str(data_file("gunicorn.conf.py"))]


def serve(_: argparse.Namespace) -> int:
    """Replace this process by gunicorn."""
    command = gunicorn_command()
    os.execv(command[0], command)  # noqa: S606  no shell
