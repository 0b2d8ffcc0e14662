"""Run the benchmarks and report each figure beside its target.

    make bench        takes about 20 minutes; writes the tables and plots of docs/explanation/performance.md
    make bench-check  the same, but writes nothing and fails if a figure is worse than its limit

Run nothing else on the machine. `python -m bench speed burst` runs only these benchmarks and writes nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any

from bench import processes, report
from bench.benchmarks import burst, cold_start, latency, memory, profile, records, redis_cost, speed
from bench.harness import Harness, show_progress, start_harness

BENCHMARKS: dict[str, Callable[[Harness], Any]] = {
    "redis-cost": redis_cost.measure,
    "cold-start": cold_start.measure,
    "memory": memory.measure,
    "speed": speed.measure,
    "profile": profile.measure,
    "latency": latency.measure,
    "burst": burst.measure,
    "records": records.measure,
}
"""In the order of the report, which begins with the figures that cost money."""


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", nargs="*", help=f"one or more of {', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a figure is worse than its limit")
    arguments = parser.parse_args()
    wanted = arguments.benchmark or list(BENCHMARKS)
    if unknown := set(wanted) - set(BENCHMARKS):
        parser.error(f"unknown benchmark: {', '.join(sorted(unknown))}; choose from {', '.join(BENCHMARKS)}")
    processes.prepare("bench")
    measured = {}
    with start_harness() as running:
        for name in wanted:
            measured[name] = BENCHMARKS[name](running)
            show_progress("")
            print(report.summary(measured[name]), flush=True)
    results = [result for one in measured.values() for result in one.results]
    missed = [result for result in results if not result.is_met]
    worse = [result for result in results if not result.is_guarded]
    if not arguments.benchmark:
        print("\n" + report.table(results))
        if not arguments.check:
            report.write(measured)
    for result in results:
        if result.measured is None:
            print(f"\nnot measured: {result.target.name}; {result.detail}", file=sys.stderr)
    for result in missed:
        print(f"\nSHORT: {result.target.name} is {result.target.format(result.measured or 0)}", file=sys.stderr)
    if arguments.check and worse:
        names = "".join(f"\n  {result.target.name}: {result.target.format(result.measured or 0)}" for result in worse)
        sys.exit(f"\nbench: {len(worse)} of {len(results)} figures are worse than their limits:{names}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nbench: interrupted; nothing was written")
