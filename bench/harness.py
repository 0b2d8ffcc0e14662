"""Provide the environment of every benchmark: a folder, a certificate, the senders' process, a progress line."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from bench import api, earlier, load, servers
from local_services import certificates

CONNECTIONS = 16
"""Connections of the senders: the default concurrency of an instance on SCF."""


class Harness(NamedTuple):
    folder: Path
    tls: certificates.Tls
    bundle: Path
    """The CA bundle of every client of the API."""
    senders: load.Senders
    earlier: Path | None
    """The files of `earlier.COMMIT`; None if this clone does not have it."""

    def api(self, latency: float = 0.0) -> AbstractContextManager[str]:
        """Run the substitute for the API, which yields its URL."""
        return api.running(self.tls.pem, latency)


@contextmanager
def start_harness() -> Iterator[Harness]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, load.process() as senders:
        folder = Path(name)
        tls = certificates.self_signed(folder)
        yield Harness(folder, tls, servers.trusted(tls.bundle, folder), senders, earlier.checkout(folder / "earlier"))


def show_progress(text: str) -> None:
    """Replace the previous progress line. An empty text ends the line."""
    end = "" if text and sys.stderr.isatty() else "\n"
    begin = "\r\x1b[K" if sys.stderr.isatty() else ""
    if text or begin:
        print(f"{begin}{text}", end=end if text else "", file=sys.stderr, flush=True)
