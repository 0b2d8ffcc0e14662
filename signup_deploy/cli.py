"""The commands ``package`` and ``deploy`` of ``signup-bridge``."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
from pathlib import Path

from signup_bridge.cli.installation import command_line, data_file

from . import command
from .config.function_config import FILE
from .packaging.package import PackageError, build

PACKAGE = """\
Build build/function/ and build/function.zip in the current folder: the function, its locked packages
for SCF's CPython 3.10 on x86-64 Linux, and their bytecode. The zip has the same bytes on every machine
with CPython 3.10. Without CPython 3.10, it has no bytecode, and cold starts take twice as long."""

DEPLOY = """\
Create the function that serverless.yml in the current folder describes, or update the parts that
differ: the code, the configuration, the limit to one instance, the URL. You can run this command
repeatedly; it does not change parts that are the same.

1. Write serverless.yml with --init, and edit it.
2. Set these environment variables:
     TENCENT_SECRET_ID, TENCENT_SECRET_KEY    your own API key, for the deployment (and
                                              TENCENT_SESSION_TOKEN if the key is temporary)
     FUNCTION_SECRET_ID, FUNCTION_SECRET_KEY  the function's API key, which may only verify contacts
     WEBHOOK_SECRETS, LEDGER_URL, ...         the function's settings that serverless.yml refers to
3. Check the calls with --dry-run, then deploy.

docs/guides/deploy.md contains the policies for both keys."""


def configure_package(parser: argparse.ArgumentParser) -> None:
    parser.description = PACKAGE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.set_defaults(execute=package)


def configure_deploy(parser: argparse.ArgumentParser) -> None:
    parser.description = DEPLOY
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--init", action="store_true", help="write the template of serverless.yml, and exit")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print the calls that would change something; without your API key, the calls of a first deployment",
    )
    parser.add_argument("--force", action="store_true", help="upload the code even if it seems unchanged")
    parser.add_argument(
        "--package", type=Path, metavar="ZIP", help="deploy this zip, such as an earlier one, instead of building one"
    )
    parser.set_defaults(execute=deploy)


def package(_: argparse.Namespace) -> int:
    """Build the zip, and return the exit status. Raises OSError."""
    _tolerate_ascii()
    try:
        build()
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def deploy(options: argparse.Namespace, *, endpoint: str | None = None) -> int:
    """Deploy the function, and return the exit status. Raises OSError.

    ``endpoint`` replaces SCF's API in tests only.
    """
    _tolerate_ascii()
    if options.init:
        return _init()
    if not FILE.exists():
        init = command_line("deploy", "--init")
        print(f"deploy: {FILE} does not exist in this folder; write the template with `{init}`", file=sys.stderr)
        return 1
    try:
        return command.deploy(dry_run=options.dry_run, force=options.force, package=options.package, endpoint=endpoint)
    except PackageError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped; run the command again to continue", file=sys.stderr)
        return 130


def _init() -> int:
    if FILE.exists():
        print(f"deploy --init: {FILE} already exists; edit it, or remove it first", file=sys.stderr)
        return 1
    shutil.copyfile(data_file(FILE.name), FILE)
    print(f"{FILE} written; edit it, then check the calls with `{command_line('deploy', '--dry-run')}`")
    return 0


def _tolerate_ascii() -> None:
    """Replace characters that the terminal does not support, such as "…", instead of failing."""
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper):
            out.reconfigure(errors="replace")
