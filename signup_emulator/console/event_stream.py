"""Publish events to all watchers as server-sent events.

Source: WHATWG HTML, "Server-sent events".
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

BACKLOG = 1000
"""Events queued for a watcher. A slower watcher is disconnected, reconnects, and reloads the lists."""

_HEARTBEAT = 10.0
"""Seconds without an event after which a comment is sent, to detect a disconnected watcher."""

Watcher = queue.Queue[str | None]


class EventStream:
    """The watchers of the console. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watchers: set[Watcher] = set()
        self._closed = False

    def publish(self, event: str, document: object) -> None:
        """Send an event, whose data is a JSON document, to all watchers."""
        text = f"event: {event}\ndata: {json.dumps(document)}\n\n"
        with self._lock:
            for watcher in list(self._watchers):
                try:
                    watcher.put_nowait(text)
                except queue.Full:
                    self._watchers.discard(watcher)

    def close(self) -> None:
        """Disconnect all watchers."""
        with self._lock:
            self._closed = True
            for watcher in self._watchers:
                while True:
                    try:
                        watcher.put_nowait(None)
                        break
                    except queue.Full:
                        watcher.get_nowait()

    def watch(self) -> Iterator[str]:
        """Yield the events from now on in wire format, until the console is closed."""
        with self._watcher() as watcher:
            yield "retry: 1000\n\n"
            while watcher in self._watchers and not self._closed:
                try:
                    text = watcher.get(timeout=_HEARTBEAT)
                except queue.Empty:
                    text = ": keep-alive\n\n"
                if text is None:
                    return
                yield text

    @contextmanager
    def _watcher(self) -> Iterator[Watcher]:
        watcher: Watcher = queue.Queue(BACKLOG)
        with self._lock:
            self._watchers.add(watcher)
        try:
            yield watcher
        finally:
            with self._lock:
                self._watchers.discard(watcher)
