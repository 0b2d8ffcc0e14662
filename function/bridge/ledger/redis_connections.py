"""Connections to a Redis that keep the deadline of their user, in the handshake and in every reply.

The client library bounds each read by itself, so that a reply that drips would outlive the request that waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection, parse_url
from redis.retry import Retry

from bridge import sockets
from bridge.clock import Deadline


class Allowance:
    """The time that the user of a connection has left."""

    deadline: Deadline

    def remaining(self) -> float:
        """Return the seconds left. Raises TimeoutError when there are none."""
        if left := self.deadline.remaining():
            return left
        raise TimeoutError("the deadline has passed")


class DeadlineConnection(Connection):
    """A connection that is made by the deadline of its ``allowance``, or not at all."""

    allowance: Allowance

    def _connect(self) -> Any:
        return sockets.connect(self.host, self.port, self.allowance.remaining)


class _Plain(DeadlineConnection):
    """One whose reads and writes end by the deadline, too."""

    def _connect(self) -> Any:
        return sockets.Bounded(super()._connect(), self.allowance.remaining)


class _TLS(SSLConnection, DeadlineConnection):
    """The same under TLS, which the client library's class puts around the socket that the next class connects."""

    def _connect(self) -> Any:
        return sockets.Bounded(super()._connect(), self.allowance.remaining)  # type: ignore[no-untyped-call]


def connector(url: str) -> tuple[Callable[[], DeadlineConnection], bool]:
    """Return what makes new connections to the Redis at ``url``, and whether the URL has a password."""
    options: dict[str, Any] = {**parse_url(url)}
    secure = options.pop("connection_class", Connection) is not Connection
    kind: type[DeadlineConnection] = _TLS if secure else _Plain
    fixed = {"retry": Retry(NoBackoff(), 0), "protocol": 2, "decode_responses": True}

    def new() -> DeadlineConnection:
        connection = kind(**options | fixed)
        connection.allowance = Allowance()
        return connection

    return new, bool(options.get("password"))
