"""Define the targets as data, and their results."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Target(NamedTuple):
    """A figure and its bound. ``unit`` follows both; it is empty for a ratio.

    ``guard`` is the limit that `make bench-check` enforces instead if the bound is missed or only just met. It is a
    little beyond the figure that docs/explanation/performance.md explains.
    """

    name: str
    at: Literal["least", "most"]
    bound: float
    unit: str = ""
    guard: float | None = None

    def format(self, value: float) -> str:
        """Return a value with its unit."""
        return f"{value:.{0 if self.unit in ('calls', 'deliveries') else 2}f}{' ' + self.unit if self.unit else ''}"


class Result(NamedTuple):
    """The measured figure of a target, or None if this machine cannot measure it, and its ``detail``."""

    target: Target
    measured: float | None
    detail: str

    @property
    def is_met(self) -> bool:
        """Return whether the target is met or was not measured."""
        return self._is_within(self.target.bound)

    @property
    def is_guarded(self) -> bool:
        """Return whether the figure is within the limit of `make bench-check`."""
        return self._is_within(self.target.bound if self.target.guard is None else self.target.guard)

    def _is_within(self, bound: float) -> bool:
        if self.measured is None:
            return True
        return self.measured >= bound if self.target.at == "least" else self.measured <= bound

    @property
    def part_of_bound(self) -> float | None:
        """Return the figure as a fraction of its bound, where less is better, or None without a figure."""
        if not self.measured or not self.target.bound:
            return None
        part = self.measured / self.target.bound
        return part if self.target.at == "most" else 1 / part

    @property
    def verdict(self) -> str:
        if self.measured is None:
            return "not measured"
        return "met" if self.is_met else "SHORT"


BESIDE_BASELINE = Target("throughput, of the baseline's", "least", 1.0, guard=0.9)
BESIDE_EARLIER = Target("the same, of 6d831f2's", "least", 0.95, guard=0.8)
PROCESSOR = Target("processor time of a first delivery, of the baseline's", "most", 0.95, guard=1.3)
BESIDE_NAIVE = Target("throughput, of the naive peer's", "least", 2.0)
ADDED_MEDIAN = Target("added to the API's own 50 ms at 15 requests/s, median", "most", 3.0, "ms", guard=6.0)
ADDED_P99 = Target("the same, p99", "most", 5.0, "ms", guard=25.0)
REPLAY = Target("cost of a replay, of a first delivery's", "most", 0.5, guard=0.65)
REFUSED = Target("cost of a refused signature, of a first delivery's", "most", 0.33, guard=0.45)
COLD_START = Target("cold start to the first 200, of the baseline's", "most", 1.0, guard=1.15)
COLD_START_EARLIER = Target("the same, of 6d831f2's", "most", 0.9, guard=1.1)
COLD_VERIFIED = Target("cold start to the first verified delivery, of the baseline's", "most", 1.0, guard=1.15)
COLD_VERIFIED_EARLIER = Target("the same, of 6d831f2's", "most", 0.9, guard=1.1)
COLD_PROCESSOR = Target("processor time of all processes until then, of the baseline's", "most", 1.0, guard=1.15)
COLD_PROCESSOR_EARLIER = Target("the same, of 6d831f2's", "most", 0.9, guard=1.1)
COLD_START_BARE = Target("cold start to the first 200, of the baseline's without bytecode", "most", 0.5)
COLD_MEMORY = Target("memory of all processes, of the baseline's", "most", 1.1)
COLD_TENTH = Target("cold start on a tenth of a processor, first 200, of the baseline's", "most", 1.0, guard=1.15)
COLD_TENTH_VERIFIED = Target("the same, first verified delivery", "most", 1.0, guard=1.15)
COLD_TENTH_PROCESSOR = Target("the same, processor time until then", "most", 1.0, guard=1.15)
GROWTH = Target("memory after 60,000 deliveries, more than before", "most", 3.0, "MiB")
SMALL_VERIFIED = Target("verified in 36 MiB without swap, the built zip", "least", 20_000, "deliveries")
SMALL_RESIDENT = Target("the same: resident and mapped at the end", "most", 33.0, "MiB", guard=35.0)
SMALL_GROWTH = Target("the same: more than after the first 5,000", "most", 2.0, "MiB")
MANY_RECORDS = Target("median latency with a million records, of that with few", "most", 1.2)
BURST = Target("200 within a second at 20 calls/s: all verified, of 10 s", "most", 1.15)
BURST_REFUSED = Target("the same: calls refused for the quota", "most", 0, "calls")
REDIS_PROCESSOR = Target("Redis processor time for a verified delivery, of 6d831f2's", "most", 0.35, guard=0.7)
REDIS_COMMANDS = Target("Redis commands for a verified delivery", "most", 20.0)
REDIS_MEMORY = Target("Redis memory for a verified delivery, of 6d831f2's", "most", 0.5)
REDIS_HISTORY = Target("a claim with 100,000 earlier calls on Redis, of one with none", "most", 1.2)
SQLITE_HISTORY = Target("the same on SQLite", "most", 1.2)
