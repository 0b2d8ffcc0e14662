"""The log: one JSON object a line on stdout, with the ids of the request and its trace on every line.

It never contains a contact in the clear, a verification code, a secret or a signature, at any level. So it leaves out
the messages of exceptions and of other libraries, and logs only where they occurred.
"""

from __future__ import annotations

import json
import logging
import random
import re
import time
import traceback
from contextvars import ContextVar
from typing import Any

from .tracing import trace_id

log = logging.getLogger("signup_bridge")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

# The platform's are UUIDs. A value without a letter that is no UUID could be a phone number, sent to be logged.
_REQUEST_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|(?=[0-9-]*[A-Za-z])[0-9A-Za-z-]{1,64}")


def accept_request_id(received: object) -> str:
    """Return the request id that the platform sent if it is well-formed, else a new one."""
    if isinstance(received, str) and _REQUEST_ID.fullmatch(received):
        return received
    # It need not be secret, and reading the kernel's random numbers may release the interpreter's lock.
    return f"{random.getrandbits(128):032x}"


LOG_FIELDS = {
    # on every line, each where there is one
    "time": "string",
    "level": "string",
    "message": "string",
    "logger": "string",
    "request_id": "string",
    "trace_id": "string",
    "error": "string",
    "stack": "array",
    # of a delivery
    "action": "string",
    "outcome": "string",
    "status": "integer",
    "type": "string",
    "contact": "string",
    "duration_ms": "number",
    "wait_ms": "number",
    "upstream_ms": "number",
    "api_code": "string",
    "api_request_id": "string",
    "upstream_error": "string",
    "replayed": "boolean",
    "resolved": "boolean",
    "remedy": "string",
    "limit": "string",
    "reason": "string",
    "invalid_members": "array",
    # of events
    "record": "string",
    "records": "integer",
    "outcomes": "object",
    "event_keys": "array",
    # of a start that is refused
    "problems": "array",
}
"""All that may stand on a line, and of what JSON type it is. docs/operations.md says what each means."""


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object, with the fields in ``extra={"fields": {…}}``."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{record.msecs:03.0f}Z",
            "level": record.levelname,
            "message": _message(record),
        }
        if record.name != log.name:
            line["logger"] = record.name
        current = request_id.get()
        if current is not None:
            line["request_id"] = current
        trace = trace_id.get()
        if trace is not None:
            line["trace_id"] = trace
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__
            line["stack"] = [
                f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line)


def _message(record: logging.LogRecord) -> str:
    if record.name == log.name:
        return record.getMessage()
    if not record.name.startswith("gunicorn"):
        return f"{record.filename}:{record.lineno}"  # its words may repeat what it carries
    # gunicorn writes what it cannot parse, and the URL of what failed, into its messages.
    message = str(record.msg) if record.exc_info else record.getMessage()
    return message.partition(" from ip=")[0]


def _filter_gunicorn(record: logging.LogRecord) -> bool:
    """Drop gunicorn's DEBUG lines, which repeat requests, whatever level its own options set.

    A caller that stops in the middle of a request is an error with a traceback to gunicorn: anybody could fill the log.
    """
    if record.levelno < logging.INFO:
        return False
    if record.exc_info and isinstance(record.exc_info[1], TimeoutError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.exc_info = "a caller stopped in the middle of a request", None
    return True


def dict_config(level: str) -> dict[str, Any]:
    """What ``logging.config.dictConfig`` takes: our lines from ``level`` on, gunicorn's from INFO, else from WARNING.

    Whose name is not here stays silent below that whatever ``level`` is: at DEBUG others print what they carry.
    """
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "filters": {"gunicorn": {"()": lambda: _filter_gunicorn}},
        "handlers": {"stdout": {"class": "logging.StreamHandler", "formatter": "json", "stream": "ext://sys.stdout"}},
        "root": {"level": "WARNING", "handlers": ["stdout"]},
        "loggers": {
            log.name: {"level": level},
            "gunicorn.error": {"level": "INFO", "handlers": ["stdout"], "filters": ["gunicorn"]},
            "gunicorn.access": {"level": "CRITICAL"},  # it would print URLs
        },
    }
