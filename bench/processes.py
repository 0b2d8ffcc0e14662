"""Read the processor time and memory of measured processes from `/proc`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path

PROC = Path("/proc")


def prepare(name: str) -> None:
    """Exit if this is not Linux, and let SIGTERM end the command as Ctrl-C does, so that it cleans up."""
    if not (PROC / "self" / "task").exists():
        sys.exit(f"{name}: requires Linux, because it reads /proc; on other systems, run it in a Linux container")
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def worker_of(master: int) -> int:
    """Return the process id of gunicorn's only worker."""
    (worker,) = (PROC / str(master) / "task" / str(master) / "children").read_text().split()
    return int(worker)


def seconds_of(pid: int) -> float:
    """Return the processor seconds of a process."""
    fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_seconds(leader: int) -> float:
    """Return the processor seconds of a process, its children and all their threads, with nanosecond precision."""
    children = (PROC / str(leader) / "task" / str(leader) / "children").read_text().split()
    files = [file for pid in [leader, *children] for file in (PROC / str(pid) / "task").glob("*/schedstat")]
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def resident(leader: int) -> int:
    """Return the bytes of resident memory of a process and its children."""
    total = 0
    for path in PROC.glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            status = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
            if leader in (int(status["Pid"]), int(status["PPid"])):
                total += int(status["VmRSS"].split()[0]) * 1024
    return total
