"""Convert the Redis records of an earlier version when the first instance of this version connects.

From then on, the earlier version fails and makes no calls; this version starts when all records are converted. The
conversion can take several requests, each of which continues it until shortly before its deadline.
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
"""Keys that are read together."""

RESERVE = 0.25
"""Seconds of the deadline that must be left to read another page."""


class Conversion:
    """A conversion that several handshakes can continue. Several instances can convert the same records."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._server: str | None = None
        self._cursor: str | None = None

    def run(self, connection: RedisConnection, evaluate: Callable[..., Any], deadline: Deadline) -> None:
        """Convert all records. Raises LedgerUnavailable if the deadline passes before the end."""
        if (server := _run_id(connection)) != self._server:
            self._server, self._cursor = server, None
        if self._cursor is None:
            evaluate(connection, "convert", "first", CREATE, DESCRIBE, SEND)
            log.warning(
                "LEDGER_URL: conversion of an earlier version's records started, that version fails from now on"
            )
            self._cursor = "0"
        while True:
            if deadline.remaining() < RESERVE:
                raise LedgerUnavailable(
                    "LEDGER_URL: the records of an earlier version are being converted; retry later"
                )
            cursor, names = connection.command("SCAN", self._cursor, "MATCH", self._prefix + "*", "COUNT", str(PAGE))
            evaluate(connection, "convert", "" if cursor != "0" else "last", *names)
            if cursor == "0":
                log.warning("LEDGER_URL: conversion of an earlier version's records completed")
                return
            self._cursor = cursor


def _run_id(connection: RedisConnection) -> str | None:
    """Return the id of the server's process, if available. A cursor is valid for one process only."""
    with suppress(ServerError):
        for line in str(connection.command("INFO", "server")).splitlines():
            name, _, value = line.partition(":")
            if name == "run_id":
                return value
    return None
