"""Report why the bridge does not start: one JSON line for the log, readable text for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import NoReturn

from .settings import SettingsError
from .telemetry.logs import JsonFormatter, log


def refuse(error: SettingsError) -> NoReturn:
    """Report the problems and exit with status 1, without a traceback."""
    if not sys.stdout.isatty():
        handler = logging.StreamHandler(sys.stdout)
        handler.setFormatter(JsonFormatter())
        logging.basicConfig(handlers=[handler])
        log.error("start refused", extra={"fields": {"problems": error.problems}})
    terminal = next((stream for stream in (sys.stderr, sys.stdout) if stream.isatty()), None)
    if terminal:
        terminal.write(f"{error}\n")
    raise SystemExit(1) from None
