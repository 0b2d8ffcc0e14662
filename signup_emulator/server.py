"""The emulator: the API and its console on one port."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .api.server import ApiServer
from .console.console import Console
from .console.routes import create_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Emulator(ApiServer):
    """An emulated account and its console, with the parameters of `ApiServer`.

    ``allowed`` lists further host names of the console.
    """

    def __init__(self, *arguments: Any, allowed: Collection[str] = (), **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._allowed = allowed
        self.console = Console(self)
        self.app = self._create_app

    def _create_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Create the console at its first request, because this takes longer than the rest of the start."""
        self.app = create_app(self.console, host=self.host, allowed=self._allowed)
        return self.app(environ, start_response)

    def snapshot(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {**self.domain.snapshot(), "deliveries": self.console.deliveries.snapshot()}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore a `snapshot`. Raises KeyError, TypeError or ValueError if it is not one."""
        self.domain.restore(snapshot)
        self.console.deliveries.restore(snapshot["deliveries"])

    def __exit__(self, *_: object) -> None:
        self.console.close()
        super().__exit__()
