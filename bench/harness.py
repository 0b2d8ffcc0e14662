"""The environment of every benchmark: a folder, a certificate, the senders' process, and a line of progress."""

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
"""Connections of the senders: as many as an instance on SCF has by default."""


class Harness(NamedTuple):
    folder: Path
    tls: certificates.Tls
    bundle: Path
    """What every client of the API trusts."""
    senders: load.Senders
    earlier: Path | None
    """The files of `earlier.COMMIT`; None if this clone does not have it."""

    def api(self, latency: float = 0.0) -> AbstractContextManager[str]:
        """The API's stand-in; its URL."""
        return api.running(self.tls.pem, latency)


@contextmanager
def start_harness() -> Iterator[Harness]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, load.process() as senders:
        folder = Path(name)
        tls = certificates.self_signed(folder)
        yield Harness(folder, tls, servers.trusted(tls.bundle, folder), senders, earlier.checkout(folder / "earlier"))


def show_progress(text: str) -> None:
    """Show progress in place of the previous text; an empty text ends the line."""
    end = "" if text and sys.stderr.isatty() else "\n"
    begin = "\r\x1b[K" if sys.stderr.isatty() else ""
    if text or begin:
        print(f"{begin}{text}", end=end if text else "", file=sys.stderr, flush=True)
