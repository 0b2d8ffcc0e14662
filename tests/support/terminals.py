"""Run processes whose output is a terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from tests.support import ROOT

LIMIT = 120.0
"""Seconds within which an expected text must be written."""


class Terminal:
    """A process, and the other end of its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], end: int) -> None:
        self.process = process
        self.text = ""
        self._end = end

    def wait_for(self, pattern: str) -> re.Match[str]:
        """Return the first match of a pattern in the past or future output."""
        limit = time.monotonic() + LIMIT
        while (match := re.search(pattern, self.text, re.MULTILINE)) is None:
            assert time.monotonic() < limit, self.text
            assert self._read(), self.text
        return match

    def wait(self) -> int:
        """Read the rest of the output and return the exit status."""
        while self._read():
            pass
        return self.process.wait(timeout=LIMIT)

    def _read(self) -> bool:
        """Read the available output, or wait a moment. Return False at the end."""
        if not select.select([self._end], [], [], 0.1)[0]:
            return True
        with suppress(OSError):  # on Linux, this means that the other side is closed
            data = os.read(self._end, 65_536)
            self.text += data.decode().replace("\r\n", "\n")
            return bool(data)
        return False


@contextmanager
def in_terminal(command: Sequence[str], environ: Mapping[str, str]) -> Iterator[Terminal]:
    """Start a process in a terminal, and kill it if it still runs at the end."""
    end, terminal = pty.openpty()
    process = subprocess.Popen(command, cwd=ROOT, env=environ, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        yield Terminal(process, end)
    finally:
        process.kill()
        process.wait()
        os.close(end)
