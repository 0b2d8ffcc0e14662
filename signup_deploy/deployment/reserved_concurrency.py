"""Limit the function to one instance, as a SQLite ledger requires.

Two instances must never run while the function can be called, because the second one would verify the same delivery
again. A reservation is in MB; divided by an instance's memory, it is the number of instances.
"""

from __future__ import annotations

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config

from .calls import Calls, PollPolicy
from .function_state import DeployedFunction
from .progress import ProgressReporter

_WHY = "instances cannot share a SQLite ledger, so that a second one would verify the same delivery again"


class InstanceLimit:
    """The reservation of one run: restricted before an update, set after the update or creation."""

    def __init__(self, config: Config, calls: Calls, progress: ProgressReporter, polling: PollPolicy) -> None:
        self._memory = config.memory
        self._shared = config.shared_ledger
        self._calls = calls
        self._progress = progress
        self._polling = polling
        self._reserved: int | None = None

    def before_update(self, found: DeployedFunction) -> None:
        """Reserve memory for at most one instance, both with the current and with the new memory size."""
        if self._shared:
            return
        self._reserved = self._read()
        smaller = min(self._memory, found.memory)
        if found.memory != self._memory:
            self._progress.say(
                f"the memory changes from {found.memory} to {self._memory} MB; the function may not respond for some "
                "seconds"
            )
        if self._reserved is None or self._reserved > smaller:
            self._put(smaller)

    def after_update(self, found: DeployedFunction | None) -> None:
        """Reserve memory for exactly one instance, or none if instances share Redis. ``found``: the earlier state."""
        if found is None or self._shared:
            self._reserved = self._read()
        if not self._shared:
            if self._reserved != self._memory:
                self._put(self._memory)
        elif self._reserved is not None:
            # A reservation for less than one instance, from an interrupted run, would prevent any start.
            if self._reserved <= self._memory or (found and self._reserved == found.memory):
                with self._progress.step("removing the limit to one instance: the instances share Redis"):
                    self._calls.write("DeleteReservedConcurrencyConfig")
            else:
                self._progress.say(
                    f"the reservation of {self._reserved} MB ({self._reserved // self._memory} instances) stays "
                    "unchanged; if you did not set it, delete it in the console"
                )

    def _read(self) -> int | None:
        reserved = self._calls.read("GetReservedConcurrencyConfig").get("ReservedMem")
        return None if reserved is None else int(reserved)

    def _put(self, memory: int) -> None:
        """Reserve memory, and wait until the reservation is in effect. Raises DeployError."""
        with self._progress.step(f"limiting the function to one instance: {_WHY}"):
            self._calls.write("PutReservedConcurrencyConfig", {"ReservedConcurrencyMem": memory})
            if self._calls.real and not self._calls.poll(lambda: self._read() == memory, self._polling.state):
                raise DeployError(
                    f"PutReservedConcurrencyConfig: {memory} MB are not reserved after {self._polling.state:.0f} s; "
                    "check the function's concurrency in the console, and run the command again"
                )
        self._reserved = memory
