"""Create `.venv`, or update it if it is stale: `python3 tools/venv.py [--dev]`.

It is stale if it was created by another Python, in another folder, or from other requirements. `VENV_DIR` sets another
folder. Every Python 3 can parse this file, so that an old version can report that it is too old.
"""

import hashlib
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, os.environ.get("VENV_DIR") or ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
BASE = ["requirements.txt"]
DEV = ["requirements-dev.txt"]
UV = os.path.join(VENV, "bin", "uv")

COMMAND = os.path.join(VENV, "bin", "signup-bridge")
SCRIPT = """#!/bin/sh
'''exec' "$(dirname "$0")/python" "$0" "$@"
' '''
# The command signup-bridge, from the checkout.
import sys
sys.path[:0] = [{function!r}, {root!r}]
from signup_bridge.cli import main
sys.exit(main())
"""


def main() -> None:
    if sys.version_info < (3, 10):
        sys.exit("signup-bridge requires Python 3.10 or later; install it, then run: make PYTHON=python3.10 …")
    try:
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        sys.exit("signup-bridge requires Python's venv module; on Debian and Ubuntu: apt-get install python3-venv")
    if any(is_stale(lock) for lock in BASE + DEV):
        print("creating " + os.path.relpath(VENV, ROOT) + " …", flush=True)
        run(sys.executable, "-m", "venv", "--clear", VENV)
    locks = BASE + (DEV if "--dev" in sys.argv[1:] else [])
    missing = [lock for lock in locks if not os.path.exists(stamp_path(lock))]
    for lock in DEV:
        if lock in missing:
            install_uv(lock)
    for lock in missing:
        install(lock)
        with open(stamp_path(lock), "w") as stamp:
            stamp.write(fingerprint(lock))
    write_command()


def write_command() -> None:
    """Write the command `signup-bridge`, which runs the code of the checkout without installing it."""
    script = SCRIPT.format(function=os.path.join(ROOT, "function"), root=ROOT)
    if os.path.exists(COMMAND):
        with open(COMMAND, encoding="utf-8") as present:
            if present.read() == script:
                return
    with open(COMMAND, "w", encoding="utf-8") as new:
        new.write(script)
    os.chmod(COMMAND, 0o755)  # noqa: S103  executable for every user, like the other commands


def is_stale(lock: str) -> bool:
    """Return whether `.venv` was created from another state of this lock. A lock of `DEV` may be absent."""
    if not os.path.exists(PYTHON):
        return True
    if not os.path.exists(stamp_path(lock)):
        return lock in BASE  # the installation was interrupted
    with open(stamp_path(lock)) as stamp:
        return stamp.read() != fingerprint(lock)


def stamp_path(lock: str) -> str:
    return os.path.join(VENV, "." + lock)


def fingerprint(lock: str) -> str:
    with open(os.path.join(ROOT, lock), "rb") as requirements:
        digest = hashlib.sha256(requirements.read()).hexdigest()
    return "\n".join((digest, sys.version, os.path.realpath(sys.executable), VENV))


def install_uv(lock: str) -> None:
    """Install uv if the lock pins it, because uv installs a long lock in a tenth of pip's processor time."""
    pinned = re.search(r"^uv==.*(\n .*)*", read(lock), re.MULTILINE)
    if pinned:
        path = os.path.join(VENV, ".uv.txt")
        with open(path, "w", encoding="utf-8") as requirements:
            requirements.write(pinned[0] + "\n")
        pip_install(path)


def install(lock: str) -> None:
    """Install exactly the packages that the lock pins, with uv if it is installed, otherwise with pip.

    uv does not read pip's configuration. If it cannot reach the index or lacks a certificate, pip installs the lock.
    """
    path = os.path.join(ROOT, lock)
    total = sum("==" in line for line in read(lock).splitlines())
    print("installing {} packages from {} …".format(total, lock), flush=True)
    if os.path.exists(UV):
        options = ["--quiet", "--python", PYTHON, "--no-deps", "--require-hashes"]
        done = subprocess.run([UV, "pip", "install", *options, "-r", path], env=uv_environment(), capture_output=True)  # noqa: S603, PLW1510
        if done.returncode == 0:
            return
    pip_install(path, total=total)


def uv_environment() -> "dict[str, str]":
    """Return the environment with the package index that pip is configured to use."""
    listed = subprocess.run([PYTHON, "-m", "pip", "config", "list"], stdout=subprocess.PIPE, universal_newlines=True)  # noqa: S603, PLW1510
    indexes = re.findall(r"^\w+\.index-url='(.+)'$", listed.stdout, re.MULTILINE)
    index = os.environ.get("PIP_INDEX_URL") or (indexes or [""])[-1]
    return {**({"UV_DEFAULT_INDEX": index} if index else {}), **os.environ}


def pip_install(path: str, total: int = 0) -> None:
    """Install a requirements file with pip.

    Without ``--no-deps``, pip would resolve the dependencies again: up to version 23.2.1, it selects the newest release
    of a package that another one requires with an extra, and the lock does not contain that release.
    """
    options = ["--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes", "--progress-bar", "off"]
    run(PYTHON, "-m", "pip", "install", *options, "-r", path, total=total)


def read(lock: str) -> str:
    with open(os.path.join(ROOT, lock), encoding="utf-8") as requirements:
        return requirements.read()


def run(*command: str, total: int = 0) -> None:
    """Run a command, and print its output only if it fails, because pip's warnings do not concern the lock."""
    output = []
    collected = 0
    progress = total > 0 and sys.stdout.isatty()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)  # noqa: S603
    with process:
        for line in process.stdout or ():
            output.append(line)
            if progress and line.lstrip().startswith(("Collecting", "Ignoring")):
                collected += 1
                print("\r  {} of {}".format(collected, total), end="", flush=True)
    if progress:
        print("\r" + " " * 20 + "\r", end="", flush=True)
    if process.returncode:
        sys.stderr.write("".join(output))
        sys.exit(process.returncode)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\ninterrupted; the next run restarts the installation")
