"""Report progress at the terminal: one line per step, with a dot for each poll."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO


class ProgressReporter:
    """Write to ``out``, by default standard output, without buffering.

    Without ``live``, print only the names of the steps.
    """

    def __init__(self, out: TextIO | None = None, *, live: bool = True) -> None:
        self._out = out
        self._live = live

    def say(self, text: str = "") -> None:
        self._write(text + "\n")

    def tick(self) -> None:
        """Print a dot, which shows that the step continues."""
        self._write(".")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """Print ``text`` and, at the end, the duration of the step in seconds."""
        if not self._live:
            self.say(text)
            yield
            return
        start = time.monotonic()
        self._write(f"{text} …")
        try:
            yield
        except BaseException:
            self._write("\n")
            raise
        self._write(f" {time.monotonic() - start:.0f} s\n")

    def _write(self, text: str) -> None:
        out = self._out or sys.stdout
        out.write(text)
        out.flush()
