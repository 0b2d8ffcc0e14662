"""Limit the memory or processor time of a process and its children with control groups.

SCF gives a small instance a share of a processor and little memory. Versions 1 and 2 of Linux's control groups are
supported.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PERIOD = 100_000
"""Microseconds of a period; in each, a group may use its share of a processor."""


class GroupError(Exception):
    """This machine or user cannot create control groups. The message has the reason."""


class Group:
    """A control group of version 1, or of version 2 (``unified``)."""

    def __init__(self, folder: Path, *, unified: bool) -> None:
        self._folder = folder
        self._unified = unified

    def command(self, command: Sequence[str]) -> list[str]:
        """Return a command that enters the group and executes ``command``."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self._folder / "cgroup.procs"), *command]

    def limit_memory(self, size: int) -> None:
        """Limit memory to ``size`` bytes, without swap."""
        if self._unified:
            self._write("memory.max", size)
            self._write("memory.swap.max", 0)
        else:
            self._write("memory.limit_in_bytes", size)
            self._write("memory.swappiness", 0)

    def limit_processor(self, part: float) -> None:
        """Limit processor time to ``part`` of one processor."""
        quota = int(PERIOD * part)
        if self._unified:
            self._write("cpu.max", f"{quota} {PERIOD}")
        else:
            self._write("cpu.cfs_period_us", PERIOD)
            self._write("cpu.cfs_quota_us", quota)

    def resident(self) -> int:
        """Return the bytes of memory that the kernel cannot reclaim: anonymous memory and mapped files."""
        numbers = self._numbers("memory.stat")
        return sum(numbers[name] for name in (("anon", "file_mapped") if self._unified else ("rss", "mapped_file")))

    def was_killed(self) -> bool:
        """Return whether the kernel killed a process of the group for lack of memory."""
        return bool(self._numbers("memory.events" if self._unified else "memory.oom_control")["oom_kill"])

    def remove(self) -> None:
        """Remove the group, once the kernel has released the processes that ended in it."""
        for _ in range(100):
            with suppress(OSError):
                self._folder.rmdir()
                return
            time.sleep(0.05)

    def _write(self, name: str, value: object) -> None:
        (self._folder / name).write_text(f"{value}\n")

    def _numbers(self, name: str) -> dict[str, int]:
        lines = (self._folder / name).read_text().splitlines()
        return {line.split()[0]: int(line.split()[1]) for line in lines}


@contextmanager
def group(controller: str) -> Iterator[Group]:
    """Create a group with the controller ``memory`` or ``cpu``. Raises GroupError if that is not possible."""
    parent, unified = _parent(controller)
    folder = parent / f"bench-{secrets.token_hex(4)}"
    try:
        folder.mkdir()
    except OSError as error:
        raise GroupError(f"cannot create a control group for {controller}: {error}") from None
    one = Group(folder, unified=unified)
    try:
        yield one
    finally:
        one.remove()


def _parent(controller: str) -> tuple[Path, bool]:
    """Return the nearest group from this process's own upwards that enables the controller, and whether it is v2."""
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, options, *_ = line.split()
        if kind == "cgroup" and controller in options.split(","):
            return _own(controller, Path(mount)), False
    for line in Path("/proc/mounts").read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if kind == "cgroup2":
            own = _own("", Path(mount))
            for folder in (own, *own.parents):
                enabled = folder / "cgroup.subtree_control"
                if enabled.exists() and controller in enabled.read_text().split():
                    return folder, True
    raise GroupError(f"this machine has no control group with the controller {controller}")


def _own(controller: str, mount: Path) -> Path:
    """Return the folder of the group that this process belongs to."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            own = mount / path.lstrip("/")
            return own if own.exists() else mount
    return mount
