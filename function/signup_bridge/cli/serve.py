"""``signup-bridge serve``: the bridge alone, under gunicorn."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from signup_bridge import settings, startup

from .installation import data_file
from .listening import listen_problem

DESCRIPTION = """\
Run the bridge with gunicorn until Ctrl-C or SIGTERM, against the real API.

Configure the bridge with environment variables. Required:
  TENCENT_SECRET_ID, TENCENT_SECRET_KEY   the API key of the account
  WEBHOOK_SECRETS                         the secret that you share with the sender
HOST and PORT set the address (0.0.0.0:9000). If a setting is missing or invalid, or the address is
not available, the bridge reports the problem and exits with status 1. docs/reference/settings.md
describes every setting.

The ledger is a SQLite file in your state folder, unless LEDGER_URL is set."""


_OTHER_SOCKETS = ("LISTEN_FDS", "GUNICORN_FD", "GUNICORN_CMD_ARGS")
"""Variables that can make gunicorn listen on other addresses than HOST and PORT: inherited sockets, and options."""


def configure_serve(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(execute=serve)


def gunicorn_command() -> list[str]:
    """Return the command that starts the bridge with this interpreter, from any folder."""
    return [sys.executable, "-m", "gunicorn", "-c", str(data_file("gunicorn.conf.py"))]


def start_problems(environ: Mapping[str, str]) -> list[str]:
    """Return the problems that prevent a start with these settings, including those of HOST and PORT."""
    try:
        loaded = settings.load(environ)
    except settings.SettingsError as error:
        return error.problems
    if any(name in environ for name in _OTHER_SOCKETS):
        return []
    problem = listen_problem(loaded.host, loaded.port)
    return [problem] if problem else []


def serve(_: argparse.Namespace) -> int:
    """Replace this process with gunicorn, if the settings are valid and the address is available."""
    problems = start_problems(os.environ)
    if problems:
        startup.refuse(
            "\n  ".join(("startup failed:", *problems)), problems, log_format=os.environ.get("LOG_FORMAT", "")
        )
    command = gunicorn_command()
    os.execv(command[0], command)  # noqa: S606  no shell
