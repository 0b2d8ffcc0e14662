"""Run a command with SCF's file access: only /tmp is writable, also for root.

``python confine.py command …`` gives up write access elsewhere and executes the command. Without Landlock (before
Linux 5.13, other systems) only the files' modes apply, which also bind root.
"""

import ctypes
import os
import sys

WRITABLE = ("/tmp", "/dev/null")  # noqa: S108  SCF's

# linux/landlock.h, linux/prctl.h, linux/capability.h; the calls have these numbers on every architecture.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_REMOVE_AND_MAKE = sum(1 << bit for bit in range(4, 13))
_CAPBSET_DROP, _NO_NEW_PRIVS, _DAC_OVERRIDE = 24, 38, 1


class _Rule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("access", ctypes.c_uint64), ("folder", ctypes.c_int32))


def confine() -> bool:
    """Give up write access; return whether the kernel enforces it for the whole file system."""
    if not sys.platform.startswith("linux"):
        return False
    libc = ctypes.CDLL(None)
    libc.prctl(_CAPBSET_DROP, _DAC_OVERRIDE, 0, 0, 0)  # effective after exec; fails if not root, which is fine
    version = libc.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    if version < 1:
        return False
    of_files = _WRITE_FILE | (_TRUNCATE if version >= 3 else 0)
    handled = ctypes.c_uint64(of_files | _REMOVE_AND_MAKE)
    rules = libc.syscall(_CREATE_RULESET, ctypes.byref(handled), ctypes.sizeof(handled), 0)
    for path in WRITABLE:
        opened = os.open(path, os.O_PATH)
        access = handled.value if os.path.isdir(path) else of_files
        libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(_Rule(access, opened)), 0)
        os.close(opened)
    libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
    confined: int = libc.syscall(_RESTRICT_SELF, rules, 0)
    os.close(rules)
    return confined == 0


if __name__ == "__main__":
    confine()
    os.execv(sys.argv[1], sys.argv[1:])  # noqa: S606  the purpose of this program
