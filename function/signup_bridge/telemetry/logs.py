"""The log: one line each on stdout, as JSON with the ids of the request and its trace, or as text for a terminal.

It never contains an unmasked contact, a verification code, a secret or a signature, at any level. Exceptions and lines
of other libraries are therefore logged without their messages, only by where they occurred.
"""

from __future__ import annotations

import json
import logging
import random
import re
import sys
import time
import traceback
from contextvars import ContextVar
from typing import Any

from .tracing import trace_id

log = logging.getLogger("signup_bridge")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# The platform's ids are UUIDs. Any other value without a letter could be a phone number, which must not be logged.
_REQUEST_ID = r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[0-9-]*[A-Za-z])[0-9A-Za-z-]{1,64}"


def current_request_id() -> str:
    """Return the id of the request that this thread handles; an empty string outside a request."""
    return request_id.get() or ""


def accept_request_id(received: object) -> str:
    """Return the request id that the platform sent if it is well-formed, else a new one."""
    if isinstance(received, str) and re.fullmatch(_REQUEST_ID, received):
        return received
    # Not secret. Reading random numbers from the kernel may release the interpreter's lock.
    return f"{random.getrandbits(128):032x}"


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON object, with the fields in ``extra={"fields": {…}}``."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(self.to_document(record))

    def to_document(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return the members of the JSON object."""
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "message": _message(record),
        }
        if record.name != log.name:
            line["logger"] = record.name
        ids = {"request_id": request_id.get(), "trace_id": trace_id.get()}
        line.update({name: value for name, value in ids.items() if value is not None})
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return line


class TextFormatter(JsonFormatter):
    """Format a record as text. It contains nothing that the JSON line does not contain."""

    def format(self, record: logging.LogRecord) -> str:
        from .text_lines import format_line  # noqa: PLC0415  an instance on SCF never writes text

        return format_line(self.to_document(record))


def writes_text(log_format: str) -> bool:
    """Return whether LOG_FORMAT selects text: ``auto`` does so if stdout is a terminal."""
    return log_format == "text" or (log_format == "auto" and sys.stdout.isatty())


def _message(record: logging.LogRecord) -> str:
    if record.name == log.name:
        return record.getMessage()
    if not record.name.startswith("gunicorn"):
        return f"{record.filename}:{record.lineno}"
    # gunicorn's messages contain the text that it cannot parse, and the URL of a request that failed.
    message = str(record.msg) if record.exc_info else record.getMessage()
    return message.partition(" from ip=")[0]


def _filter_gunicorn(record: logging.LogRecord) -> bool:
    """Drop gunicorn's DEBUG lines, which repeat requests, even if its own options set that level.

    gunicorn logs a traceback if a caller stops in the middle of a request, so any caller could fill the log.
    """
    if record.levelno < logging.INFO:
        return False
    if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.exc_info = "request read timeout", None
    return True


def dict_config(level: str, log_format: str = "json") -> dict[str, Any]:
    """Return the configuration for ``logging.config.dictConfig``. ``level`` applies to the bridge's own lines.

    Other libraries log from WARNING, gunicorn from INFO, because their DEBUG lines contain personal data.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": TextFormatter if writes_text(log_format) else JsonFormatter}},
        "filters": {"gunicorn": {"()": lambda: _filter_gunicorn}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "line", "stream": "ext://sys.stdout"}},
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            log.name: {"level": level},
            "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "filters": ["gunicorn"]},
            "gunicorn.access": {"level": "CRITICAL"},  # its lines contain URLs
        },
    }
