"""Search with Atheris for an input that breaks an invariant of a target (`make fuzz`).

    python -m tests.fuzz signatures --seconds 120

Inputs that reach new branches are stored in the folder, and the next run starts with them. An input that breaks an
invariant is stored there, too.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import sys
from pathlib import Path
from typing import Any

import atheris

TARGETS = ("signatures", "payload", "events")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument(
        "--seconds", type=int, default=120, help="0 only repeats the stored inputs (default: %(default)s)"
    )
    parser.add_argument(
        "--folder", type=Path, default=Path(".fuzz"), help="where inputs are stored (default: %(default)s)"
    )
    parser.add_argument("file", type=Path, nargs="?", help="run only this input, once")
    arguments = parser.parse_args()
    with atheris.instrument_imports(include=["signup_bridge"]):
        target = importlib.import_module(f"tests.fuzz.{arguments.target}")
    if arguments.file:
        target.try_one(arguments.file.read_bytes())
        return
    folder = arguments.folder / arguments.target
    folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    words = arguments.folder / f"{arguments.target}.dict"
    words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
    options: dict[str, Any] = {
        "max_total_time": arguments.seconds,
        "dict": words,
        "max_len": 4096,
        "timeout": 20,
        "print_final_stats": 1,
        "artifact_prefix": f"{arguments.folder}/{arguments.target}-",
    }
    if not arguments.seconds:
        options["runs"] = 0
    atheris.Setup([sys.argv[0], *(f"-{name}={value}" for name, value in options.items()), str(folder)], target.try_one)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in word)


main()
