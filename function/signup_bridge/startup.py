"""Report why the bridge does not start: one line for the log, readable text for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

from .telemetry.logs import JsonFormatter, TextFormatter, log


def refuse(message: str, problems: list[str], *, log_format: str = "json") -> NoReturn:
    """Report the problems, which the message also lists, and exit with status 1 without a traceback.

    ``log_format`` is the value of ``LOG_FORMAT``, which need not be valid.
    """
    if not sys.stdout.isatty():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(TextFormatter() if log_format.strip() == "text" else JsonFormatter())
        logging.basicConfig(handlers=[handler])
        log.error("startup failed", extra={"fields": {"problems": problems}})
    terminal = next((stream for stream in (sys.stderr, sys.stdout) if stream.isatty()), None)
    if terminal:
        terminal.write(f"{message}\n")
    raise SystemExit(1) from None
