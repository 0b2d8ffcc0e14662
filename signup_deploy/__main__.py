"""The command line: ``python -m signup_deploy package | deploy``."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

from .packaging.package import PackageError, build

DESCRIPTION = "Build what SCF runs, and deploy it."
DEPLOY = """Create the function that serverless.yml describes, or change what differs: its code, its
configuration, its limit to one instance, its URL. Running it again is always safe, and changes
nothing that is the same.

In the environment:
  TENCENT_SECRET_ID, TENCENT_SECRET_KEY    your own API key, which deploys (TENCENT_SESSION_TOKEN
                                           belongs to a temporary one)
  FUNCTION_SECRET_ID, FUNCTION_SECRET_KEY  the function's, which may do no more than verify
  WEBHOOK_SECRETS, LEDGER_URL, ...         the function's settings, as serverless.yml names them

docs/deploying.md has the policies that both keys need."""


def main(arguments: list[str] | None = None, *, endpoint: str | None = None) -> int:
    """The exit status: 0 when all went well, 1 when not, 2 for wrong usage, 130 after Ctrl-C.

    ``endpoint`` is another API than SCF's, in tests only.
    """
    for out in (sys.stdout, sys.stderr):
        if isinstance(out, io.TextIOWrapper):  # a terminal that does not know "…" is no reason to stop
            out.reconfigure(errors="replace")
    options = _parser().parse_args(arguments)
    try:
        if options.name == "package":
            build()
            return 0
        # Packaging needs nothing of all this, and works without what is developed with.
        from .command import deploy  # noqa: PLC0415

        return deploy(dry_run=options.dry_run, force=options.force, package=options.package, endpoint=endpoint)
    except ModuleNotFoundError as error:
        if error.name != "yaml":
            raise
        print("deploy: PyYAML is missing; `python3 tools/venv.py` installs it", file=sys.stderr)
    except (PackageError, OSError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped; run it again, it goes on from what is there", file=sys.stderr)
        return 130
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m signup_deploy", description=DESCRIPTION)
    commands = parser.add_subparsers(required=True, metavar="package|deploy", dest="name")
    commands.add_parser("package", help="build build/function/ and build/function.zip (what `make package` does)")
    deploy = commands.add_parser(
        "deploy",
        help="build the package and bring it to SCF (what `make deploy` does)",
        description=DEPLOY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deploy.add_argument(
        "--dry-run",
        action="store_true",
        help="print the calls that would change something; without your key, those of a first deployment",
    )
    deploy.add_argument("--force", action="store_true", help="upload the code even when the same one seems to run")
    deploy.add_argument(
        "--package", type=Path, metavar="ZIP", help="deploy this zip, such as an earlier one, instead of building one"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
