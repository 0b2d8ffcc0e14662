"""The emulator: the API and, on the same port, its console."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .api.server import ApiServer
from .console.console import Console
from .console.routes import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Emulator(ApiServer):
    """An emulated account and its console; takes what an `ApiServer` takes.

    ``allowed`` are host names beside this machine's own that lead to the console.
    """

    def __init__(self, *arguments: Any, allowed: Collection[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allowed = allowed
        self.console = Console(self)
        self.app = self._first

    def _first(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """The console itself, which is made when it is first asked for: that takes longer than all the rest."""
        self.app = create_app(self.console, host=self.host, allowed=self._allowed)
        return self.app(environ, start_response)

    def snapshot(self) -> dict[str, Any]:
        """What is known, as JSON values."""
        return {**self.domain.snapshot(), "deliveries": self.console.deliveries.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Know again what a `snapshot` holds. Raises KeyError, TypeError or ValueError when it is none."""
        self.domain.restore(snapshot)
        self.console.deliveries.restore(snapshot["deliveries"])

    def __exit__(self, *_: object) -> None:
        self.console.close()
        super().__exit__()
