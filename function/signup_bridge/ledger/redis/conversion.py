"""The conversion of a Redis that an earlier version wrote, when the first instance of this version connects.

The earlier version fails from then on and makes no calls; this one begins when all records are converted. It takes as
many requests as it needs: each one goes on until shortly before its deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from signup_bridge.core.actions import CREATE, DESCRIBE, SEND
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import LedgerUnavailable
from signup_bridge.telemetry.logs import log

from .connections import RedisConnection, ServerError

PAGE = 200
"""Keys that are read at a time."""

RESERVE = 0.25
"""Seconds of the deadline that must be left to read another page."""


class Conversion:
    """A conversion that several handshakes may continue. Several instances may convert the same records."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._server: str | None = None
        self._cursor: str | None = None

    def run(self, connection: RedisConnection, evaluate: Callable[..., Any], deadline: Deadline) -> None:
        """Convert all records. Raises LedgerUnavailable if the deadline comes first."""
        if (server := _run_id(connection)) != self._server:
            self._server, self._cursor = server, None
        if self._cursor is None:
            evaluate(connection, "convert", "first", CREATE, DESCRIBE, SEND)
            log.warning("LEDGER_URL: converting the records of an earlier version, which fails from now on")
            self._cursor = "0"
        while True:
            if deadline.remaining() < RESERVE:
                raise LedgerUnavailable(
                    "LEDGER_URL: the records of an earlier version are being converted; retry later"
                )
            cursor, names = connection.command("SCAN", self._cursor, "MATCH", self._prefix + "*", "COUNT", str(PAGE))
            evaluate(connection, "convert", "" if cursor != "0" else "last", *names)
            if cursor == "0":
                log.warning("LEDGER_URL: the records of an earlier version are converted")
                return
            self._cursor = cursor


def _run_id(connection: RedisConnection) -> str | None:
    """Return the name of the server's process, if it says so: a cursor is that of one process."""
    with suppress(ServerError):
        for line in str(connection.command("INFO", "server")).splitlines():
            name, _, value = line.partition(":")
            if name == "run_id":
                return value
    return None
