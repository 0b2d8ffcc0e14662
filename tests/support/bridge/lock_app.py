"""A WSGI application that responds with whether another thread can hold the `CpuLock` in the meantime."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from signup_bridge.core.clock import cpu_lock

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def hold() -> bool:
    """Hold the lock for a moment; return whether it was free in time."""
    with cpu_lock.held() as acquired:
        return acquired


def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    environ["wsgi.input"].read()
    with ThreadPoolExecutor(1) as pool:
        free = pool.submit(hold).result()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"free " if free else b"taken"]
