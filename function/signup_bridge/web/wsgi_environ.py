"""Facts about a request that only the server or the platform knows, such as its time in a queue.

The functions use documented interfaces of gunicorn. Without gunicorn, they do nothing. The queue time requires Linux.
"""

from __future__ import annotations

import socket
import struct
import sys
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

BUDGET = "signup_bridge.budget"
"""The key in the WSGI environment of the seconds that the platform leaves for this request. No header can set it."""

current_request: ContextVar[Any] = ContextVar("current_request", default=None)
"""gunicorn's request object, from its hook ``pre_request``. Each thread has its own."""

request_read: ContextVar[Callable[[], object]] = ContextVar("request_read", default=lambda: None)
"""Call it when the request has been read, so that the worker stops limiting the time. Each thread has its own."""

_LAST_DATA_RECEIVED = struct.Struct("=52xI")
"""``tcpi_last_data_recv`` in Linux's ``struct tcp_info`` (linux/tcp.h): 8 bytes, 11 other 32-bit numbers, then this."""


def queue_time(environ: WSGIEnvironment) -> float:
    """Return the seconds since the last byte of the connection arrived.

    Before the body is read, a complete request has spent this time in the queues of the kernel and of gunicorn. The
    server itself does not measure the time before a thread is free.
    """
    connection = environ.get("gunicorn.socket")
    if connection is None or sys.platform != "linux":
        return 0.0
    try:
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA_RECEIVED.size)
    except OSError:  # a Unix socket
        return 0.0
    (milliseconds,) = _LAST_DATA_RECEIVED.unpack(info)
    return float(milliseconds) / 1000


def close_after_response() -> None:
    """Close the connection after the response. A WSGI application may not set ``Connection`` itself."""
    if request := current_request.get():
        request.force_close()
