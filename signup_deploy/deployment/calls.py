"""Call the API for one function, and retry calls that failed without effect.

A call that may have changed something is never repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from signup_deploy.api.errors import ApiError, DeployError, UnreachableError
from signup_deploy.api.scf_api import READ_PREFIXES, Api
from signup_deploy.config.function_config import Config

from .progress import ProgressReporter

_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class PollPolicy:
    """Times in seconds, and the attempts for calls that were throttled, or that only read and received no reply.

    ``interval`` is the time between two polls. ``state``, ``busy`` and ``url`` limit the wait for a changed state, for
    the end of another change, and for a URL.
    """

    interval: float = 1.0
    state: float = 300.0
    busy: float = 60.0
    url: float = 20.0
    attempts: int = 5


class Calls:
    """Calls for one function. ``real``: not a dry run; ``writes``: the number of calls that change something."""

    def __init__(self, config: Config, api: Api, progress: ProgressReporter, polling: PollPolicy) -> None:
        self._function = {"FunctionName": config.name, "Namespace": config.namespace}
        self._api = api
        self._progress = progress
        self._polling = polling
        self.real = api.real
        self.writes = 0

    def read(self, action: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._call(action, {**self._function, **(parameters or {})})

    def write(self, action: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.writes += 1
        self._call(action, {**self._function, **(parameters or {})})

    def poll(self, look: Callable[[], _Seen | None], seconds: float) -> _Seen | None:
        """Call ``look`` until it returns something; return None after ``seconds``."""
        end = time.monotonic() + seconds
        while not (seen := look()) and time.monotonic() < end:
            self._progress.tick()
            time.sleep(self._polling.interval)
        return seen

    def _call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make a call, and retry it while a retry may succeed. Raises DeployError."""
        end = time.monotonic() + self._polling.busy
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._api.call(action, parameters)
            except DeployError as error:
                if not self._should_retry(error, action, attempt, end):
                    raise
                if not action.startswith(READ_PREFIXES):
                    self._progress.tick()
            time.sleep(self._polling.interval * min(attempt, self._polling.attempts))

    def _should_retry(self, error: DeployError, action: str, attempt: int, end: float) -> bool:
        """Return whether a retry of the call may succeed."""
        if isinstance(error, ApiError) and error.is_busy():
            return time.monotonic() < end
        again = isinstance(error, ApiError) and error.is_throttled()
        if action.startswith(READ_PREFIXES):
            again |= isinstance(error, UnreachableError) or (isinstance(error, ApiError) and error.is_internal())
        return again and attempt < self._polling.attempts
