"""Emulate a connection whose request has waited for longer than a test may take."""

from __future__ import annotations

import struct
from typing import NamedTuple


class QueuedConnection(NamedTuple):
    """The part of a socket that the bridge uses on a connection from gunicorn."""

    seconds: float

    def getsockopt(self, _level: int, _option: int, size: int) -> bytes:
        """Return Linux's ``struct tcp_info`` up to ``tcpi_last_data_recv``, its twelfth 32-bit number."""
        return struct.pack(f"={size - 4}xI", round(self.seconds * 1000))
