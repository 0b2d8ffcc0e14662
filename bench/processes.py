"""What Linux tells of the processes that are measured, in `/proc`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

PROC = Path("/proc")


def prepare(name: str) -> None:
    """For a command of this name: say at once that it needs Linux, and end at SIGTERM as at Ctrl-C, leaving nothing."""
    if not (PROC / "self" / "task").exists():
        sys.exit(f"{name}: it needs Linux, whose /proc tells what processes take; elsewhere run it in a container")
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def worker_of(master: int) -> int:
    """The id of a gunicorn's only worker, by the id of its first process."""
    (worker,) = (PROC / str(master) / "task" / str(master) / "children").read_text().split()
    return int(worker)


def seconds_of(pid: int) -> float:
    """The processor seconds that a process has taken."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds(leader: int) -> float:
    """The processor seconds that a process, its children and all their threads have taken, to the nanosecond."""
    children = (PROC / str(leader) / "task" / str(leader) / "children").read_text().split()
    files = [file for pid in [leader, *children] for file in (PROC / str(pid) / "task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def resident(leader: int) -> int:
    """Bytes of resident memory of a process and its children."""
    total = 0
    for path in PROC.glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            status = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            if leader in (int(status["Pid"]), int(status["PPid"])):
                total += int(status["VmRSS"].split()[0]) * 1024
    return total
