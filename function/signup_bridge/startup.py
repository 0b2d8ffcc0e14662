"""Report why the bridge does not start: one JSON line for the log, readable text for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

from .telemetry.logs import JsonFormatter, log


def refuse(message: str, problems: list[str]) -> NoReturn:
    """Report the problems, which the message also lists, and exit with status 1 without a traceback."""
    if not sys.stdout.isatty():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonFormatter())
        logging.basicConfig(handlers=[handler])
        log.error("startup failed", extra={"fields": {"problems": problems}})
    terminal = next((stream for stream in (sys.stderr, sys.stdout) if stream.isatty()), None)
    if terminal:
        terminal.write(f"{message}\n")
    raise SystemExit(1) from None
