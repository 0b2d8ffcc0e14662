"""The limit to one instance, which a SQLite ledger needs: in comes what is wanted, and the reservation is made so.

While the function can be called there must never be a moment with room for two instances: a second one would verify
the same delivery again. A reservation is in MB, so that the memory of an instance says how many have room in it.
"""

from __future__ import annotations

from signup_deploy.api.errors import DeployError
from signup_deploy.config.function_config import Config

from .calls import Calls, PollPolicy
from .function_state import DeployedFunction
from .progress import ProgressReporter

_WHY = "its SQLite ledger is that instance's own, and a second one would verify the same delivery again"


class Limit:
    """One run's work on it: ``before`` an update of the function, and ``after`` it or its creation."""

    def __init__(self, config: Config, calls: Calls, progress: ProgressReporter, patience: PollPolicy) -> None:
        self._memory = config.memory
        self._shared = config.shared_ledger
        self._calls = calls
        self._progress = progress
        self._patience = patience
        self._reserved: int | None = None

    def before(self, found: DeployedFunction) -> None:
        """Leave room for one instance at most, whether it has the memory of now or the one that is wanted."""
        if self._shared:
            return
        self._reserved = self._read()
        smaller = min(self._memory, found.memory)
        if found.memory != self._memory:
            self._progress.say(
                f"the memory changes from {found.memory} to {self._memory} MB: for some seconds no instance may answer"
            )
        if self._reserved is None or self._reserved > smaller:
            self._put(smaller)

    def after(self, found: DeployedFunction | None) -> None:
        """Room for exactly one instance; none reserved where the instances share a Redis. ``found``: before it all."""
        if found is None or self._shared:
            self._reserved = self._read()
        if not self._shared:
            if self._reserved != self._memory:
                self._put(self._memory)
        elif self._reserved is not None:
            # Less than one instance's memory, and none could start: left by a run that was broken off.
            if self._reserved <= self._memory or (found and self._reserved == found.memory):
                with self._progress.step("lifting the limit to one instance: the instances share a Redis"):
                    self._calls.write("DeleteReservedConcurrencyConfig")
            else:
                self._progress.say(
                    f"a reservation of {self._reserved} MB, room for {self._reserved // self._memory} instances, is "
                    "left as it is; if it is not yours, take it away in the console"
                )

    def _read(self) -> int | None:
        reserved = self._calls.read("GetReservedConcurrencyConfig").get("ReservedMem")
        return None if reserved is None else int(reserved)

    def _put(self, memory: int) -> None:
        """Reserve, and wait until it is so. Raises DeployError."""
        with self._progress.step(f"limiting the function to one instance: {_WHY}"):
            self._calls.write("PutReservedConcurrencyConfig", {"ReservedConcurrencyMem": memory})
            if self._calls.real and not self._calls.until(lambda: self._read() == memory, self._patience.state):
                raise DeployError(
                    f"PutReservedConcurrencyConfig: {memory} MB are not reserved after {self._patience.state:.0f} s; "
                    "look at the function's concurrency in the console, and run this again"
                )
        self._reserved = memory
