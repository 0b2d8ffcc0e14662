"""Calls about one function: in comes an action, out comes the reply, made again where that can help.

It must never make a call a second time that may have changed something already.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from signup_deploy.api.errors import ApiError, DeployError, UnreachableError
from signup_deploy.api.scf_api import READING, Api
from signup_deploy.config.function_config import Config

from .progress import ProgressReporter

_Seen = TypeVar("_Seen")


@dataclass(frozen=True)
class PollPolicy:
    """Seconds: between two looks, for a state to change, for a busy function to be free, for a URL to appear.

    And how often a call is made that is one too many, or, if it only reads, gets no answer.
    """

    interval: float = 1.0
    state: float = 300.0
    busy: float = 60.0
    url: float = 20.0
    attempts: int = 5


class Calls:
    """``real``: what is called happens; ``writes``: how many calls changed something."""

    def __init__(self, config: Config, api: Api, progress: ProgressReporter, patience: PollPolicy) -> None:
        self._who = {"FunctionName": config.name, "Namespace": config.namespace}
        self._api = api
        self._progress = progress
        self._patience = patience
        self.real = api.real
        self.writes = 0

    def read(self, action: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
        return self._call(action, {**self._who, **(parameters or {})})

    def write(self, action: str, parameters: Mapping[str, Any] | None = None) -> None:
        self.writes += 1
        self._call(action, {**self._who, **(parameters or {})})

    def until(self, look: Callable[[], _Seen | None], seconds: float) -> _Seen | None:
        """Look, with a dot a look, until something is seen; None when that took too long."""
        end = time.monotonic() + seconds
        while not (seen := look()) and time.monotonic() < end:
            self._progress.tick()
            time.sleep(self._patience.interval)
        return seen

    def _call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call until the function is free and the calls are not too many; what only reads also over a bad line."""
        end = time.monotonic() + self._patience.busy
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._api.call(action, parameters)
            except DeployError as error:
                if not self._helps(error, action, attempt, end):
                    raise
                if not action.startswith(READING):
                    self._progress.tick()
            time.sleep(self._patience.interval * min(attempt, self._patience.attempts))

    def _helps(self, error: DeployError, action: str, attempt: int, end: float) -> bool:
        """Whether the same call may go well in a moment."""
        if isinstance(error, ApiError) and error.is_busy():
            return time.monotonic() < end
        again = isinstance(error, ApiError) and error.is_throttled()
        if action.startswith(READING):
            again |= isinstance(error, UnreachableError) or (isinstance(error, ApiError) and error.is_internal())
        return again and attempt < self._patience.attempts
