"""Make `.venv`, or renew it when it is stale: `python3 tools/venv.py [--dev]`.

Stale is what was made by another Python, in another folder, or from other requirements. It is written for any Python 3,
so that one that is too old can say so.
"""

import hashlib
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")


def main() -> None:
    if sys.version_info < (3, 10):
        sys.exit("signup-bridge needs Python 3.10 or later; install it, then: make PYTHON=python3.10 …")
    try:
        import ensurepip  # noqa: F401, PLC0415
        import venv  # noqa: F401, PLC0415
    except ImportError:
        sys.exit("signup-bridge needs Python's venv module; on Debian and Ubuntu: apt-get install python3-venv")
    layers = ["requirements.txt"] + (["requirements-dev.txt"] if "--dev" in sys.argv[1:] else [])
    if any(is_stale(layer) for layer in ("requirements.txt", "requirements-dev.txt")):
        print("making .venv …", flush=True)
        run(sys.executable, "-m", "venv", "--clear", VENV)
    for layer in layers:
        if not os.path.exists(stamp_of(layer)):
            print("installing " + layer + " …", flush=True)
            options = ["--quiet", "--disable-pip-version-check", "--require-hashes", "--no-deps"]
            run(PYTHON, "-m", "pip", "install", *options, "-r", os.path.join(ROOT, layer))
            with open(stamp_of(layer), "w") as stamp:
                stamp.write(key_of(layer))


def is_stale(layer: str) -> bool:
    """Whether `.venv` holds this layer in another state than the one that is wanted. An absent layer is not stale."""
    if not os.path.exists(PYTHON):
        return True
    if not os.path.exists(stamp_of(layer)):
        # The runtime layer is always there when the making of it came to its end.
        return layer == "requirements.txt"
    with open(stamp_of(layer)) as stamp:
        return stamp.read() != key_of(layer)


def stamp_of(layer: str) -> str:
    return os.path.join(VENV, "." + layer)


def key_of(layer: str) -> str:
    with open(os.path.join(ROOT, layer), "rb") as requirements:
        digest = hashlib.sha256(requirements.read()).hexdigest()
    return "\n".join((digest, sys.version, os.path.realpath(sys.executable), VENV))


def run(*command: str) -> None:
    status = subprocess.call(command)  # noqa: S603  our own words
    if status:
        sys.exit(status)


main()
