"""The command line: ``python -m deploy package``."""

from __future__ import annotations

import argparse
import sys

from .package import PackageError, build


def main(arguments: list[str] | None = None) -> int:
    """The exit status: 0 when all went well, 1 when not, 2 for wrong usage."""
    _parser().parse_args(arguments)
    try:
        build()
    except (PackageError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy", description="Build what SCF runs.")
    commands = parser.add_subparsers(required=True, metavar="package", dest="name")
    commands.add_parser("package", help="build build/function/ and build/function.zip (what `make package` does)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
