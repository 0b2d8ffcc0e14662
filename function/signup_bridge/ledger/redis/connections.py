"""Connections to a Redis that keep the deadline of their user, in the handshake and in every reply.

The client library bounds each read by itself, so that a reply that drips would outlive the request that waits for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from redis.backoff import NoBackoff
from redis.connection import Connection, SSLConnection
from redis.retry import Retry

from signup_bridge.core import network
from signup_bridge.core.clock import Deadline
from signup_bridge.ledger import url as ledger_url
from signup_bridge.ledger.url import RedisUrl


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
        return network.connect(self.host, self.port, self.allowance.remaining)


class _Plain(DeadlineConnection):
    """One whose reads and writes end by the deadline, too."""

    def _connect(self) -> Any:
        return network.DeadlineSocket(super()._connect(), self.allowance.remaining)


class _TLS(SSLConnection, DeadlineConnection):
    """The same under TLS, which the client library's class puts around the socket that the next class connects."""

    def _connect(self) -> Any:
        return network.DeadlineSocket(super()._connect(), self.allowance.remaining)  # type: ignore[no-untyped-call]


def connector(url: str) -> tuple[Callable[[], DeadlineConnection], bool]:
    """Return what makes new connections to the Redis at ``url``, and whether the URL has a password.

    The client library's parser is not used: it refuses some passwords, in an error that shows them.
    """
    server = cast(RedisUrl, ledger_url.parse(url))
    kind: type[DeadlineConnection] = _TLS if server.tls else _Plain
    options: dict[str, Any] = {**server.options, "retry": Retry(NoBackoff(), 0), "protocol": 2}

    def new() -> DeadlineConnection:
        connection = kind(**options, decode_responses=True)
        connection.allowance = Allowance()
        return connection

    return new, "password" in server.options
